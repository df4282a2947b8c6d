//! The runtime, and the signals that end the process.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Runs on one thread: a sidecar carries one runner's calls, and every thread costs each pod memory.
///
/// # Errors
/// No runtime, or what the future says.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?
        .block_on(future)
}

/// Resolves on SIGTERM or SIGINT. Where a signal can't be listened for, it keeps its default: the process ends.
pub async fn stop() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
