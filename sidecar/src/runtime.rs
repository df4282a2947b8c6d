//! The runtime of the process.

use anyhow::Context as _;

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
