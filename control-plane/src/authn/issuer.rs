//! The keys of one issuer: discovered (OpenID Connect Discovery 1.0 §4), cached, fetched by one caller at a time, throttled.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use control_plane_core::identity::token::{KeySet, TokenError, unverified_key_id};
use serde::Deserialize;
use shared::limits;
use shared::time::Timestamp;
use tokio::sync::Mutex;

use super::fetch::{self, FetchError};
use crate::config::Issuer;

/// Why a token of this issuer can't be checked or does not count.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The issuer can't be asked, and what is cached is absent or too old.
    #[error("the keys of issuer {0} can't be had right now")]
    Keys(String),
}

/// One issuer with its cached keys.
pub(crate) struct IssuerKeys {
    pub(crate) config: Issuer,
    tls: Arc<rustls::ClientConfig>,
    cached: RwLock<Option<Cached>>,
    /// Held while fetching: whoever waits for it finds fresh keys (single flight). Holds the time of the last try.
    fetching: Mutex<Option<Timestamp>>,
}

#[derive(Clone)]
struct Cached {
    keys: Arc<KeySet>,
    fetched: Timestamp,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl IssuerKeys {
    pub(crate) fn new(config: Issuer, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { config, tls, cached: RwLock::new(None), fetching: Mutex::new(None) }
    }

    /// Keys that know this token's key id; fetched anew at most once per [`limits::ISSUER_REFETCH`].
    pub(crate) async fn keys_for(&self, token: &str, now: Timestamp) -> Result<Arc<KeySet>, IssuerError> {
        let id = unverified_key_id(token)?;
        if let Some(keys) = self.usable(id.as_deref(), now) {
            // One caller renews keys that grow old; everybody else goes on with them.
            if self.age(now).is_some_and(|age| age >= limits::ISSUER_FRESH)
                && let Ok(mut last_try) = self.fetching.try_lock()
            {
                self.refetch(&mut last_try, now).await;
                return self
                    .usable(id.as_deref(), now)
                    .ok_or_else(|| TokenError::UnknownKey(id.unwrap_or_default()).into());
            }
            return Ok(keys);
        }
        let mut last_try = self.fetching.lock().await;
        if let Some(keys) = self.usable(id.as_deref(), now) {
            return Ok(keys);
        }
        self.refetch(&mut last_try, now).await;
        match self.usable(id.as_deref(), now) {
            Some(keys) => Ok(keys),
            None if self.fresh(now).is_some() => Err(TokenError::UnknownKey(id.unwrap_or_default()).into()),
            None => Err(IssuerError::Keys(self.config.issuer.clone())),
        }
    }

    /// Fetches the keys unless that was tried a moment ago.
    async fn refetch(&self, last_try: &mut Option<Timestamp>, now: Timestamp) {
        if last_try.is_some_and(|at| now.since(at) < limits::ISSUER_REFETCH) {
            return;
        }
        *last_try = Some(now);
        match self.fetch().await {
            Ok(keys) => {
                let cached = Cached { keys: Arc::new(keys), fetched: now };
                *self.cached.write().unwrap_or_else(PoisonError::into_inner) = Some(cached);
            }
            Err(error) => {
                let error = shared::chain::Chain(&error).to_string();
                tracing::warn!(issuer = %self.config.issuer, error, "the issuer's keys could not be fetched");
            }
        }
    }

    fn age(&self, now: Timestamp) -> Option<Duration> {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        cached.as_ref().map(|cached| now.since(cached.fetched))
    }

    fn usable(&self, id: Option<&str>, now: Timestamp) -> Option<Arc<KeySet>> {
        self.fresh(now).filter(|keys| keys.knows(id))
    }

    fn fresh(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        (now.since(cached.fetched) < limits::ISSUER_MAX_AGE).then_some(cached.keys)
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let issuer = &self.config.issuer;
        let private = self.config.danger_allow_private_address;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = fetch::get(&url, &self.tls, private).await?;
        let discovery: Discovery = serde_json::from_slice(&document).map_err(|_| FetchError::Body(url.clone()))?;
        if discovery.issuer != *issuer {
            return Err(FetchError::Url(discovery.issuer));
        }
        let keys = fetch::get(&discovery.jwks_uri, &self.tls, private).await?;
        KeySet::parse(&keys).filter(|keys| !keys.is_empty()).ok_or(FetchError::Body(discovery.jwks_uri))
    }
}
