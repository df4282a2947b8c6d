//! The same operation id a second time: the sidecar lost its connection, or somebody replays.

use control_plane_core::attributes::Attributes;
use control_plane_core::intent::Intent;
use control_plane_core::lifecycle::{ApprovalUse, NotSent, OperationKey, Outcome, Repeat};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use shared::ids::{HoldId, OperationId};
use shared_net::body::{self, BoxBody};
use uuid::Uuid;

use super::Gateway;
use super::refusal::Refusal;
use super::serve::Refused;
use crate::approvals;
use crate::records::{Opens, OperationLog};
use crate::sessions::Use;
use crate::store::OperationRow;

/// One run of a request, as it will be recorded.
pub(super) struct Run {
    pub(super) attributes: Attributes,
    /// Of a plain read that ran before: that run, from which this one has its own id.
    pub(super) first: Option<OperationId>,
    pub(super) opens: Opens,
}

/// What became of a repetition.
pub(super) enum Before {
    /// It goes through the stages from here.
    Goes(Box<OperationLog>),
    /// It has spent an approval, under a grant that was never spent: it is judged again and gets another grant.
    Approved(Box<OperationLog>, ApprovalUse),
    /// It is over, and this is its recorded answer.
    Answered(Response<BoxBody>),
}

enum Next {
    Goes,
    Approved(ApprovalUse),
    Answered(Response<BoxBody>),
}

impl Gateway {
    /// What a request is to the record. A plain read that comes again runs again, as an operation of its own; whatever has a record with
    /// an outcome to keep (it changes something, or waits for people) is compared with that by [`Self::repeat`].
    pub(super) async fn run_of(&self, attributes: Attributes, used: Use) -> Result<Run, Refused> {
        if !attributes.info().is_read() {
            return Ok(Run { attributes, first: None, opens: Opens::First });
        }
        let plain = |attributes| Run { attributes, first: None, opens: Opens::Soon };
        if used == Use::First {
            return Ok(plain(attributes));
        }
        let id = attributes.operation();
        let row = self.recorder.store.written_operation(attributes.session(), id).await;
        let row = row.map_err(|error| Refused { refusal: Refusal::Record(error), log: None })?;
        match row {
            None => Ok(plain(attributes)),
            Some(row) if row.record.is_some() => Ok(Run { attributes, first: None, opens: Opens::First }),
            Some(row) if self.is_same(&row, &attributes) => Ok(Run {
                attributes: attributes.again(OperationId::new(Uuid::now_v7())),
                first: Some(id),
                opens: Opens::Soon,
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
            Ok(Next::Goes) => Ok(Before::Goes(Box::new(log))),
            Ok(Next::Approved(mine)) => Ok(Before::Approved(Box::new(log), mine)),
            Ok(Next::Answered(response)) => {
                log.forget();
                Ok(Before::Answered(response))
            }
            Err(refusal) => {
                log.forget();
                Err(Refused { refusal, log: None })
            }
        }
    }

    async fn compare(&self, mut row: OperationRow, attributes: &Attributes) -> Result<Next, Refusal> {
        loop {
            let (Some(record), Some(key)) = (&row.record, self.recorder.store.seal().open(&row.digest_key)) else {
                return Err(Refusal::OtherContent);
            };
            match record.repeat(&Intent::of(attributes).digest(&key)) {
                Err(_) => return Err(Refusal::OtherContent),
                // Its hold is found again by the same intent; what was only recorded, or came back unspent, is judged.
                Ok(Repeat::Judge | Repeat::Rejoin(_) | Repeat::IssueAgain(None)) => return Ok(Next::Goes),
                Ok(Repeat::IssueAgain(Some(mine))) => return Ok(Next::Approved(mine)),
                // A grant is under way whose answer this process has lost: the agent is asked, and what it says is looked at again.
                Ok(Repeat::Await(_)) => match self.agents.recover(record.key()).await {
                    Some(now) if now.question().is_none() => row.record = Some(now),
                    Some(_) | None => return Err(Refusal::no_answer(attributes.info().is_read())),
                },
                Ok(Repeat::Replay(outcome)) => {
                    let (key, hold) = (record.key(), row.hold);
                    return match replay(row) {
                        Some(response) => Ok(Next::Answered(response)),
                        None => Err(self.ended(key, hold, outcome).await),
                    };
                }
            }
        }
    }

    /// What a client is told of an operation that is over and has no answer. Where people or their silence ended it, that is what it reads.
    async fn ended(&self, key: OperationKey, hold: Option<HoldId>, outcome: Outcome) -> Refusal {
        let by_hold = matches!(
            outcome,
            Outcome::NotSent {
                why: NotSent::HoldDenied | NotSent::HoldExpired | NotSent::HoldVoid | NotSent::ApprovalUsed
            }
        );
        if let Some(hold) = hold.filter(|_| by_hold)
            && let Ok(Some(hold)) = self.recorder.store.hold(hold).await
        {
            return approvals::over_for(&hold.record, key);
        }
        Refusal::Ended(outcome)
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
