//! A bidirectional QUIC stream as one byte stream that is either *finished* or *reset*, never silently both.
//!
//! quinn's `SendStream` sends FIN when dropped (quinn-rs/quinn#2411), so an exchange that was given up would look complete. Here only
//! `poll_shutdown` finishes; any other drop resets our half and stops the peer's.
//!
//! A request without a body is finished with its head, in the same packet (`QuicIo::finish_with_head`). To hyper's server the end of
//! what it reads means that its client has left, so the answering side does not pass the end of such a request on: it waits for what
//! really says that the client has left, which is that it stops our half (`QuicIo::answers`).
//!
//! The answering side is done when all of its answer has *arrived*: a connection that is closed takes with it what still lies in its
//! buffers, so who drains must not take an answer for given before.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use shared::wire::code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both halves of one stream.
pub struct QuicIo {
    send: SendStream,
    recv: RecvStream,
    /// The exchange is over in good order.
    finished: bool,
    /// The stream is given back as it came.
    refused: bool,
    /// Our half was finished before the exchange was over.
    ended: bool,
    unwanted: bool,
    head: Head,
    /// On the answering side: whether the request is known to be whole.
    whole: Option<Arc<AtomicBool>>,
    left: Option<Left>,
    /// Resolves when our half has arrived.
    arrived: Option<Left>,
}

/// Resolves when the peer does not want our half any more.
type Left = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

/// Whether our half ends with the head of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// It does not, or has already.
    Past,
    /// It does, and nothing of it is written yet.
    Awaited,
    /// It does, and the next flush is its end.
    Written,
}

impl fmt::Debug for QuicIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicIo").field("send", &self.send).field("finished", &self.finished).finish_non_exhaustive()
    }
}

impl QuicIo {
    /// Joins the halves of a stream.
    pub const fn new(send: SendStream, recv: RecvStream) -> Self {
        Self {
            send,
            recv,
            finished: false,
            refused: false,
            ended: false,
            unwanted: false,
            head: Head::Past,
            whole: None,
            left: None,
            arrived: None,
        }
    }

    /// Gives a stream of the peer back, with nothing of it read.
    pub(crate) fn refuse(mut self) {
        self.refused = true;
    }

    /// Our half ends with the first flush after the first byte: for a request that is nothing but a head. hyper flushes only when all that
    /// it has is written.
    #[must_use]
    pub(crate) const fn finish_with_head(mut self) -> Self {
        self.head = Head::Awaited;
        self
    }

    /// For the answering side: once `whole` is set, the end of what the peer sends is no news, and reading waits until the peer leaves.
    #[must_use]
    pub(crate) fn answers(mut self, whole: Arc<AtomicBool>) -> Self {
        self.whole = Some(whole);
        self
    }

    /// Waits for the peer to leave.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let send = &self.send;
        let left = self.left.get_or_insert_with(|| Box::pin(send.stopped()));
        ended(std::task::ready!(left.as_mut().poll(cx)))
    }

    /// Waits until all of ours has arrived, which is after it was finished.
    fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (send, left) = (&self.send, &mut self.left);
        // The same question: what `left` waits for is the end of our half too.
        let arrived = self.arrived.get_or_insert_with(|| left.take().unwrap_or_else(|| Box::pin(send.stopped())));
        ended(std::task::ready!(arrived.as_mut().poll(cx)))
    }
}

/// What the end of our half means to hyper.
fn ended(how: Result<Option<VarInt>, StoppedError>) -> Poll<io::Result<()>> {
    Poll::Ready(match how {
        // Everything of ours has arrived, or the rest is not wanted: an orderly end.
        Ok(None) => Ok(()),
        Ok(Some(reason)) if reason == VarInt::from_u32(code::SHUTDOWN) => Ok(()),
        Ok(Some(_)) => Err(io::ErrorKind::ConnectionReset.into()),
        Err(lost) => Err(lost.into()),
    })
}

/// Whether an error of a stream says that the peer gave the stream back untouched.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let refused = VarInt::from_u32(code::REFUSED);
    let Some(inner) = error.get_ref() else { return false };
    matches!(inner.downcast_ref(), Some(ReadError::Reset(reason)) if *reason == refused)
        || matches!(inner.downcast_ref(), Some(WriteError::Stopped(reason)) if *reason == refused)
}

impl AsyncRead for QuicIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left.is_some() {
            return self.poll_left(cx);
        }
        let before = buf.filled().len();
        std::task::ready!(AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buf))?;
        let ended = buf.filled().len() == before && buf.remaining() > 0;
        if ended && self.whole.as_ref().is_some_and(|whole| whole.load(Ordering::Relaxed)) {
            return self.poll_left(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for QuicIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.unwanted {
            return Poll::Ready(Ok(buf.len()));
        }
        if self.head == Head::Awaited {
            self.head = Head::Written;
        }
        match Pin::new(&mut self.send).poll_write(cx, buf) {
            // An orderly stop means that the peer has answered and does not want the rest of our body. The answer must still be read, so
            // the rest goes nowhere instead of ending the exchange with an error. A stop with any other code is a cancellation.
            Poll::Ready(Err(WriteError::Stopped(reason))) if reason == VarInt::from_u32(code::SHUTDOWN) => {
                self.unwanted = true;
                Poll::Ready(Ok(buf.len()))
            }
            Poll::Ready(result) => Poll::Ready(result.map_err(io::Error::from)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // quinn sends what is written; there is no buffer of ours.
        if self.head == Head::Written {
            self.head = Head::Past;
            if !self.unwanted {
                self.send.finish().map_err(io::Error::from)?;
            }
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            self.finished = true;
            if !self.unwanted && !self.ended {
                self.send.finish().map_err(io::Error::from)?;
            }
        }
        if self.whole.is_none() { Poll::Ready(Ok(())) } else { self.poll_arrived(cx) }
    }
}

impl Drop for QuicIo {
    fn drop(&mut self) {
        let reason = match (self.finished, self.refused) {
            (true, _) => code::SHUTDOWN,
            (false, true) => code::REFUSED,
            (false, false) => code::CANCELLED,
        };
        if !self.finished {
            drop(self.send.reset(VarInt::from_u32(reason)));
        }
        // Fails only when the peer's half has ended already.
        drop(self.recv.stop(VarInt::from_u32(reason)));
    }
}
