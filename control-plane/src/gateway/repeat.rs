//! The same operation id a second time: the sidecar lost its connection, or somebody replays.

use control_plane_core::attributes::Attributes;
use control_plane_core::intent::Intent;
use control_plane_core::lifecycle::Repeat;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use shared_net::body::{self, BoxBody};

use super::Gateway;
use super::refusal::Refusal;
use super::serve::Refused;
use crate::agents::Recovered;
use crate::records::OperationLog;
use crate::store::OperationRow;

/// What became of a repetition.
pub(super) enum Before {
    /// It goes through the stages from here.
    Goes(Box<OperationLog>),
    /// It is over, and this is its recorded answer.
    Answered(Response<BoxBody>),
}

impl Gateway {
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
            Err(_) => {
                self.attack_signal("other_content");
                Err(Refusal::OtherContent)
            }
            // Its hold is found again by the same intent; an operation that was only recorded is judged.
            Ok(Repeat::Judge | Repeat::Rejoin(_) | Repeat::IssueAgain(None)) => Ok(None),
            // A grant is under way whose answer this process has lost: the agent is asked, and the outcome is what it says.
            Ok(Repeat::Await(_)) => match self.agents.recover(record.key()).await {
                Some(Recovered::NeverSpent(false)) => Ok(None),
                Some(Recovered::NeverSpent(true)) => Err(Refusal::NotSent),
                Some(Recovered::Over(outcome)) => Err(Refusal::Ended(outcome)),
                None => Err(Refusal::Unknown),
            },
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
