//! The signals that ask a process to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Listens for SIGTERM and SIGINT from now on; the future resolves on the first of them, also where that came before it was polled.
///
/// A process calls this first of all that it does in its runtime. Until then a signal has its default effect, and for the first process of
/// a container, which all of ours are, the default is to ignore it (signal(7), pid_namespaces(7)): the Pod would then be gone only after its
/// whole grace period. A signal is lost too in the few microseconds in which signal-hook-registry has its handler in place and not yet its
/// list.
///
/// # Errors
/// Signals can't be listened for.
///
/// # Panics
/// Outside of a runtime.
pub fn stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[tokio::test]
    async fn a_signal_counts_that_comes_before_anybody_waits_for_it() {
        let stop = super::stop().expect("signals can be listened for");
        let me = std::process::id().to_string();
        // Without a listener this would be the end of the test.
        assert!(Command::new("kill").args(["-TERM", &me]).status().expect("kill is installed").success());
        stop.await;
    }
}
