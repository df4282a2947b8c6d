//! `sallyport inject`.

use std::path::Path;

use shared_net::clock::Clock;
use shared_net::signals;
use shared_net::telemetry::{self, Format, LogConfig};

use crate::injector::app;
use crate::injector::config::Config;

pub(super) fn run(path: &Path, check: bool) -> anyhow::Result<()> {
    if check {
        Config::load(path)?;
        super::print(&format!("{} is right", path.display()));
        return Ok(());
    }
    #[expect(clippy::disallowed_methods, reason = "the one variable of the injector, read once")]
    let filter = std::env::var("SALLYPORT_LOG").unwrap_or_else(|_| "info".to_owned());
    telemetry::init(&LogConfig::parse(&filter, Format::Auto)?)?;
    shared_net::crypto::install_default();
    let config = Config::load(path)?;
    // One thread: an answer takes a fraction of a millisecond, and a Pod is created a few times a second at most.
    super::wait(async {
        let stop = signals::stop()?;
        let app = app::build(config, Clock::system()).await?;
        let (webhook, admin) = app.addresses()?;
        tracing::info!(%webhook, %admin, "injector is up");
        app.run(stop).await
    })
}
