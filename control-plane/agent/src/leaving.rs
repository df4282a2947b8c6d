//! The end of the agent, as far as its control plane is concerned: it is told first, so that no operation comes here any more while there
//! is another agent to go to. Nothing depends on its hearing it: what is sent here all the same is given back untouched.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use shared::{limits, wire};
use shared_net::endpoint::Connection;
use shared_net::exchange;

/// The connection that there is just now. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct Current(Arc<Mutex<Option<Connection>>>);

impl Current {
    /// Puts a connection there, in place of the one before.
    pub(crate) fn is(&self, connection: &Connection) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
    }

    /// Says that this process is going away, and goes on for a moment with what was on its way here.
    pub(crate) async fn leave(&self) {
        let Some(connection) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if connection.close_reason().is_some() {
            return;
        }
        let request =
            Request::post(wire::path::LEAVING).header(header::HOST, wire::HOST_CONTROL).body(Full::new(Bytes::new()));
        let Ok(request) = request else { return };
        match tokio::time::timeout(limits::LEAVE_WAIT, exchange::send(&connection, request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => tokio::time::sleep(limits::AGENT_LAST_CALLS).await,
            Ok(Ok(answer)) => {
                tracing::warn!(status = %answer.status(), "the control plane does not know what leaving is")
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %shared::chain::Chain(&error), "the control plane was not told that this agent ends");
            }
            Err(_) => tracing::warn!("the control plane did not hear that this agent ends"),
        }
    }
}
