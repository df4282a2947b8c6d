//! Who has how many of the streams of one agent's connection. Without a share for each session two of them could have all, and with them
//! every live read and token review (SECURITY.md D9).
//!
//! An operation has its stream until its client has taken the answer, which can be a day, so nobody waits for one: who has his share is refused.
//! Our own questions are over within seconds whatever anybody reads, so they wait for one another, and never for an operation. Those that sessions
//! cause by what they ask for, live reads, never stand in the way of those by which somebody gets in or a cluster is looked after, nor the other way round.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use control_plane_core::grant::Purpose;
use shared::ids::SessionId;
use shared::limits;
use shared_net::shares::{self, Shares};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{AgentLink, Agents};

/// The streams of one connection.
pub(crate) struct Streams {
    operations: Shares,
    live_reads: Questions,
    own: Questions,
}

/// Streams of questions of ours, which are over within seconds.
struct Questions {
    all: Arc<Semaphore>,
    /// Of sessions for which something is asked.
    asking: Mutex<HashMap<SessionId, Weak<Semaphore>>>,
}

/// A stream that somebody has, until this is dropped.
pub(crate) struct Share {
    _operation: Option<shares::Share>,
    _question: Option<Question>,
}

/// Places of a question: its session's, and one of all.
struct Question {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    _session: Arc<Semaphore>,
}

/// There is no stream for another operation of this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no stream for it")]
pub(crate) struct NoStream;

impl Agents {
    /// An agent of the cluster that has a stream for an operation of that session, and the stream; `None`: no agent is connected.
    pub(crate) async fn pick_for(
        &self,
        cluster: &str,
        session: SessionId,
    ) -> Result<Option<(Arc<AgentLink>, Share)>, NoStream> {
        // They take turns.
        for _ in 0..self.count(cluster).max(1) {
            let Some(link) = self.pick_or_wait(cluster).await else { return Ok(None) };
            if let Ok(share) = link.streams.operation(session) {
                return Ok(Some((link, share)));
            }
        }
        Err(NoStream)
    }
}

impl Streams {
    /// Nobody has any.
    pub(crate) fn new() -> Self {
        let most = |free: usize| limits::AGENT_SESSION_OPERATIONS.min(free / 4);
        Self {
            operations: Shares::new(limits::AGENT_OPERATIONS, most),
            live_reads: Questions::new(limits::AGENT_LIVE_READS),
            own: Questions::new(limits::AGENT_OWN_QUESTIONS),
        }
    }

    /// One for an operation of that session: fewer as others have more, so that there are some left for who has none.
    pub(crate) fn operation(&self, session: SessionId) -> Result<Share, NoStream> {
        self.operations.take(session).map(Share::operation).ok_or(NoStream)
    }

    /// The same for what people have approved, whose approval is spent, and for what another agent did not take. It counts, and is never refused:
    /// people are bound enough, and [`limits::SESSION_OPERATIONS`] holds.
    pub(crate) fn in_any_case(&self, session: SessionId) -> Share {
        Share::operation(self.operations.take_anyway(session))
    }

    /// One for a question of ours on behalf of that session: waits while there is none.
    pub(crate) async fn question(&self, what: Purpose, session: SessionId) -> Result<Share, NoStream> {
        let questions = match what {
            Purpose::LiveRead | Purpose::Preview | Purpose::Operation => &self.live_reads,
            Purpose::TokenReview | Purpose::IssuerKeys | Purpose::GuardRead => &self.own,
        };
        Ok(Share { _operation: None, _question: Some(questions.place(session).await?) })
    }
}

impl Questions {
    fn new(all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), asking: Mutex::default() }
    }

    async fn place(&self, session: SessionId) -> Result<Question, NoStream> {
        let closed = |_| NoStream;
        let own = self.asking(session);
        // Its own first: a session that asks much has no more of what all share.
        let first = Arc::clone(&own).acquire_owned().await.map_err(closed)?;
        let second = Arc::clone(&self.all).acquire_owned().await.map_err(closed)?;
        Ok(Question { _own: first, _all: second, _session: own })
    }

    fn asking(&self, session: SessionId) -> Arc<Semaphore> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = asking.get(&session).and_then(Weak::upgrade) {
            return own;
        }
        // Few ask at once.
        asking.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(limits::AGENT_SESSION_QUESTIONS));
        asking.insert(session, Arc::downgrade(&own));
        own
    }
}

