//! An agent's answer while it is passed on, and how much of answers may wait here for readers who are slower than the agent.
//!
//! What nobody reads of a stream fills its window, and streams enough the connection's, which is everybody's: others' answers would not come any
//! more, heads included. So the connection has room for [`limits::ANSWERS_UNREAD`] such answers beside what everybody else needs, and those that wait
//! are counted. One *waits* from when a piece of it was given to its reader until he comes for the next; if he has come and there is none, nothing of
//! it lies here. Each session that has some has an equal share of the room, and while nobody else needs it, more.
//!
//! Where the room is full, a session that has its share is refused what may be long ([`Unread::has_room`]), so that nothing that is read has to go for
//! it. What was asked for before can still be more than there is room for. Then an answer is broken off, which frees its bytes at once: of all
//! that belong to sessions with more than their share, the one whose reader has taken nothing for the longest (SECURITY.md D9). So one that goes on
//! never goes before one that stands still, except that nobody with more than his share drives out somebody with less: else a crumb taken now
//! and then of each of sixty answers would be worth more than the one that another reads with pauses. Something always can go, so that nobody
//! waits for room, slow as all may be; and there is no clock in it: who stands alone may be as slow as he likes.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use shared::ids::SessionId;
use shared::limits;
use shared_net::body::BoxError;
use shared_net::exchange::ResponseBody;

use super::streams::Share;

/// A body that may be taken away from its reader.
type Slot<B> = Arc<Mutex<Taken<B>>>;

struct Taken<B> {
    body: Option<B>,
    /// Its reader, while he waits for the agent.
    reader: Option<Waker>,
}

/// The answers of one agent that wait for their readers. Clones are the same.
pub(crate) struct Unread<B = ResponseBody>(Arc<Mutex<Waiting<B>>>);

impl<B> Clone for Unread<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Waiting<B> {
    /// In the order in which they began to wait.
    by_session: HashMap<SessionId, BTreeMap<u64, Slot<B>>>,
    count: usize,
    next: u64,
}

/// An answer of an agent. It has its stream until it is dropped.
pub(crate) struct AgentBody<B = ResponseBody> {
    slot: Slot<B>,
    unread: Unread<B>,
    session: SessionId,
    /// While it waits for its reader.
    waits: Option<u64>,
    share: Arc<Share>,
}

/// Nobody took it, and others needed the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody read the answer for some time, and others needed the room that it took")]
pub(crate) struct LeftUnread;

