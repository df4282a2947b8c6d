//! A kubelet that runs nothing and has logs to show: the real API server asks it for them (`/containerLogs`), over TLS under the cluster's own
//! authority, as it asks any kubelet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shared_net::body::{BoxBody, channel, full};
use shared_net::tasks::TaskSet;

use crate::bench::listen::Listener;
use crate::cluster::Cluster;

/// By pod: what its container printed, in the pieces in which it is sent.
type Logs = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// The kubelet and its node. It serves as long as the value lives.
#[derive(Debug)]
pub struct Kubelet {
    cluster: &'static Cluster,
    node: String,
    logs: Logs,
    tasks: TaskSet,
}

impl Kubelet {
    /// With a node of that name.
    pub async fn start(cluster: &'static Cluster, node: &str) -> Self {
        let pki = cluster.facts().ca.parent().expect("the authority's file is in a folder");
        let chain = CertificateDer::pem_file_iter(pki.join("server.crt")).expect("a certificate for 127.0.0.1");
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(pki.join("server.key")).expect("its key");
        let listener = Listener::with(chain, key, &[b"h2", b"http/1.1"]).await.expect("there is a free port");
        let port = listener.address().expect("it has an address").port();
        let (logs, tasks) = (Logs::default(), TaskSet::new());
        let served = Arc::clone(&logs);
        let own = tasks.clone();
        tasks.spawn("kubelet", async move {
            drop(listener.serve(move |request| std::future::ready(answer(&served, &own, &request))).await);
        });
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: {node}}}, spec: {{unschedulable: true}}, status: {{\
             addresses: [{{type: InternalIP, address: 127.0.0.1}}], daemonEndpoints: {{kubeletEndpoint: {{Port: {port}}}}}}}}}"
        ));
        Self { cluster, node: node.to_owned(), logs, tasks }
    }

    /// The node that pods are to name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What the containers of this pod have printed.
    pub fn print(&self, namespace: &str, pod: &str, pieces: Vec<String>) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.insert(format!("{namespace}/{pod}"), pieces);
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.cluster.admin(&["delete", "node", &self.node]);
        self.tasks.cancel();
    }
}

fn answer(logs: &Logs, tasks: &TaskSet, request: &Request<Incoming>) -> Response<BoxBody> {
    let pod = request.uri().path().strip_prefix("/containerLogs/").and_then(|rest| rest.rsplit_once('/'));
    let known = logs.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(pieces) = pod.and_then(|(pod, _container)| known.get(pod)).cloned() else {
        let mut response = Response::new(full("no such pod"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    drop(known);
    let (sender, body) = channel(1);
    tasks.spawn("log", async move {
        for piece in pieces {
            // A client that has seen enough leaves.
            if sender.send(piece.into()).await.is_err() {
                return;
            }
        }
        let _left = sender.finish().await;
    });
    Response::new(http_body_util::BodyExt::boxed_unsync(body))
}