impl Share {
    const fn operation(share: shares::Share) -> Self {
        Self { _operation: Some(share), _question: None }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn session() -> SessionId {
        SessionId::new(Uuid::new_v4())
    }

    /// All that a session can get.
    fn all_of(streams: &Streams, session: SessionId) -> Vec<Share> {
        std::iter::from_fn(|| streams.operation(session).ok()).collect()
    }

    #[test]
    fn a_session_has_its_share_of_an_agents_streams_and_no_more() {
        let (streams, greedy) = (Streams::new(), session());
        let mut shares = all_of(&streams, greedy);
        assert_eq!(shares.len(), limits::AGENT_SESSION_OPERATIONS);
        let other = streams.operation(session());
        assert!(other.is_ok());
        shares.pop();
        assert!(streams.operation(greedy).is_ok(), "what is given back is there again");
        // People's approval is not spent for nothing.
        let _approved: Vec<_> = (0..10).map(|_| streams.in_any_case(greedy)).collect();
    }

    /// And our own questions have theirs.
    #[tokio::test]
    async fn twenty_greedy_sessions_leave_streams_for_the_next() {
        let streams = Streams::new();
        let mut taken = Vec::new();
        for number in 0..=20 {
            let got = all_of(&streams, session());
            assert!(!got.is_empty(), "session {number}");
            taken.push(got);
        }
        let total = taken.iter().map(Vec::len).sum::<usize>();
        assert!(total < limits::AGENT_OPERATIONS, "{total}");
        assert!(streams.question(Purpose::LiveRead, session()).await.is_ok());
        drop(taken);
        assert_eq!(streams.operations.count(), (0, 0), "nothing is left behind");
    }

    /// Whether it has its place at once.
    async fn is_there(asking: impl Future<Output = Result<Share, NoStream>>) -> Option<Share> {
        tokio::select! {
            biased;
            share = asking => share.ok(),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn questions_for_one_session_leave_places_for_others() {
        let (streams, busy) = (Streams::new(), session());
        let mut asked = Vec::new();
        for _ in 0..limits::AGENT_SESSION_QUESTIONS {
            asked.push(streams.question(Purpose::LiveRead, busy).await.unwrap_or_else(|_| unreachable!()));
        }
        let mut further = std::pin::pin!(streams.question(Purpose::LiveRead, busy));
        assert!(is_there(&mut further).await.is_none(), "it has its share");
        assert!(streams.question(Purpose::LiveRead, session()).await.is_ok());
        asked.pop();
        assert!(further.await.is_ok());
    }

    /// However much is read for those who are there, others get in, and the other way round.
    #[tokio::test]
    async fn live_reads_and_token_reviews_never_wait_for_one_another() {
        for (many, one) in [
            (Purpose::LiveRead, Purpose::TokenReview),
            (Purpose::Preview, Purpose::GuardRead),
            (Purpose::LiveRead, Purpose::IssuerKeys),
            (Purpose::TokenReview, Purpose::LiveRead),
        ] {
            let (streams, mut asked) = (Streams::new(), Vec::new());
            while let Some(share) = is_there(streams.question(many, session())).await {
                asked.push(share);
            }
            assert!(is_there(streams.question(one, session())).await.is_some(), "{one:?} beside {many:?}");
        }
    }

    #[test]
    fn all_of_them_fit_into_the_connection() {
        let questions = limits::AGENT_LIVE_READS + limits::AGENT_OWN_QUESTIONS;
        let all = limits::AGENT_OPERATIONS + questions;
        assert!(all + 128 <= usize::try_from(limits::STREAMS_MAX).unwrap());
        // The others among our own are few, and all of one session: that of nobody.
        const { assert!(limits::AGENT_OWN_QUESTIONS >= limits::TOKEN_REVIEWS + limits::AGENT_SESSION_QUESTIONS) }
    }
}
