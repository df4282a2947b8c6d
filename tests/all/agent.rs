//! The agent alone, between a control plane that signs whatever the test wants and the real API server with the agent's real rights.
//! What the API server was asked is told by its own audit log.

#[path = "../../control-plane/agent/tests/it/control_plane.rs"]
#[expect(dead_code, reason = "the rest of it is for the agent's own tests")]
mod control_plane;

use std::fs;
use std::time::Duration;

use agent::app;
use agent::config::{self, InCluster};
use control_plane::{AgentLink, Call, ControlPlane, text};
use control_plane_core::ledger::spent_lease_name;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use shared::wire;
use shared_net::clock::Clock;
use shared_net::tasks::TaskSet;
use tests::cluster::{AuditEvent, Cluster, Namespace};
use tokio::sync::oneshot;
use uuid::Uuid;

const CANARY: &str = "canary-51f0-value";

/// A control plane and agents with the rights of `manifests/agent`, in front of the cluster of this run.
struct World {
    cluster: &'static Cluster,
    namespace: Namespace,
    control_plane: ControlPlane,
    tasks: TaskSet,
    files: tempfile::TempDir,
    stops: Vec<oneshot::Sender<()>>,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::get();
        tests::stack::install(cluster);
        let tasks = TaskSet::new();
        let control_plane = ControlPlane::start(&tasks);
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("token"), cluster.token("sallyport", "sallyport-agent", None, None)).unwrap();
        fs::write(files.path().join("key"), [9; 32]).unwrap();
        let namespace = cluster.namespace("agent");
        Self { cluster, namespace, control_plane, tasks, files, stops: Vec::new() }
    }

    /// Starts one more agent process.
    async fn agent(&mut self) -> AgentLink {
        let facts = self.cluster.facts();
        let text = format!(
            "cluster: a\nclusterUid: u\ncontrolPlane: {{address: '{}', pin: '{}'}}\ntokenFile: {dir}/token\n\
             placeholderKeys: {{current: {dir}/key}}\nlisten: 127.0.0.1:0\n\
             apiServer: {{url: '{}', caFile: {ca}, tokenFile: {dir}/token}}\n",
            self.control_plane.address,
            self.control_plane.pin,
            facts.server,
            dir = self.files.path().display(),
            ca = facts.ca.display(),
        );
        let config = config::parse(&text, &InCluster::default()).unwrap();
        let bound = app::build(config, Clock::system()).await.unwrap();
        bound.agent().upstream.refresh_credential().await.unwrap();
        let (stop, stopped) = oneshot::channel();
        self.stops.push(stop);
        self.tasks.spawn_core("agent", async move {
            let stop = async {
                // Dropped or sent, both mean to stop.
                drop(stopped.await);
            };
            bound.run(stop).await.unwrap();
        });
        self.control_plane.agent().await
    }

    fn path(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", &*self.namespace)
    }

    /// Claims of an approved operation on the ConfigMap `c`, pinned to what is there.
    fn approved(&self, link: &AgentLink, call: &Call, approval: Uuid) -> Value {
        let live = self.cluster.get_json(&["-n", &self.namespace, "configmap", "c"]);
        let mut claims = self.control_plane.claims(link, call);
        claims["impersonation"]["group"] = json!("sallyport:approved");
        claims["approval"] = json!({
            "approval": approval,
            "hold": Uuid::new_v4(),
            "intent": claims["digest"],
            "pin": {
                "state": "resourceVersion",
                "uid": live["metadata"]["uid"],
                "resourceVersion": live["metadata"]["resourceVersion"],
            },
            "expires": Clock::system().now().after(Duration::from_secs(600)),
        });
        let namespace: &str = &self.namespace;
        claims["reads"] = json!([{
            "apiGroup": "", "apiVersion": "v1", "namespace": namespace, "resource": "configmaps", "name": "c",
        }]);
        claims
    }

    fn apply(&self, object: &str) {
        let done = self.cluster.try_admin(&["-n", &*self.namespace, "apply", "-f", "-"], object);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn value(&self) -> Value {
        self.cluster.get_json(&["-n", &self.namespace, "configmap", "c"])["data"]["a"].clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

fn config_map(value: &str) -> String {
    json!({"apiVersion": "v1", "data": {"a": value}, "kind": "ConfigMap", "metadata": {"name": "c"}}).to_string()
}

fn of(operation: &Value) -> impl Fn(&AuditEvent) -> bool {
    let operation = operation.as_str().unwrap_or_default().to_owned();
    move |event| event.is_complete() && event.audit_id.starts_with(&operation)
}

#[tokio::test]
async fn reads_and_writes_are_somebody_elses_and_joined_by_the_operations_id() {
    let mut world = World::new();
    let link = world.agent().await;
    let audit = world.cluster.audit();
    for (call, status, verb, group) in [
        (Call::new("GET", &world.path("pods"), ""), 200, "list", "sallyport:read"),
        (Call::new("POST", &world.path("configmaps"), &config_map("1")), 201, "create", "sallyport:write"),
    ] {
        let claims = world.control_plane.claims(&link, &call);
        let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        assert_eq!(head.status, status, "{body}");
        let events = audit.wait(1, of(&claims["operation"]));
        let [event] = events.as_slice() else { panic!("{events:?}") };
        let who = event.impersonated_user.clone().unwrap();
        assert_eq!((event.verb.as_str(), who.username.as_str()), (verb, "sallyport:runner"));
        assert_eq!(who.groups, [group, "system:authenticated"]);
        assert_eq!(event.user.username, "system:serviceaccount:sallyport:sallyport-agent");
        assert_eq!(event.audit_id, claims["operation"].as_str().unwrap());
    }
    // A control plane that mistakes a write for a read still has the API server against it.
    let call = Call::new("DELETE", &world.path("configmaps/c"), "");
    let mut claims = world.control_plane.claims(&link, &call);
    claims["impersonation"]["group"] = json!("sallyport:read");
    let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert_eq!((head.status.as_u16(), &head.headers[wire::header::SENT]), (403, &"yes".parse().unwrap()), "{body}");
    assert!(body.contains("sallyport:runner"), "the API server's own words: {body}");
}

#[tokio::test]
async fn no_value_of_a_secret_leaves_the_agent() {
    let mut world = World::new();
    let link = world.agent().await;
    let literal = format!("--from-literal=password={CANARY}");
    world.cluster.admin(&["-n", &*world.namespace, "create", "secret", "generic", "s", &literal]);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, CANARY);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for (path, accept) in [
        ("secrets/s", "application/json"),
        ("secrets", "application/json"),
        ("secrets?includeObject=Object", table),
        ("secrets?limit=1", "application/json"),
    ] {
        let mut call = Call::new("GET", &world.path(path), "");
        call.headers.insert("accept", accept.parse().unwrap());
        let (head, body) = text(world.control_plane.granted(&link, &call).await).await;
        assert_eq!(head.status, 200, "{path}: {body}");
        assert!(!body.contains(CANARY) && !body.contains(&encoded), "{path}");
        assert!(body.contains("password"), "the names of fields stay: {path}");
    }
    let call = Call::new("GET", &world.path("secrets?watch=true"), "");
    let mut body = world.control_plane.granted(&link, &call).await.into_body();
    let event = tokio::time::timeout(control_plane::PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
    let event = String::from_utf8(event.into_data().unwrap().to_vec()).unwrap();
    assert!(event.contains("ADDED") && !event.contains(&encoded), "{event}");
}

/// Invariant 2 against etcd itself: grants are fresh, agents are two, the approval is one.
#[tokio::test]
async fn one_approval_runs_once_across_agents() {
    let mut world = World::new();
    let first = world.agent().await;
    let second = world.agent().await;
    world.apply(&config_map("before"));
    let approval = Uuid::new_v4();
    let call = Call::new("PUT", &world.path("configmaps/c"), &config_map("after"));
    let claims = world.approved(&first, &call, approval);
    let (head, body) = text(first.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.status, 200, "{body}");
    assert_eq!(world.value(), "after");
    let lease = spent_lease_name(approval.to_string().parse().unwrap());
    let lease = world.cluster.get_json(&["-n", "sallyport", "lease", &lease]);
    assert_eq!(lease["metadata"]["labels"]["sallyport.dev/spent"], "true");

    let again = Call::new("PUT", &world.path("configmaps/c"), &config_map("twice"));
    for link in [&first, &second] {
        let claims = world.approved(link, &again, approval);
        let (head, _) = text(link.send(&again, &world.control_plane.sign(&claims)).await).await;
        assert_eq!(head.status, 403);
        assert_eq!(head.headers[wire::header::REFUSED], "approval-spent");
    }
    // Nor in a later life of the control plane, whose database may know nothing of it.
    world.control_plane.greeting.lock().unwrap().life = 8;
    let third = world.agent().await;
    let mut claims = world.approved(&third, &again, approval);
    claims["life"] = json!(8);
    let (head, _) = text(third.send(&again, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.status, 403);
    assert_eq!(head.headers[wire::header::REFUSED], "approval-spent");
    assert_eq!(world.value(), "after");
}

#[tokio::test]
async fn what_changed_since_the_approval_is_not_overwritten() {
    let mut world = World::new();
    let link = world.agent().await;
    world.apply(&config_map("seen"));
    for (method, body) in [("PUT", config_map("approved")), ("DELETE", String::new())] {
        let call = Call::new(method, &world.path("configmaps/c"), &body);
        let claims = world.approved(&link, &call, Uuid::new_v4());
        world.apply(&config_map(&format!("changed before {method}")));
        let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        assert_eq!(head.headers[wire::header::REFUSED], "pin-broken", "{method}");
        assert_eq!(world.value(), format!("changed before {method}"));
    }
}

/// Nothing of a refused grant shows in the audit log.
#[tokio::test]
async fn refused_grants_reach_no_api_server() {
    let mut world = World::new();
    let link = world.agent().await;
    let audit = world.cluster.audit();
    let call = Call::new("DELETE", &world.path("pods/p"), "");
    let mut operations = Vec::new();
    for (field, value) in
        [("cluster", json!("b")), ("life", json!(1)), ("ttl", json!(0)), ("digest", json!("A".repeat(43)))]
    {
        let mut claims = world.control_plane.claims(&link, &call);
        claims[field] = value;
        operations.push(claims["operation"].as_str().unwrap().to_owned());
        let answer = link.send(&call, &world.control_plane.sign(&claims)).await;
        assert_eq!(answer.status(), 403, "{field}");
    }
    let ours = Call::new("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterroles/sallyport:read", "");
    let claims = world.control_plane.claims(&link, &ours);
    operations.push(claims["operation"].as_str().unwrap().to_owned());
    assert_eq!(link.send(&ours, &world.control_plane.sign(&claims)).await.status(), 403);

    // One that passes shows up after them, so what did not show by then never will.
    let good = Call::new("GET", &world.path("pods"), "");
    let claims = world.control_plane.claims(&link, &good);
    assert_eq!(link.send(&good, &world.control_plane.sign(&claims)).await.status(), 200);
    let known = claims["operation"].as_str().unwrap().to_owned();
    let events = audit.wait(1, move |event| {
        event.is_complete() && (event.audit_id == known || operations.iter().any(|id| event.audit_id.starts_with(id)))
    });
    assert_eq!(events.len(), 1);
}
