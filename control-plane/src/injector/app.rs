//! Puts the injector together: `build` binds its sockets and reads its certificate, `run` serves until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shared_net::admin::Admin;
use shared_net::clock::Clock;
use shared_net::drain::{self, Drain, DrainTrigger};
use shared_net::metrics::Metrics;
use shared_net::ready::Readiness;
use shared_net::tasks::TaskSet;

use super::config::Config;
use super::listen::Listener;
use super::metrics::InjectorMetrics;
use super::tls::Certificate;

/// Time for what runs to end, last calls included.
const DRAIN: Duration = Duration::from_secs(15);

/// An injector whose sockets are bound.
pub struct App {
    listener: Listener,
    admin: Admin,
    certificate: Arc<Certificate>,
    metrics: Arc<InjectorMetrics>,
    clock: Clock,
    trigger: DrainTrigger,
    drain: Drain,
}

/// Binds and reads.
///
/// # Errors
/// An address that is taken, a certificate that can't be used.
pub async fn build(config: Config, clock: Clock) -> anyhow::Result<App> {
    let certificate = Arc::new(Certificate::load(config.tls.clone()).context("the webhook has no certificate")?);
    let registry = Metrics::new();
    let metrics = Arc::new(InjectorMetrics::new(&registry));
    let at = config.admin;
    let listener = Listener::bind(config, Arc::clone(&certificate), Arc::clone(&metrics), clock.clone()).await?;
    // Whoever can ask is ready: everything else was read before.
    let admin =
        Admin::bind(at, Readiness::new(), registry).await.with_context(|| format!("TCP {at} can't be bound"))?;
    let (trigger, drain) = drain::channel();
    Ok(App { listener, admin, certificate, metrics, clock, trigger, drain })
}

impl App {
    /// Where it listens: the webhook, and /livez, /readyz, /metrics.
    ///
    /// # Errors
    /// A socket is gone.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.listener.local_addr()?, self.admin.local_addr()?))
    }

    /// Serves until `stop` resolves; then answers for some seconds more, while it is not ready, and ends.
    ///
    /// # Errors
    /// A task without which the process is of no use died.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, admin, certificate, metrics, clock, trigger, drain } = self;
        let (tasks, background) = (TaskSet::new(), TaskSet::new());
        background.spawn("admin", admin.run(background.clone(), drain.clone()));
        background.spawn_core("certificate", certificate.follow(clock, metrics));
        tasks.spawn_core("webhook", listener.run(tasks.clone(), drain.clone()));
        drop(drain);
        let died = tokio::select! {
            () = stop => None,
            name = tasks.fatal() => Some(name),
            name = background.fatal() => Some(name),
        };
        tracing::info!("draining");
        if !trigger.drain(DRAIN).await {
            tracing::warn!("the drain took too long; what still runs is cut");
        }
        tasks.cancel();
        background.cancel();
        tasks.wait().await;
        match died {
            None => Ok(()),
            Some(name) => anyhow::bail!("the task {name:?} died"),
        }
    }
}
