//! Who has how many of the streams of one agent's connection. Without a share for each session two of them could have all, and with them
//! every live read and token review (SECURITY.md D9).
//!
//! An operation has its stream until its client has taken the answer, which can be a day, so nobody waits for one: who has his share is refused.
//! What is no watch has a few more, which no watch ever takes: else four sessions with a hundred watches each could ask for nothing any more. Our
//! own questions are over within seconds whatever anybody reads, so they wait for one another, and never for an operation. Those that sessions
//! cause by what they ask for, live reads, never stand in the way of those by which somebody gets in or a cluster is looked after, nor the other way round.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use control_plane_core::grant::Purpose;
use control_plane_core::request_info::{RequestInfo, Verb};
use shared::ids::SessionId;
use shared::limits;
use shared_net::shares::{self, Shares};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{AgentLink, Agents};

/// The streams of one connection.
pub(crate) struct Streams {
    operations: Shares,
    /// Beside these, for what is no watch.
    brief: Shares,
    live_reads: Questions,
    own: Questions,
}

/// Streams of questions of ours, which are over within seconds.
struct Questions {
    all: Arc<Semaphore>,
    /// Of sessions for which something is asked.
    asking: Mutex<HashMap<SessionId, Weak<Semaphore>>>,
}

/// Token reviews that may be under way, of each cluster: one whose API server hangs keeps nobody out of another.
#[derive(Default)]
pub(super) struct Reviews {
    by_cluster: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// How an operation's answer will be, as far as its request tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// Little, and soon: one object.
    Briefly,
    /// It may be long: a list, a log.
    AtLength,
    /// For as long as its reader wants: a watch.
    On,
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
pub(crate) enum NoStream {
    /// It has its share of them.
    #[error("there is no stream for it")]
    Share,
    /// As many of its answers as may wait for their readers ([`super::answer::Unread::has_room`]).
    #[error("too many answers of its session wait for their readers")]
    Unread,
}

impl Agents {
    /// An agent of the cluster that has a stream for an operation of that session, and the stream; `None`: no agent is connected.
    pub(crate) async fn pick_for(
        &self,
        cluster: &str,
        session: SessionId,
        answers: Answers,
    ) -> Result<Option<(Arc<AgentLink>, Share)>, NoStream> {
        let mut why = NoStream::Share;
        // They take turns.
        for _ in 0..self.count(cluster).max(1) {
            let Some(link) = self.pick_or_wait(cluster).await else { return Ok(None) };
            match link.operation(session, answers) {
                Ok(share) => return Ok(Some((link, share))),
                Err(none) => why = none,
            }
        }
        Err(why)
    }
}

impl AgentLink {
    /// A stream for an operation of that session, whose answer will be like that.
    pub(super) fn operation(&self, session: SessionId, answers: Answers) -> Result<Share, NoStream> {
        let room = match answers {
            Answers::Briefly => true,
            Answers::AtLength | Answers::On => self.unread.has_room(session),
        };
        if room { self.streams.operation(session, answers) } else { Err(NoStream::Unread) }
    }
}

impl Answers {
    /// How a request of that kind is answered.
    pub(crate) fn of(info: &RequestInfo) -> Self {
        match info.verb {
            Verb::Watch => Self::On,
            Verb::List => Self::AtLength,
            // One that is followed, too: a session has few such streams, and whoever follows logs has others first.
            Verb::Get if info.subresource == "log" => Self::AtLength,
            Verb::Get
            | Verb::Create
            | Verb::Update
            | Verb::Patch
            | Verb::Delete
            | Verb::DeleteCollection
            | Verb::Post
            | Verb::Put
            | Verb::Head
            | Verb::Options => Self::Briefly,
        }
    }
}

impl Streams {
    /// Nobody has any.
    pub(crate) fn new() -> Self {
        let most = |free: usize| limits::AGENT_SESSION_OPERATIONS.min(free / 4);
        let brief = |free: usize| limits::AGENT_SESSION_BRIEF.min(free / 4);
        Self {
            operations: Shares::new(limits::AGENT_OPERATIONS, most),
            brief: Shares::new(limits::AGENT_BRIEF, brief),
            live_reads: Questions::new(limits::AGENT_LIVE_READS),
            own: Questions::new(limits::AGENT_OWN_QUESTIONS),
        }
    }

    /// One for an operation of that session: fewer as others have more, so that there are some left for who has none.
    pub(crate) fn operation(&self, session: SessionId, answers: Answers) -> Result<Share, NoStream> {
        let brief = || match answers {
            Answers::Briefly | Answers::AtLength => self.brief.take(session),
            Answers::On => None,
        };
        self.operations.take(session).or_else(brief).map(Share::operation).ok_or(NoStream::Share)
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

impl Reviews {
    /// The turn of one, before anything of it is on record: after a restart of ours many wait.
    pub(super) async fn turn(&self, cluster: &str) -> Result<OwnedSemaphorePermit, NoStream> {
        let of_cluster = {
            let mut by_cluster = self.by_cluster.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(limits::TOKEN_REVIEWS));
            Arc::clone(by_cluster.entry(cluster.to_owned()).or_insert_with(new))
        };
        of_cluster.acquire_owned().await.map_err(|_| NoStream::Share)
    }
}

impl Questions {
    fn new(all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), asking: Mutex::default() }
    }

