//! Control plane and agent start from the very files that an installation mounts, and find each other.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control_plane::install::{Cluster as Pinned, Kubectl};
use serde_json::{Value, json};
use shared_net::clock::Clock;
use tests::cluster::Cluster;

use super::{installation, values};

fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name).unwrap()
}

/// As the kubelet mounts a ConfigMap's or a Secret's data.
fn mount(objects: &[Value], kind: &str, name: &str, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (key, value) in object(objects, kind, name)["data"].as_object().unwrap() {
        let text = value.as_str().unwrap();
        let bytes = if kind == "Secret" { STANDARD.decode(text).unwrap() } else { text.as_bytes().to_vec() };
        std::fs::write(folder.join(key), bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_plane_and_agent_run_on_what_is_installed() {
    let cluster = Cluster::get();
    tests::stack::install(cluster);
    shared_net::crypto::install_default();
    let facts = cluster.facts();
    let kubectl = Kubectl {
        program: Some(facts.kubectl.clone().into()),
        kubeconfig: Some(facts.admin_kubeconfig.clone().into()),
        context: None,
    };
    let pinned = Pinned::read(&kubectl).unwrap();
    assert_eq!(pinned.issuer, facts.issuer);
    let policy =
        "apiVersion: sallyport.dev/v1alpha1\nkind: Policy\nthresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}\n";
    let more = json!({"network": {"mode": "none"}, "controlPlane": {"policy": policy}});
    let installation = installation(values(more), &pinned);
    let objects = installation.objects();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);

    // The control plane, in its folder as mounted; what is only in a container is elsewhere here.
    mount(objects, "ConfigMap", "sallyport-control-plane", &at("control-plane"));
    mount(objects, "Secret", "sallyport-ca", &at("ca"));
    let file = at("control-plane/config.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("/etc/sallyport-ca"), "{text}");
    std::fs::write(&file, text.replace("/etc/sallyport-ca", &at("ca").display().to_string())).unwrap();
    let mut config = control_plane::config::Config::load(&file).unwrap();
    assert_eq!(config.data, Path::new("/var/lib/sallyport"));
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    (config.quic, config.web, config.admin) = (local, local, local);
    config.data = at("data");
    config.local_socket.as_mut().unwrap().path = at("socket");
    let app = control_plane::app::build(config, control_plane::store::Start::Ordinary, Clock::system()).await.unwrap();
    let addresses = app.addresses().unwrap();
    assert!(!at("data/ca.key").exists(), "the authority is the one that was mounted");
    let text = object(objects, "ConfigMap", "sallyport-agent")["data"]["agent.yaml"].as_str().unwrap();
    assert!(text.contains(&addresses.pin.to_string()), "the agent pins the control plane's authority");
    let injector = object(objects, "ConfigMap", "sallyport-injector")["data"]["injector.yaml"].as_str().unwrap();
    assert!(injector.contains(&addresses.pin.to_string()), "and so do the sidecars");

    // The agent: the paths of its container become this folder's.
    mount(objects, "Secret", "sallyport-placeholder", &at("etc/sallyport-placeholder"));
    mount(objects, "ConfigMap", "sallyport-agent", &at("etc/sallyport"));
    std::fs::create_dir_all(at("var/run/sallyport/identity")).unwrap();
    let token = cluster.token("sallyport", "sallyport-agent", Some("sallyport-agent"), None);
    std::fs::write(at("var/run/sallyport/identity/token"), token).unwrap();
    std::fs::write(at("token"), cluster.token("sallyport", "sallyport-agent", None, None)).unwrap();
    let quic = addresses.quic.to_string();
    let text = ["/etc/", "/var/"].iter().fold(text.to_owned(), |text, path| {
        text.replace(&format!(" {path}"), &format!(" {}{path}", folder.path().display()))
    });
    let text = text.replace("sallyport.sallyport.svc:7443", &quic).replace("0.0.0.0:9090", "127.0.0.1:0");
    assert!(text.contains(&quic), "{text}");
    let server = json!({"url": facts.server, "caFile": facts.ca, "tokenFile": at("token")});
    let text = format!("{text}apiServer: {server}\n");
    let agent = agent::config::parse(&text, &agent::config::InCluster::default()).unwrap();
    let agent = agent::app::build(agent, Clock::system()).await.unwrap();
    run_until_ready(app, agent).await;
}

/// Both run until the agent says that it is ready, and end as they are told.
async fn run_until_ready(app: control_plane::app::App, agent: agent::app::Bound) {
    let agent_admin = agent.admin_address().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let wait = || {
        let mut stopped = stopped.clone();
        async move {
            drop(stopped.wait_for(|stop| *stop).await);
        }
    };
    let look = async {
        let mut is_ready = false;
        for _ in 0..200 {
            is_ready = ready(agent_admin).await;
            if is_ready {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.send(true).unwrap();
        is_ready
    };
    let (served, linked, is_ready) = tokio::join!(Box::pin(app.run(wait())), Box::pin(agent.run(wait())), look);
    served.unwrap();
    linked.unwrap();
    assert!(is_ready, "the agent does not get ready");
}

/// Whether /readyz says so.
async fn ready(at: SocketAddr) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect(at).await else { return false };
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
}

/// And the injector takes its file: what it reads besides is mounted beside it.
#[test]
fn the_injector_takes_what_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let sidecar = json!({"port": 7000, "tokenAudiences": ["sts"], "resources": {"limits": {"memory": "64Mi"}}});
    let installation = installation(values(json!({"sidecar": sidecar})), &super::cluster(36));
    let objects = installation.objects();
    mount(objects, "Secret", "sallyport-injector-tls", &at("tls"));
    mount(objects, "ConfigMap", "sallyport-injector", &at("injector"));
    let config = control_plane::injector::config::Config::load(&at("injector/injector.yaml")).unwrap();
    assert_eq!((config.port, config.cluster.as_str()), (7000, "production"));
    assert_eq!(config.tls.certificate, Path::new("/etc/sallyport-tls/tls.crt"));
}
