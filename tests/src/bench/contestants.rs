//! Who runs: direct, `kubectl proxy`, the bare chain and Sallyport, all in front of the same upstream with the same TLS.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::client::{Client, Place, trusting};
use super::helper::Helper;
use crate::cluster::Cluster;
use crate::kubectl::Version;
use crate::stack::{ApiServer, Setup, Stack};
use shared_net::tasks::TaskSet;

/// Which of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The client calls the upstream itself.
    Direct,
    /// The newest kubectl as a proxy.
    KubectlProxy,
    /// As many hops as Sallyport has, and nothing in them.
    BareChain,
    /// Policy, grants, records, masking.
    Sallyport,
}

impl Who {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Direct, Self::KubectlProxy, Self::BareChain, Self::Sallyport];

    /// As in names of metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::KubectlProxy => "kubectl_proxy",
            Self::BareChain => "bare_chain",
            Self::Sallyport => "sallyport",
        }
    }

    /// Its processes, in the order of [`Contestants::pids`], where it has more than one.
    pub(super) const fn processes(self) -> &'static [&'static str] {
        match self {
            Self::Direct | Self::KubectlProxy => &[],
            Self::BareChain => &["front", "middle", "end"],
            Self::Sallyport => &["sidecar", "control_plane", "agent"],
        }
    }
}

/// An upstream.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    /// As in names of metrics.
    pub(super) word: &'static str,
    /// Where it is.
    pub(super) api_server: ApiServer,
    /// A token that may read there.
    pub(super) token: String,
}

/// The four, in front of one upstream.
pub(super) struct Contestants {
    /// The upstream.
    pub(super) upstream: Upstream,
    /// Sallyport.
    pub(super) stack: Stack,
    direct: Place,
    proxy: (Place, Helper),
    chain: (Place, [Helper; 3]),
    ours: Place,
}

impl Contestants {
    /// Starts them. `folder` is for files of theirs.
    ///
    /// # Errors
    /// One does not start.
    pub(super) fn start(upstream: Upstream, folder: &Path) -> Result<Self> {
        let folder = folder.join(upstream.word);
        std::fs::create_dir_all(&folder)?;
        let tls = trusting(&upstream.api_server.ca)?;
        let address = upstream.api_server.url.trim_start_matches("https://").parse()?;
        let direct = Place { address, tls: Some(tls), token: Some(upstream.token.clone()) };
        let proxy = start_proxy(&upstream, &folder)?;
        let chain = start_chain(&upstream, &folder)?;
        let stack = Stack::with("bench", &Setup { api_server: Some(upstream.api_server.clone()), ..Setup::default() });
        let ours = sidecar_place(stack.sidecar(), &stack.sidecar_files())?;
        Ok(Self { upstream, stack, direct, proxy, chain, ours })
    }

    /// Where one is.
    pub(super) const fn place(&self, who: Who) -> &Place {
        match who {
            Who::Direct => &self.direct,
            Who::KubectlProxy => &self.proxy.0,
            Who::BareChain => &self.chain.0,
            Who::Sallyport => &self.ours,
        }
    }

    /// The processes between client and upstream.
    pub(super) fn pids(&self, who: Who) -> Vec<u32> {
        match who {
            Who::Direct => Vec::new(),
            Who::KubectlProxy => vec![self.proxy.1.pid()],
            Who::BareChain => self.chain.1.iter().map(Helper::pid).collect(),
            Who::Sallyport => self.stack.pids().to_vec(),
        }
    }

    /// Connects a client to one.
    ///
    /// # Errors
    /// It is gone.
    pub(super) async fn client(&self, who: Who, tasks: &TaskSet) -> Result<Client> {
        Client::connect(self.place(who), tasks).await.with_context(|| format!("no connection: {}", who.word()))
    }
}

/// How a client finds a sidecar: by the files that it wrote.
pub(super) fn sidecar_place(address: std::net::SocketAddr, files: &Path) -> Result<Place> {
    let token = std::fs::read_to_string(files.join("token"))?;
    Ok(Place { address, tls: Some(trusting(&files.join("ca.crt"))?), token: Some(token) })
}

fn start_proxy(upstream: &Upstream, folder: &Path) -> Result<(Place, Helper)> {
    let kubeconfig = folder.join("proxy.kubeconfig");
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {
            "server": upstream.api_server.url, "certificate-authority": upstream.api_server.ca,
        }}],
        "users": [{"name": "bench", "user": {"token": upstream.token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    });
    std::fs::write(&kubeconfig, config.to_string())?;
    let helper = Helper::kubectl_proxy(&Version::Newest.program(), &kubeconfig)?;
    // "Starting to serve on 127.0.0.1:41025"
    let address = helper.word_from_end(0)?.parse().context("kubectl proxy says where it serves")?;
    Ok((Place { address, tls: None, token: None }, helper))
}

fn start_chain(upstream: &Upstream, folder: &Path) -> Result<(Place, [Helper; 3])> {
    let middle = Helper::role::<&str>("middle", &[])?;
    let (fronts, ends, pin) = (middle.word_from_end(2)?, middle.word_from_end(1)?, middle.word_from_end(0)?);
    let ca = upstream.api_server.ca.display().to_string();
    let end = Helper::role("end", &[ends, pin, &upstream.api_server.url, &ca])?;
    let file: PathBuf = folder.join("chain.crt");
    let front = Helper::role("front", &[fronts, pin, &file.display().to_string()])?;
    let place = Place {
        address: front.word_from_end(0)?.parse()?,
        tls: Some(trusting(&file)?),
        token: Some(upstream.token.clone()),
    };
    Ok((place, [front, middle, end]))
}

/// The two upstreams: the canned one, with its process, and the real one.
///
/// # Errors
/// The canned one does not start.
pub(super) fn upstreams(folder: &Path) -> Result<(Helper, Upstream, Upstream)> {
    let cluster = Cluster::get();
    let facts = cluster.facts();
    let ca = folder.join("canned.crt");
    let arguments = [facts.server.clone(), facts.ca.display().to_string(), ca.display().to_string()];
    let helper = Helper::role("upstream", &arguments)?;
    // Any token: the canned upstream has nothing to guard.
    let canned = Upstream {
        word: "canned",
        api_server: ApiServer { url: format!("https://{}", helper.word_from_end(0)?), ca },
        token: "canned".to_owned(),
    };
    let real = Upstream {
        word: "real",
        api_server: ApiServer { url: facts.server.clone(), ca: facts.ca.clone() },
        token: cluster.token("bench", "bench", None, None),
    };
    Ok((helper, canned, real))
}

/// What the direct client of the real API server may do, in a namespace of its own.
pub(super) fn prepare_cluster() {
    Cluster::get().apply(
        "apiVersion: v1
kind: Namespace
metadata: {name: bench}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bench, namespace: bench}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bench}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: bench, namespace: bench}]
",
    );
}
