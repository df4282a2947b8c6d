//! `sallyport serve`, `check-config`, `pin`.

use std::path::Path;
use std::process::ExitCode;

use shared_net::clock::Clock;
use shared_net::pki::Ca;
use shared_net::telemetry::{self, Format, LogConfig};
use tokio::signal::unix::{SignalKind, signal};

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = app::build(config, how, Clock::system()).await?;
        let at = app.addresses()?;
        tracing::info!(quic = %at.quic, web = %at.web, admin = %at.admin, pin = %at.pin, "control plane is up");
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        app.run(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        })
        .await
    })
}

pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    crate::authn::Authn::new(&config)?;
    if let Some(policy) = &config.policy {
        crate::policies::read(policy)
            .map_err(|mistakes| anyhow::anyhow!("{}:\n  {}", policy.display(), mistakes.join("\n  ")))?;
    }
    super::print(&format!("{} is right", path.display()));
    Ok(())
}

pub(super) fn pin(data: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(data)?;
    let ca = Ca::load_or_create(data, "sallyport", Clock::system().now())?;
    super::print(&ca.pin().to_string());
    Ok(())
}