impl<B> Unread<B> {
    /// None waits.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Waiting { by_session: HashMap::new(), count: 0, next: 0 })))
    }

    /// An answer for that session.
    pub(crate) fn body(&self, session: SessionId, share: Share, inner: B) -> AgentBody<B> {
        let slot = Arc::new(Mutex::new(Taken { body: Some(inner), reader: None }));
        AgentBody { slot, unread: self.clone(), session, waits: None, share: Arc::new(share) }
    }

    /// Whether another answer of that session may be long without one that is read having to go for it: there is room, or the session has less than
    /// its share, and gets what others have beyond theirs.
    pub(super) fn has_room(&self, session: SessionId) -> bool {
        let waiting = self.lock();
        let own = waiting.by_session.get(&session).map_or(0, BTreeMap::len);
        waiting.count < limits::ANSWERS_UNREAD
            || own == 0
            || own.saturating_mul(waiting.by_session.len()) < limits::ANSWERS_UNREAD
    }

    /// One more waits for its reader.
    fn waits(&self, session: SessionId, slot: &Slot<B>) -> u64 {
        let (number, left) = self.lock().waits(session, slot);
        if let Some((whose, left)) = left {
            tracing::warn!(session.id = %whose, "an answer that nobody read was broken off: others needed the room");
            // Outside of every lock: it tells the agent, and wakes who waits for what it gives back.
            let mut left = open(&left);
            let (body, reader) = (left.body.take(), left.reader.take());
            drop(left);
            drop(body);
            // He may have come in this moment.
            reader.into_iter().for_each(Waker::wake);
        }
        number
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Waiting<B> {
    /// Its number, and what has to go for it.
    fn waits(&mut self, session: SessionId, slot: &Slot<B>) -> (u64, Option<(SessionId, Slot<B>)>) {
        let number = self.next;
        self.next += 1;
        self.by_session.entry(session).or_default().insert(number, Arc::clone(slot));
        self.count += 1;
        let left = if self.count > limits::ANSWERS_UNREAD { self.take_longest() } else { None };
        (number, left)
    }

    /// It waits no more, or was taken away already.
    fn goes(&mut self, session: SessionId, number: u64) -> Option<Slot<B>> {
        let own = self.by_session.get_mut(&session)?;
        let slot = own.remove(&number)?;
        if own.is_empty() {
            self.by_session.remove(&session);
        }
        self.count = self.count.saturating_sub(1);
        Some(slot)
    }

    /// Of those beyond their sessions' shares, the one that waits longest. There are some: one more than there is room for waits.
    fn take_longest(&mut self) -> Option<(SessionId, Slot<B>)> {
        let sessions = self.by_session.len();
        let has_more = |own: &BTreeMap<u64, Slot<B>>| own.len().saturating_mul(sessions) > limits::ANSWERS_UNREAD;
        let beyond = self.by_session.iter().filter(|(_, own)| has_more(own));
        let (number, session) = beyond.filter_map(|(session, own)| Some((*own.keys().next()?, *session))).min()?;
        Some((session, self.goes(session, number)?))
    }
}

fn open<B>(slot: &Slot<B>) -> MutexGuard<'_, Taken<B>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> AgentBody<B> {
    /// Its stream, for whoever has a copy of the answer longer than this.
    pub(crate) fn share(&self) -> Arc<Share> {
        Arc::clone(&self.share)
    }

    /// Its reader has come, or has gone.
    fn is_taken(&mut self) {
        if let Some(number) = self.waits.take() {
            // Another copy of the slot: the body stays.
            drop(self.unread.lock().goes(self.session, number));
        }
    }
}

