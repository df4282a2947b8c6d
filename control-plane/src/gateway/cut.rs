//! Cuts a stream when its session ends (revoked, or its token expired long ago): the client sees a broken stream, not a clean end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use shared_net::body::{BoxBody, BoxError};

use crate::sessions::{Running, Session};

/// A body that ends with its session.
pub(super) struct Cut {
    inner: BoxBody,
    ended: Pin<Box<dyn Future<Output = String> + Send>>,
    /// The operation counts as under way for as long as its answer runs.
    _running: Running,
}

/// The session is over.
#[derive(Debug, thiserror::Error)]
#[error("the session is over: {0}")]
struct SessionOver(String);

impl Cut {
    pub(super) fn new(inner: BoxBody, session: Arc<Session>, running: Running) -> Self {
        Self { inner, ended: Box::pin(async move { session.ended().await }), _running: running }
    }
}

impl Body for Cut {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // The end of the session goes first, so that a revoked stream is cut even while bytes keep coming.
        if let Poll::Ready(why) = self.ended.as_mut().poll(cx) {
            return Poll::Ready(Some(Err(SessionOver(why).into())));
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
