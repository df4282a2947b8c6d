//! The same operation id a second time: the sidecar lost its connection, or somebody replays.

use control_plane_core::attributes::Attributes;
use control_plane_core::intent::Intent;
use control_plane_core::lifecycle::Repeat;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use shared::ids::OperationId;
use shared_net::body::{self, BoxBody};
use uuid::Uuid;

use super::Gateway;
use super::refusal::Refusal;
use super::serve::Refused;
use crate::records::OperationLog;
use crate::sessions::Use;
use crate::store::OperationRow;

/// One run of a request, as it will be recorded.
pub(super) struct Run {
    pub(super) attributes: Attributes,
    /// Of a plain read that ran before: that run, from which this one has its own id.
    pub(super) first: Option<OperationId>,
    /// Whether it is on record before it goes on.
    pub(super) durable: bool,
}

/// What became of a repetition.
pub(super) enum Before {
    /// It goes through the stages from here.
    Goes(Box<OperationLog>),
    /// It is over, and this is its recorded answer.
    Answered(Response<BoxBody>),
}

impl Gateway {
    /// What a request is to the record. A plain read that comes again runs again, as an operation of its own; whatever has a record with
    /// an outcome to keep (it changes something, or waits for people) is compared with that by [`Self::repeat`].
    pub(super) async fn run_of(&self, attributes: Attributes, used: Use) -> Result<Run, Refused> {
        if !attributes.info().is_read() {
            return Ok(Run { attributes, first: None, durable: true });
        }
        let plain = |attributes| Ok(Run { attributes, first: None, durable: false });
        if used == Use::First {
            return plain(attributes);
        }
        let id = attributes.operation();
        let row = self.recorder.store.written_operation(attributes.session(), id).await;
        let row = row.map_err(|error| Refused { refusal: Refusal::Record(error), log: None })?;
        match row {
            None => plain(attributes),
            Some(row) if row.record.is_some() => Ok(Run { attributes, first: None, durable: true }),
            Some(row) if self.is_same(&row, &attributes) => Ok(Run {
                attributes: attributes.again(OperationId::new(Uuid::now_v7())),
                first: Some(id),
                durable: false,
            }),
            Some(_) => Err(Refused { refusal: Refusal::OtherContent, log: None }),
        }
    }

    fn is_same(&self, row: &OperationRow, attributes: &Attributes) -> bool {
        let key = self.recorder.store.seal().open(&row.digest_key);
        key.is_some_and(|key| row.digest.parse() == Ok(Intent::of(attributes).digest(&key)))
    }

    /// Compares a repetition with its record. Nothing runs twice.
    pub(super) async fn repeat(
        &self,
        row: OperationRow,
        attributes: &Attributes,
        log: OperationLog,
    ) -> Result<Before, Refused> {
        match self.compare(row, attributes).await {
            Ok(None) => Ok(Before::Goes(Box::new(log))),
            Ok(Some(response)) => {
                log.forget();
                Ok(Before::Answered(response))
            }
            Err(refusal) => {
                log.forget();
                Err(Refused { refusal, log: None })
            }
        }
    }

    /// The recorded answer; `None`: nothing was sent, so it may go on.
    async fn compare(&self, row: OperationRow, attributes: &Attributes) -> Result<Option<Response<BoxBody>>, Refusal> {
        let (Some(record), Some(key)) = (&row.record, self.recorder.store.seal().open(&row.digest_key)) else {
            return Err(Refusal::OtherContent);
        };
        match record.repeat(&Intent::of(attributes).digest(&key)) {
            Err(_) => Err(Refusal::OtherContent),
            // Its hold is found again by the same intent; an operation that was only recorded is judged.
            Ok(Repeat::Judge | Repeat::Rejoin(_) | Repeat::IssueAgain(None)) => Ok(None),
            // A grant is under way whose answer this process has lost: the agent is asked, and the outcome is what it says.
            Ok(Repeat::Await(_)) => {
                let outcome = self.await_outcome(record.key()).await;
                Err(outcome.map_or(Refusal::Unknown, Refusal::Ended))
            }
            Ok(Repeat::IssueAgain(Some(_))) => Err(Refusal::NotSent),
            Ok(Repeat::Replay(outcome)) => match replay(row) {
                Some(response) => Ok(Some(response)),
                None => Err(Refusal::Ended(outcome)),
            },
        }
    }
}

/// The recorded answer, if all of it is kept.
fn replay(row: OperationRow) -> Option<Response<BoxBody>> {
    let status = StatusCode::from_u16(row.status?).ok()?;
    let body = row.response.filter(|_| row.response_complete)?;
    let content_type = HeaderValue::from_str(row.response_type.as_deref()?).ok()?;
    let mut response = Response::new(body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Some(response)
}