impl<B> Body for AgentBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        this.is_taken();
        let mut slot = open(&this.slot);
        let Some(inner) = slot.body.as_mut() else { return Poll::Ready(Some(Err(LeftUnread.into()))) };
        let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(cx) else {
            slot.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let more = matches!(frame, Some(Ok(_))) && !inner.is_end_stream();
        drop(slot);
        if more {
            this.waits = Some(this.unread.waits(this.session, &this.slot));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        open(&self.slot).body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        open(&self.slot).body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B> Drop for AgentBody<B> {
    fn drop(&mut self) {
        self.is_taken();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use shared_net::body::{BodySender, ChannelBody, channel};
    use uuid::Uuid;

    use super::super::streams::Streams;
    use super::*;

    struct World {
        unread: Unread<ChannelBody>,
        streams: Streams,
    }

    impl World {
        fn new() -> Self {
            Self { unread: Unread::new(), streams: Streams::new() }
        }

        /// An answer of which two pieces are there.
        async fn answer(&self, session: SessionId) -> (BodySender, AgentBody<ChannelBody>) {
            let (sender, body) = channel(4);
            for _ in 0..2 {
                sender.send(Bytes::from_static(b"piece")).await.unwrap();
            }
            (sender, self.unread.body(session, self.streams.in_any_case(session), body))
        }

        /// One whose reader has taken the first piece, and comes no more.
        async fn unread(&self, session: SessionId) -> (BodySender, AgentBody<ChannelBody>) {
            let (sender, mut body) = self.answer(session).await;
            assert!(body.frame().await.unwrap().is_ok());
            (sender, body)
        }
    }

    fn session() -> SessionId {
        SessionId::new(Uuid::new_v4())
    }

    /// Whether its source was told.
    async fn is_cut(sender: &BodySender) -> bool {
        tokio::select! {
            biased;
            () = sender.closed() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn who_leaves_more_than_his_share_unread_loses_what_waited_longest() {
        let (world, greedy, modest) = (World::new(), session(), session());
        // The modest one waits longest of all, and keeps its answer.
        let one = world.unread(modest).await;
        let mut many = Vec::new();
        for _ in 1..limits::ANSWERS_UNREAD {
            many.push(world.unread(greedy).await);
        }
        for (sender, _) in &many {
            assert!(!is_cut(sender).await, "as many as there is room for");
        }
        let two = world.unread(modest).await;
        let mut cut = Vec::new();
        for (sender, _) in &many {
            cut.push(is_cut(sender).await);
        }
        assert!(cut[0] && cut[1..].iter().all(|cut| !cut), "{cut:?}");
        let (_, first) = &mut many[0];
        let error = first.frame().await.unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&LeftUnread), "never taken for whole");
        assert!(!first.is_end_stream());
        for (sender, mut body) in [one, two] {
            assert!(!is_cut(&sender).await);
            assert!(body.frame().await.unwrap().is_ok());
        }
    }

    /// Of two who have more than their share, the one who reads, though he has most, loses nothing to the one who doesn't.
    #[tokio::test]
    async fn what_is_read_stays_while_there_is_something_that_is_not() {
        let (world, reads, pauses) = (World::new(), session(), session());
        let share = limits::ANSWERS_UNREAD / 4;
        let mut read = Vec::new();
        for _ in 0..2 * share {
            read.push(world.unread(reads).await);
        }
        let mut paused = Vec::new();
        for _ in 0..2 * share - 2 {
            paused.push(world.unread(pauses).await);
        }
        for (sender, body) in &mut read {
            sender.send(Bytes::from_static(b"piece")).await.unwrap();
            assert!(body.frame().await.unwrap().is_ok(), "its reader came again");
        }
        // Two more sessions have one each, so that a quarter of the room is everybody's share; then two more.
        let few: Vec<_> = [world.unread(session()).await, world.unread(session()).await].into();
        let more = [world.unread(reads).await, world.unread(few[0].1.session).await];
        let mut cut = Vec::new();
        for (sender, _) in &paused {
            cut.push(is_cut(sender).await);
        }
        assert!(cut[..2] == [true, true] && cut[2..].iter().all(|cut| !cut), "{cut:?}");
        for (sender, _) in read.iter().chain(&few).chain(&more) {
            assert!(!is_cut(sender).await);
        }
    }

    /// Where nobody can have anything without another losing it, who has his share waits until his own are read; who has less does not.
    #[tokio::test]
    async fn who_has_his_share_unread_is_refused_more() {
        let (world, greedy, modest) = (World::new(), session(), session());
        let mut many = Vec::new();
        for _ in 0..limits::ANSWERS_UNREAD {
            assert!(world.unread.has_room(greedy));
            many.push(world.unread(greedy).await);
        }
        assert!(!world.unread.has_room(greedy));
        let mut few = Vec::new();
        for _ in 0..limits::ANSWERS_UNREAD / 2 {
            assert!(world.unread.has_room(modest), "what the other has beyond his share");
            few.push(world.unread(modest).await);
        }
        assert!(!world.unread.has_room(modest) && !world.unread.has_room(greedy));
        for (sender, _) in &few {
            assert!(!is_cut(sender).await);
        }
        few.pop();
        assert!(world.unread.has_room(modest) && world.unread.has_room(greedy), "there is room again");
        drop((many, few));
        // However many there are.
        let mut crowd = Vec::new();
        for _ in 0..limits::ANSWERS_UNREAD {
            crowd.push(world.unread(session()).await);
        }
        assert!(world.unread.has_room(modest) && !world.unread.has_room(crowd[0].1.session));
    }

    /// Readers that come, however many there are, and watches that are quiet.
    #[tokio::test]
    async fn an_answer_that_is_read_is_never_broken_off() {
        let (world, whose) = (World::new(), session());
        let mut all = Vec::new();
        for _ in 0..4 * limits::ANSWERS_UNREAD {
            let (sender, mut body) = world.answer(whose).await;
            for _ in 0..2 {
                assert!(body.frame().await.unwrap().is_ok());
            }
            tokio::select! {
                biased;
                _ = body.frame() => panic!("there is nothing more yet"),
                () = std::future::ready(()) => {}
            }
            all.push((sender, body));
        }
        for (sender, _) in &all {
            assert!(!is_cut(sender).await);
        }
        drop(all);
        let left = world.unread.lock();
        assert!(left.count == 0 && left.by_session.is_empty(), "nothing is left behind");
    }
}
