//! Who is asking: tokens against keys. The rules are in `core::identity`; here are the keys.
//!
//! A cluster's ServiceAccount keys were pinned by an admin, in a file, which is followed, or with a one-time token (`clusters.rs`); neither
//! the cluster nor an agent can swap them later, and new ones are adopted only where the admin says so (`pinned.rs`). The keys of OIDC
//! issuers are fetched and cached.

mod clusters;
mod fetch;
mod issuer;
mod pinned;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use control_plane_core::identity::token::{Expected, TokenError, unverified_issuer};
use control_plane_core::identity::verify::{self, Approver, CiRules, Events, Verified};
use control_plane_core::identity::{Identity, PodIdentity};
use shared::config::Problems;
use shared::time::Timestamp;

use crate::config::{Cluster, Config, Issuer, IssuerKind};
use clusters::Known;
pub use clusters::{Candidate, NotAdmitted};
pub use issuer::IssuerError;
use issuer::IssuerKeys;
pub use pinned::Offered;
use pinned::PinnedKeys;
use tokio::sync::{Notify, watch};

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthnError {
    /// No configured cluster or issuer has this `iss`.
    #[error("the token is from issuer {0:?}, which is not configured here")]
    UnknownIssuer(String),
    /// The token itself.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The cluster demands a CI token beside the pod's.
    #[error("cluster {0} needs the CI provider's token beside the pod's, and none came")]
    CiRequired(String),
    /// The agent's TokenReview said no.
    #[error("the cluster's token review says: {0}")]
    Review(String),
    /// There is nobody to ask for a token review.
    #[error("no agent of cluster {0} is connected, so the pod's token can't be reviewed")]
    NoReview(String),
}

/// All keys of all issuers.
pub struct Authn {
    clusters: RwLock<BTreeMap<String, Arc<Known>>>,
    /// Told when a cluster comes or goes.
    changed: watch::Sender<u64>,
    /// Where adopted keys are kept.
    data: PathBuf,
    /// Told when a token names a key that its cluster does not have here.
    strange: Notify,
    ci: Vec<IssuerKeys>,
    approvers: Vec<IssuerKeys>,
}

impl Authn {
    /// Reads the pinned keys; fetches nothing yet.
    pub fn new(config: &Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut clusters = BTreeMap::new();
        for cluster in config.clusters.values() {
            let key = format!("clusters[{}].keys", cluster.name);
            if let Some(keys) = problems.take(&key, PinnedKeys::read(cluster, &config.data)) {
                let known = Known { cluster: Arc::new(cluster.clone()), keys };
                clusters.insert(cluster.name.clone(), Arc::new(known));
            }
        }
        let mut issuers = |list: &[Issuer], key: &str| {
            let all = list.iter().map(|issuer| (issuer.clone(), problems.take(key, tls(issuer))));
            all.filter_map(|(issuer, tls)| Some(IssuerKeys::new(issuer, tls?))).collect::<Vec<_>>()
        };
        let (ci, approvers) =
            (issuers(&config.ci_issuers, "ciIssuers"), issuers(&config.approver_issuers, "approverIssuers"));
        let (clusters, changed, data) = (RwLock::new(clusters), watch::Sender::new(0), config.data.clone());
        problems.finish(Some(Self { clusters, changed, data, strange: Notify::new(), ci, approvers }))
    }

    /// The pod behind a sidecar's token, by signature alone: the token review is still to come.
    pub fn pod(&self, token: &str, now: Timestamp) -> Result<(Arc<Cluster>, Verified<PodIdentity>), AuthnError> {
        let issuer = unverified_issuer(token)?;
        // Several clusters may share an issuer name (the default one); the signature tells them apart.
        let mut refused = AuthnError::UnknownIssuer(issuer.chars().take(200).collect());
        for known in self.known().iter().filter(|known| known.cluster.issuer == issuer) {
            let cluster = &known.cluster;
            match verify::pod(token, &known.keys.keys(), &cluster.name, &cluster.issuer, now) {
                Ok(pod) => return Ok((Arc::clone(cluster), pod)),
                Err(error) => refused = self.noted(error).into(),
            }
        }
        Err(refused)
    }

    /// The pod and the CI job beside it, as one identity.
    pub async fn identity(
        &self,
        cluster: &Cluster,
        pod: Verified<PodIdentity>,
        ci_token: Option<&str>,
        now: Timestamp,
    ) -> Result<Identity, AuthnError> {
        let Some(token) = ci_token else {
            return if cluster.require_ci {
                Err(AuthnError::CiRequired(cluster.name.clone()))
            } else {
                Ok(Identity::of_pod(pod, None))
            };
        };
        let issuer = find(&self.ci, token)?;
        let keys = issuer.keys_for(token, now).await?;
        let config = &issuer.config;
        let rules = CiRules {
            issuer: &config.issuer,
            audience: &config.audience,
            require: &config.require,
            person: config.person.as_deref(),
            events: match config.kind {
                IssuerKind::Github => Events::Github,
                IssuerKind::Gitlab => Events::Gitlab,
                IssuerKind::Oidc => Events::Any,
            },
        };
        Ok(Identity::of_pod(pod, Some(verify::ci(token, &keys, &rules, now)?)))
    }

    /// An agent of a cluster, by its ServiceAccount token; gives the token's expiry.
    pub fn agent(&self, token: &str, now: Timestamp) -> Result<(Arc<Cluster>, Timestamp), AuthnError> {
        let issuer = unverified_issuer(token)?;
        let mut refused = AuthnError::UnknownIssuer(issuer.chars().take(200).collect());
        for known in self.known().iter().filter(|known| known.cluster.issuer == issuer) {
            match known.agent(token, now) {
                Ok(expires) => return Ok((Arc::clone(&known.cluster), expires)),
                Err(error) => refused = self.noted(error).into(),
            }
        }
        Err(refused)
    }

    fn noted(&self, error: TokenError) -> TokenError {
        if matches!(error, TokenError::UnknownKey(_)) {
            self.strange.notify_one();
        }
        error
    }

    /// Resolves when a token came under a key of no cluster's.
    pub async fn strange_key(&self) {
        self.strange.notified().await;
    }

    /// A person who may vote.
    pub async fn approver(&self, token: &str, now: Timestamp) -> Result<Verified<Approver>, AuthnError> {
        let issuer = find(&self.approvers, token)?;
        let keys = issuer.keys_for(token, now).await?;
        let config = &issuer.config;
        let expected = Expected { issuer: &config.issuer, audience: &config.audience, now };
        let groups = config.groups.as_deref().unwrap_or_default();
        Ok(verify::approver(token, &keys, expected, groups, config.person.as_deref())?)
    }
}

fn find<'a>(issuers: &'a [IssuerKeys], token: &str) -> Result<&'a IssuerKeys, AuthnError> {
    let issuer = unverified_issuer(token)?;
    let found = issuers.iter().find(|keys| keys.config.issuer == issuer);
    found.ok_or_else(|| AuthnError::UnknownIssuer(issuer.chars().take(200).collect()))
}

fn tls(issuer: &Issuer) -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = &issuer.ca {
        use rustls::pki_types::pem::PemObject;
        let shown = path.display();
        let certificates =
            rustls::pki_types::CertificateDer::pem_file_iter(path).map_err(|e| format!("{shown}: {e}"))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| format!("{shown}: {e}"))?;
            roots.add(certificate).map_err(|e| format!("{shown}: {e}"))?;
        }
        if roots.is_empty() {
            return Err(format!("{shown} holds no certificate"));
        }
    } else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let builder = rustls::ClientConfig::builder_with_provider(shared_net::crypto::provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