    async fn place(&self, session: SessionId) -> Result<Question, NoStream> {
        let closed = |_| NoStream::Share;
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
    use control_plane_core::query::Query;
    use uuid::Uuid;

    use super::*;

    fn session() -> SessionId {
        SessionId::new(Uuid::new_v4())
    }

    /// All that a session can get for such operations.
    fn all_of(streams: &Streams, session: SessionId, answers: Answers) -> Vec<Share> {
        std::iter::from_fn(|| streams.operation(session, answers).ok()).collect()
    }

    #[test]
    fn a_session_has_its_share_of_an_agents_streams_and_no_more() {
        let (streams, greedy) = (Streams::new(), session());
        let mut shares = all_of(&streams, greedy, Answers::On);
        assert_eq!(shares.len(), limits::AGENT_SESSION_OPERATIONS);
        let other = streams.operation(session(), Answers::On);
        assert!(other.is_ok());
        shares.pop();
        assert!(streams.operation(greedy, Answers::On).is_ok(), "what is given back is there again");
        // People's approval is not spent for nothing.
        let _approved: Vec<_> = (0..10).map(|_| streams.in_any_case(greedy)).collect();
    }

    /// Operators with an informer for each of a hundred resources.
    #[test]
    fn who_has_many_watches_can_still_ask() {
        let streams = Streams::new();
        let operators: Vec<_> = (0..5).map(|_| session()).collect();
        let watches: Vec<_> = operators.iter().map(|own| all_of(&streams, *own, Answers::On)).collect();
        let mut asked = Vec::new();
        for own in &operators {
            assert_eq!(streams.operation(*own, Answers::On).err(), Some(NoStream::Share), "it has its share");
            for answers in [Answers::Briefly, Answers::AtLength] {
                let all = (0..limits::AGENT_SESSION_BRIEF / 2).map(|_| streams.operation(*own, answers));
                asked.extend(all.map(|share| share.unwrap_or_else(|_| panic!("watches take nothing of these"))));
            }
            assert_eq!(streams.operation(*own, Answers::Briefly).err(), Some(NoStream::Share), "and no more");
        }
        drop(watches);
        assert!(operators.iter().all(|own| streams.operation(*own, Answers::On).is_ok()), "it is no watch's");
    }

    /// And our own questions have theirs.
    #[tokio::test]
    async fn twenty_greedy_sessions_leave_streams_for_the_next() {
        let streams = Streams::new();
        let mut taken = Vec::new();
        for number in 0..=20 {
            let own = session();
            let (watches, brief) = (all_of(&streams, own, Answers::On), all_of(&streams, own, Answers::Briefly));
            assert!(!watches.is_empty() && !brief.is_empty(), "session {number}");
            taken.push((watches, brief));
        }
        let total = taken.iter().map(|(watches, brief)| watches.len() + brief.len()).sum::<usize>();
        assert!(total < limits::AGENT_OPERATIONS + limits::AGENT_BRIEF, "{total}");
        assert!(streams.question(Purpose::LiveRead, session()).await.is_ok());
        drop(taken);
        assert_eq!((streams.operations.count(), streams.brief.count()), ((0, 0), (0, 0)), "nothing is left behind");
    }

    /// Whether it has its place at once.
    async fn is_there<T>(asking: impl Future<Output = Result<T, NoStream>>) -> Option<T> {
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

    #[tokio::test]
    async fn token_reviews_of_one_cluster_keep_nobody_out_of_another() {
        let (reviews, mut hanging) = (Reviews::default(), Vec::new());
        while let Some(turn) = is_there(reviews.turn("hangs")).await {
            hanging.push(turn);
        }
        assert_eq!(hanging.len(), limits::TOKEN_REVIEWS);
        assert!(is_there(reviews.turn("answers")).await.is_some());
        hanging.pop();
        assert!(is_there(reviews.turn("hangs")).await.is_some(), "what is over makes room");
    }

    #[test]
    fn requests_by_how_they_are_answered() {
        let of = |path: &str| {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let query = Query::parse(query).unwrap();
            Answers::of(&RequestInfo::parse(&http::Method::GET, path, &query).unwrap())
        };
        assert_eq!(of("/api/v1/pods?watch=true"), Answers::On);
        assert_eq!(of("/api/v1/pods"), Answers::AtLength);
        assert_eq!(of("/api/v1/namespaces/a/pods/b/log"), Answers::AtLength);
        assert_eq!(of("/api/v1/namespaces/a/pods/b"), Answers::Briefly);
        assert_eq!(of("/version"), Answers::Briefly);
    }

    #[test]
    fn all_of_them_fit_into_the_connection() {
        let questions = limits::AGENT_LIVE_READS + limits::AGENT_OWN_QUESTIONS;
        let all = limits::AGENT_OPERATIONS + limits::AGENT_BRIEF + questions;
        assert!(all + 128 <= usize::try_from(limits::STREAMS_MAX).unwrap());
        // The others among our own are few, and all of one session: that of nobody.
        const { assert!(limits::AGENT_OWN_QUESTIONS >= limits::TOKEN_REVIEWS + limits::AGENT_SESSION_QUESTIONS) }
    }
}
