//! One operation: sent, and after a lost connection put again under the same id, so that the control plane can join it to what it has.
//!
//! Invariant: `Retry-After` goes out only when not one byte of the request has left. The control plane runs an id once per session, so the
//! same id is repeated only within the same session.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use shared::chain::Chain;
use shared::ids::{OperationId, SessionId};
use shared::{limits, wire};
use shared_net::clock::Clock;
use shared_net::endpoint::OpenError;
use shared_net::exchange::{self, ExchangeError, ResponseBody};

use crate::link::{Link, NoLink, Up};
use crate::refusal::Refusal;
use crate::translate::Outbound;

/// Sends operations over the link.
#[derive(Clone, Debug)]
pub(crate) struct Forwarder {
    link: Link,
    clock: Clock,
    rejoin_wait: Duration,
}

/// What is known of an operation so far.
struct Course {
    id: Option<(OperationId, SessionId)>,
    maybe_sent: bool,
    resets: u32,
    /// A control plane that goes away has given it back.
    refused: bool,
    /// On the monotonic clock.
    deadline: Duration,
}

impl Forwarder {
    pub(crate) const fn new(link: Link, clock: Clock, rejoin_wait: Duration) -> Self {
        Self { link, clock, rejoin_wait }
    }

    /// Returns the answer's head as soon as it is there, and the id under which the operation ran. Dropping the future cancels it.
    pub(crate) async fn perform(
        &self,
        head: &Outbound,
        body: &Bytes,
    ) -> (Option<OperationId>, Result<Response<ResponseBody>, Refusal>) {
        let mut course = Course {
            id: None,
            maybe_sent: false,
            resets: 0,
            refused: false,
            deadline: self.clock.monotonic().saturating_add(limits::CONNECT_WAIT),
        };
        let result = loop {
            if let Some(result) = self.step(head, body, &mut course).await {
                break result;
            }
        };
        if matches!(&result, Ok(response) if response.headers().contains_key(wire::header::RENEW)) {
            self.link.renew();
        }
        let result = match result {
            Err(Refusal::Unknown(why)) if head.is_read() => Err(Refusal::NoAnswer(why)),
            result => result,
        };
        (course.id.map(|(id, _)| id), result)
    }

    /// One attempt; `None` says that another may follow.
    async fn step(
        &self,
        head: &Outbound,
        body: &Bytes,
        course: &mut Course,
    ) -> Option<Result<Response<ResponseBody>, Refusal>> {
        let left = course.deadline.saturating_sub(self.clock.monotonic());
        let up = match self.link.ready(left).await {
            Ok(up) => up,
            Err(NoLink::Over(why)) if course.maybe_sent => return Some(Err(Refusal::Unknown(why))),
            Err(NoLink::Over(why)) => return Some(Err(Refusal::Session(why))),
            Err(NoLink::Refused(why)) if !course.maybe_sent => return Some(Err(Refusal::Session(why))),
            // While an operation may be running, a refused session can still become a good one.
            Err(NoLink::Refused(why)) if !left.is_zero() => {
                tokio::time::sleep(limits::BACKOFF_BUSY.min(left)).await;
                tracing::debug!(why, "waiting to join an operation again");
                return None;
            }
            Err(NoLink::Down(why) | NoLink::Refused(why)) => return Some(Err(course.given_up(why))),
        };
        let (id, session) = *course.id.get_or_insert_with(|| (up.session.operation(&self.clock), up.session.id));
        let id = if session == up.session.id {
            id
        } else if course.maybe_sent {
            // Another session's id is unknown to the control plane: it would run the operation again.
            return Some(Err(Refusal::Unknown("the session is another one now".to_owned())));
        } else {
            course.id.insert((up.session.operation(&self.clock), up.session.id)).0
        };
        let request = match head.request(id, Full::new(body.clone())) {
            Ok(request) => request,
            Err(refusal) => return Some(Err(refusal)),
        };
        let began = self.clock.monotonic();
        match exchange::send(&up.connection, request).await {
            Ok(response) if response.headers().contains_key(wire::header::AGAIN) => {
                course.maybe_sent = true;
                course.resets = 0;
                course.deadline = self.clock.monotonic().saturating_add(self.rejoin_wait);
                // The process that has it ends, and its connections with it.
                tokio::select! {
                    _ = up.connection.closed() => {}
                    () = tokio::time::sleep(limits::BACKOFF_BUSY) => {}
                }
                None
            }
            Ok(response) => Some(Ok(response)),
            Err(ExchangeError::Refused(error)) => {
                let why = Chain(&error).to_string();
                self.refused(&up, why, course).await
            }
            Err(error) => self.failed(&up, error, self.clock.monotonic().saturating_sub(began), course),
        }
    }

    /// The control plane is going away and gave the operation back: it waits for the next one.
    async fn refused(
        &self,
        up: &Up,
        why: String,
        course: &mut Course,
    ) -> Option<Result<Response<ResponseBody>, Refusal>> {
        let now = self.clock.monotonic();
        if !course.refused {
            tracing::info!(operation.id = ?course.id.map(|(id, _)| id), why, "operation waits for the next control plane");
            course.refused = true;
            course.deadline = course.deadline.max(now.saturating_add(limits::RESTART_WAIT));
        }
        if now >= course.deadline {
            return Some(Err(course.given_up(why)));
        }
        tokio::select! {
            _ = up.connection.closed() => {}
            () = tokio::time::sleep(limits::BACKOFF_BUSY) => {}
        }
        None
    }

    fn failed(
        &self,
        up: &Up,
        error: ExchangeError,
        lasted: Duration,
        course: &mut Course,
    ) -> Option<Result<Response<ResponseBody>, Refusal>> {
        let why = Chain(&error).to_string();
        tracing::info!(operation.id = ?course.id.map(|(id, _)| id), why, "operation is not answered yet");
        let lost = up.connection.close_reason().is_some();
        let first = !course.maybe_sent && matches!(error, ExchangeError::MaybeSent(_));
        course.maybe_sent |= first;
        if lost {
            // The next connection is another chance: what is counted are resets of one that lives.
            course.resets = 0;
        }
        if first || (course.maybe_sent && lasted >= limits::WAITED) {
            // Counted from the loss of an attempt that really waited, for a control plane may be updated more than once while people
            // think; and not from every loss, for one that comes and goes must not keep a client for ever.
            course.deadline = self.clock.monotonic().saturating_add(self.rejoin_wait);
        }
        match error {
            ExchangeError::NotSent(OpenError::Lost(_)) => None,
            ExchangeError::Refused(_) | ExchangeError::NotSent(OpenError::Full) => Some(Err(course.given_up(why))),
            ExchangeError::MaybeSent(_) if lost => None,
            ExchangeError::MaybeSent(_) => {
                // The connection lives, so the control plane itself gave this stream up.
                course.resets += 1;
                (course.resets > limits::REPEATS).then_some(Err(Refusal::Unknown(why)))
            }
        }
    }
}

impl Course {
    const fn given_up(&self, why: String) -> Refusal {
        if self.maybe_sent { Refusal::Unknown(why) } else { Refusal::Unreachable(why) }
    }
}
