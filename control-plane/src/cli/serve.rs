//! `sallyport serve`, `check-config`, `pin`.

use std::path::Path;
use std::process::ExitCode;

use shared_net::clock::Clock;
use shared_net::pki::Ca;
use shared_net::signals;
use shared_net::telemetry::{self, Format, LogConfig};

use crate::app;
use crate::config::Config;
use crate::store::Start;

pub(super) fn serve(path: &Path, how: Start) -> ExitCode {
    match start(path, how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

fn start(path: &Path, how: Start) -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the one variable of the control plane, read once")]
    let filter = std::env::var("SALLYPORT_LOG").unwrap_or_else(|_| "info".to_owned());
    telemetry::init(&LogConfig::parse(&filter, Format::Auto)?)?;
    shared_net::crypto::install_default();
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build()?;
    runtime.block_on(async {
        let stop = signals::stop()?;
        let app = app::build(config, how, Clock::system()).await?;
        let at = app.addresses()?;
        tracing::info!(quic = %at.quic, web = %at.web, admin = %at.admin, pin = %at.pin, "control plane is up");
        app.run(stop).await
    })
}

/// Half of the cores. An operation is a chain of short steps in tasks that wake each other; with more threads than work, most of what a
/// thread does is to be woken for a step that another has taken already. The store's writer and the kernel's network need the rest.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    Config::check(path)?;
    super::print(&format!("{} is right", path.display()));
    Ok(())
}

pub(super) fn pin(data: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(data)?;
    let ca = Ca::load_or_create(data, "sallyport", Clock::system().now())?;
    super::print(&ca.pin().to_string());
    Ok(())
}
