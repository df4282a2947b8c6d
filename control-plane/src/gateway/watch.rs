//! The end of a watch that can't go on here: its agent goes away, or this process does. A watch may end between two events at any time, and
//! its client asks again; cut anywhere else it would be an error to people. And who drains need not wait for watches, which never end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use control_plane_core::documents::Documents;
use control_plane_core::request_info::Verb;
use http::StatusCode;
use shared_net::drain::Drain;

use crate::agents::AgentLink;
use crate::records::OperationLog;

/// Knows when to end a watch.
pub(super) struct WatchEnd {
    leaving: Pin<Box<dyn Future<Output = ()> + Send>>,
    left: bool,
    events: Documents,
}

impl WatchEnd {
    /// For the answer to a watch; `None` for any other.
    pub(super) fn of(log: &OperationLog, status: StatusCode, drain: &Drain, link: Arc<AgentLink>) -> Option<Self> {
        if log.opening().info.verb != Verb::Watch || status != StatusCode::OK {
            return None;
        }
        let mut drain = drain.clone();
        let leaving = Box::pin(async move {
            tokio::select! {
                _ = drain.started() => {}
                () = link.left() => {}
            }
        });
        Some(Self { leaving, left: false, events: Documents::default() })
    }

    /// Takes note of what goes to the client.
    pub(super) fn passed(&mut self, piece: &[u8]) {
        self.events.push(piece);
    }

    /// Whether it is to end, and may.
    pub(super) fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        self.left = self.left || matches!(self.leaving.as_mut().poll(cx), Poll::Ready(()));
        self.left && self.events.is_between()
    }
}
