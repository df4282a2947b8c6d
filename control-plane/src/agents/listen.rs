//! Which agents can be heard. A process that was killed says no goodbye, and QUIC notices after [`limits::IDLE`] only; an approval that is
//! spent on its connection meanwhile is spent for nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http_body_util::Full;
use shared::wire;
use shared_net::exchange;

use super::{AgentLink, Agents};

/// Between two looks at what was heard; who was silent meanwhile is asked.
const LOOK: Duration = Duration::from_secs(1);
/// An agent that lives answers within this time.
const ANSWER: Duration = Duration::from_secs(1);

impl AgentLink {
    /// Notes whether the agent can be heard, for as long as the future lives.
    pub(super) async fn listen(&self) -> Infallible {
        let mut heard = self.connection.heard();
        loop {
            tokio::time::sleep(LOOK).await;
            let alive = self.connection.heard() != heard || self.answers().await;
            heard = self.connection.heard();
            self.silent.store(!alive, Ordering::Relaxed);
        }
    }

    /// Whether it answers now.
    async fn answers(&self) -> bool {
        let request =
            http::Request::get(wire::path::PING).header(HOST, wire::HOST_CONTROL).body(Full::new(Bytes::new()));
        let Ok(request) = request else { return false };
        let answered = tokio::time::timeout(ANSWER, exchange::send(&self.connection, request)).await;
        let answered = matches!(answered, Ok(Ok(_)));
        if !answered {
            self.silent.store(true, Ordering::Relaxed);
        }
        answered
    }
}

impl Agents {
    /// An agent of the cluster that has just answered: for what must not be lost on its way. One round trip, and one approval.
    pub async fn pick_answering(&self, cluster: &str) -> Option<Arc<AgentLink>> {
        for _ in 0..self.count(cluster).saturating_add(1) {
            let link = self.pick_or_wait(cluster).await?;
            if link.answers().await {
                return Some(link);
            }
        }
        None
    }
}
