//! A gate in front of the real API server: it lets everything through but for one request, which stands there until it is let go. So a
//! test can do something while a request is under way, and knows that it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use shared_net::body::{BoxBody, full};
use shared_net::tasks::TaskSet;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::bench::client::trusting;
use crate::bench::listen::Listener;
use crate::bench::upstream::{Https, https, pass};
use crate::cluster::Cluster;
use crate::stack::ApiServer;

/// The gate. It serves as long as the value lives.
#[derive(Debug)]
pub struct Gate {
    api_server: ApiServer,
    way: Arc<Way>,
    tasks: TaskSet,
    _folder: TempDir,
}

struct Way {
    real: String,
    https: Https,
    /// The next request of this method, whose path ends so, stops.
    stops: Mutex<Option<(Method, String)>>,
    at: watch::Sender<At>,
}

/// Where the request is that stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Before,
    Gate,
    LetGo,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("at", &*self.at.borrow()).finish_non_exhaustive()
    }
}

impl Gate {
    /// In front of the cluster's API server.
    pub async fn new(cluster: &Cluster) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let ca = folder.path().join("ca.crt");
        let listener = Listener::bind(&ca, &[b"h2", b"http/1.1"]).await.expect("there is a free port");
        let facts = cluster.facts();
        let url = format!("https://{}", listener.address().expect("it has an address"));
        let way = Arc::new(Way {
            real: facts.server.clone(),
            https: https(trusting(&facts.ca).expect("the cluster's authority")),
            stops: Mutex::new(None),
            at: watch::Sender::new(At::Before),
        });
        let tasks = TaskSet::new();
        let served = Arc::clone(&way);
        tasks.spawn("gate", async move {
            drop(listener.serve(move |request| answer(Arc::clone(&served), request)).await);
        });
        Self { api_server: ApiServer { url, ca }, way, tasks, _folder: folder }
    }

    /// What an agent behind the gate calls.
    pub fn api_server(&self) -> ApiServer {
        self.api_server.clone()
    }

    /// The next request of this method whose path ends so stops at the gate. One request, once.
    pub fn stop(&self, method: Method, path: &str) {
        self.way.at.send_replace(At::Before);
        *self.way.stops.lock().unwrap_or_else(PoisonError::into_inner) = Some((method, path.to_owned()));
    }

    /// Waits until it stands there.
    pub async fn stopped(&self) {
        let mut at = self.way.at.subscribe();
        let stands = tokio::time::timeout(Duration::from_secs(30), at.wait_for(|at| *at == At::Gate)).await;
        drop(stands.expect("the request came to the gate").expect("the gate lives"));
    }

    /// Lets it go on.
    pub fn let_go(&self) {
        self.way.at.send_replace(At::LetGo);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

async fn answer(way: Arc<Way>, request: Request<Incoming>) -> Response<BoxBody> {
    let stops = {
        let mut stops = way.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops
            .take_if(|(method, path)| *request.method() == *method && request.uri().path().ends_with(path.as_str()))
            .is_some()
    };
    if stops {
        way.at.send_replace(At::Gate);
        drop(way.at.subscribe().wait_for(|at| *at == At::LetGo).await);
    }
    pass(&way.https, &way.real, request).await.unwrap_or_else(|error| {
        let mut response = Response::new(full(format!("{error:#}")));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}
