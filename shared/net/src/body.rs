//! Bodies: bounded reading, and a body that is pushed into and can't end by accident.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;

/// Whatever went wrong in a body.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A body of any origin. Not `Sync`: streams are read by one task.
pub type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> BoxBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> BoxBody {
    full(Bytes::new())
}

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than allowed.
    #[error("body is larger than {limit} bytes")]
    TooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// Nothing came for too long.
    #[error("body made no progress for {wait:?}")]
    Idle {
        /// The bound.
        wait: Duration,
    },
    /// It broke off.
    #[error("body broke off")]
    Broken(#[source] BoxError),
}

/// Reads a body to its end: at most `limit` bytes, and never silent for longer than `idle`. Trailers are dropped.
///
/// # Errors
/// See [`BodyError`]; a declared length above the limit is refused before anything is read.
pub async fn collect_bounded<B>(body: B, limit: usize, idle: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let too_large = BodyError::TooLarge { limit };
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large);
    }
    let mut body = std::pin::pin!(body);
    // Most bodies come in one piece, which is then handed on without a copy.
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error.into())),
            Ok(None) => break,
            Err(_) => return Err(BodyError::Idle { wait: idle }),
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = if rest.is_empty() { first.len() } else { rest.len() };
        if data.len() > limit.saturating_sub(length) {
            return Err(too_large);
        }
        if length == 0 {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// The pushing end of a [`ChannelBody`]. Dropped without [`Self::finish`], it breaks the body off: an answer that lost its source is
/// never taken for complete.
#[derive(Debug)]
pub struct BodySender(mpsc::Sender<Piece>);

/// The reading end.
#[derive(Debug)]
pub struct ChannelBody {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    End,
    Abort(BoxError),
}

/// The reader of a body is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads this body any more")]
pub struct ReaderGone;

/// A body was given up by its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the source of this body ended before the body did")]
pub struct SourceGone;

/// A body to push into; at most `depth` pieces wait for the reader.
pub fn channel(depth: usize) -> (BodySender, ChannelBody) {
    let (sender, pieces) = mpsc::channel(depth.max(1));
    (BodySender(sender), ChannelBody { pieces, ended: false })
}

impl BodySender {
    /// Hands on one piece; waits while the reader is behind.
    ///
    /// # Errors
    /// The reader is gone, so the source can stop.
    pub async fn send(&self, data: Bytes) -> Result<(), ReaderGone> {
        self.0.send(Piece::Data(data)).await.map_err(|_| ReaderGone)
    }

    /// The body is complete.
    ///
    /// # Errors
    /// The reader left before its end.
    pub async fn finish(self) -> Result<(), ReaderGone> {
        self.0.send(Piece::End).await.map_err(|_| ReaderGone)
    }

    /// Breaks the body off with a reason.
    pub async fn abort(self, error: impl Into<BoxError>) {
        // If the reader is gone there is nobody to tell.
        drop(self.0.send(Piece::Abort(error.into())).await);
    }

    /// Resolves when the reader is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        Poll::Ready(match piece {
            Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            Some(Piece::Abort(error)) => {
                self.ended = true;
                Some(Err(error))
            }
            None => {
                self.ended = true;
                Some(Err(SourceGone.into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn reads_to_the_bound_and_not_past_it() {
        for sizes in [vec![], vec![10], vec![3, 7], vec![0, 4, 0, 6]] {
            let (sender, body) = channel(8);
            for size in &sizes {
                sender.send(Bytes::from(vec![b'x'; *size])).await.unwrap();
            }
            sender.finish().await.unwrap();
            let total: usize = sizes.iter().sum();
            assert_eq!(collect_bounded(body, 10, WAIT).await.unwrap().len(), total);
        }
        let (sender, body) = channel(8);
        for _ in 0..3 {
            sender.send(Bytes::from_static(b"xxxx")).await.unwrap();
        }
        assert!(matches!(collect_bounded(body, 11, WAIT).await, Err(BodyError::TooLarge { limit: 11 })));
        assert!(matches!(
            collect_bounded(full("123456789012"), 11, WAIT).await,
            Err(BodyError::TooLarge { limit: 11 })
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_a_lost_source_are_errors() {
        let (sender, body) = channel(1);
        assert!(matches!(collect_bounded(body, 10, WAIT).await, Err(BodyError::Idle { .. })));
        assert_eq!(sender.send(Bytes::new()).await, Err(ReaderGone));
        let (sender, body) = channel(1);
        sender.send(Bytes::from_static(b"x")).await.unwrap();
        drop(sender);
        assert!(matches!(collect_bounded(body, 10, WAIT).await, Err(BodyError::Broken(_))));
    }
}
