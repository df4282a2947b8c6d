//! After a validated 101: bytes both ways, until either side ends or breaks.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use shared_net::drain::Drain;
use shared_net::tasks::TaskSet;

/// Joins the two upgraded streams in a task of its own. An abort on one side is an abort on the other: both are dropped unfinished.
pub(crate) fn start(client: OnUpgrade, control_plane: OnUpgrade, tasks: &TaskSet, mut drain: Drain) {
    let guard = drain.guard();
    tasks.spawn("tunnel", async move {
        let _guard = guard;
        let splice = async {
            let (client, control_plane) = match tokio::try_join!(client, control_plane) {
                Ok(both) => both,
                Err(error) => {
                    tracing::debug!(%error, "upgrade did not happen");
                    return;
                }
            };
            let (mut client, mut control_plane) = (TokioIo::new(client), TokioIo::new(control_plane));
            match tokio::io::copy_bidirectional(&mut client, &mut control_plane).await {
                Ok((up, down)) => tracing::debug!(up, down, "tunnel ended"),
                Err(error) => tracing::debug!(%error, "tunnel broke"),
            }
        };
        tokio::select! {
            () = splice => {}
            () = drain.immediate() => {}
        }
    });
}
