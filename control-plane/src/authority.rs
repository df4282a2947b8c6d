//! The control plane's own authority, and the certificate that it shows to sidecars, agents and people.
//!
//! Peers pin the authority's key, or the key of the one before it while that vouches for this one. The certificate under it is new at each start and is renewed long before it ends, so that a process may
//! run for years.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::endpoint::ResetKey;
use shared_net::pki::{Ca, Identity, KeyPin, PkiError};
use shared_net::tls::ServerKeys;

use crate::config::Config;

/// A certificate lives so long.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Between two of them.
const RENEW: Duration = Duration::from_secs(7 * 24 * 3600);

/// The authority, and the names that its certificates are for.
pub(crate) struct Authority {
    ca: Ca,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Authority {
    /// Reads it from the folder that the configuration names, or from the data folder, where it is made if need be.
    pub(crate) fn load(config: &Config, now: Timestamp) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
        let ca = match &config.ca {
            Some(folder) => Ca::load(folder, "sallyport"),
            None => Ca::load_or_create(&config.data, "sallyport", now),
        };
        let ca = ca.context("the control plane's own CA can't be read or made")?;
        if ca.before_pem().is_some() {
            tracing::info!("the authority before this one is still trusted, until `sallyport ca finish`");
        }
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        for name in config.web_names() {
            match name.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => names.push(name),
            }
        }
        Ok(Self { ca, names, addresses })
    }

    pub(crate) fn pin(&self) -> KeyPin {
        self.ca.pin()
    }

    pub(crate) fn reset_key(&self) -> ResetKey {
        ResetKey::new(self.ca.derive(b"sallyport stateless reset"))
    }

    /// What listeners show.
    pub(crate) fn keys(&self, now: Timestamp) -> anyhow::Result<Arc<ServerKeys>> {
        let identity = self.issue(now).context("no server certificate could be issued")?;
        Ok(Arc::new(ServerKeys::new(&identity).context("the certificate is refused")?))
    }

    fn issue(&self, now: Timestamp) -> Result<Identity, PkiError> {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        self.ca.issue_server(&names, &self.addresses, now, LIFE)
    }

    /// Renews what listeners show, for ever. Connections that are open go on with what they were opened with.
    pub(crate) async fn renew(self, keys: Arc<ServerKeys>, clock: Clock) {
        loop {
            clock.sleep(RENEW).await;
            match self.issue(clock.now()) {
                Ok(identity) => match keys.replace(&identity) {
                    Ok(()) => tracing::info!("the certificate was renewed"),
                    Err(error) => {
                        tracing::error!(%error, "the renewed certificate can't be used; the one before stays")
                    }
                },
                Err(error) => {
                    let error = shared::chain::Chain(&error).to_string();
                    tracing::error!(error, "the certificate can't be renewed; the one before stays");
                }
            }
        }
    }
}
