//! An agent that takes more memory than it may: the kernel ends it, and the kubelet starts it again.

use std::net::{TcpListener, TcpStream};

use serde_json::Value;
use tests::node::eventually;

use super::installed::Installed;
use super::life::sessions;
use super::story::{job, kubectl, the_record_and_the_api_servers_log_agree};

/// A webhook of the API server's that takes a call and says nothing: what it is asked about stays under way.
struct Silent {
    listener: TcpListener,
}

impl Silent {
    /// It is asked about each new ConfigMap of a namespace.
    fn about_config_maps(on: &Installed, namespace: &str) -> Self {
        let listener = TcpListener::bind((on.node.host_address(), 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        on.node.apply(&format!(
            "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: silent}}
webhooks:
- name: silent.example.com
  clientConfig: {{url: 'https://{address}/'}}
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 30
  failurePolicy: Fail
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
  rules: [{{apiGroups: [''], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}}]
"
        ));
        Self { listener }
    }

    /// Waits until it is asked. It is asked until the value is dropped.
    fn asked(&self) -> TcpStream {
        self.listener.set_nonblocking(true).expect("a socket can be");
        eventually(|| self.listener.accept().map(|(stream, _)| stream).map_err(|error| error.to_string()))
    }
}

/// Whether each agent was heard lately, as the control plane has it.
fn heard(on: &Installed) -> Vec<bool> {
    let status = on.json(&["status"]);
    let agents = status["clusters"][0]["agents"].as_array().expect("a list");
    let mut heard: Vec<_> = agents.iter().map(|agent| agent["heard"] == true).collect();
    heard.sort_unstable();
    heard
}

fn until_heard(on: &Installed, wanted: &[bool]) {
    eventually(|| match heard(on) {
        heard if heard == wanted => Ok(()),
        heard => Err(format!("{heard:?} is heard")),
    });
}

/// Why a Pod's first container ended the last time.
fn last_end(on: &Installed, pod: &str) -> Value {
    on.node.pod("sallyport", pod)["status"]["containerStatuses"][0]["lastState"]["terminated"].clone()
}

/// The write that it had may be done or not, and that is what its job is told. What comes next goes through the other agent.
#[test]
fn an_agent_that_takes_too_much_memory_is_ended_by_the_kernel_and_what_it_had_is_unknown() {
    let Some(on) = Installed::get() else { return };
    let _alone = on.to_change();
    let (node, namespace) = (on.node, on.node.namespace("memory"));
    job(&namespace, "job", r#"sallyport.dev/inject: "true""#);
    node.ready(&namespace, "job");
    kubectl(on, &namespace, "job", &["get", "configmaps"]).ok();
    let names = on.names("agent");
    let [first, other] = names.as_slice() else { panic!("two agents are installed: {names:?}") };
    until_heard(on, &[true, true]);

    // Only the first can have it: the other stands still.
    node.signal("STOP", "sallyport", other, "agent");
    until_heard(on, &[false, true]);
    let webhook = Silent::about_config_maps(on, &namespace);
    let told = std::thread::scope(|scope| {
        let asked = scope.spawn(|| kubectl(on, &namespace, "job", &["create", "configmap", "asked-for"]));
        let _under_way = webhook.asked();
        node.exhaust_memory("sallyport", first, "agent");
        node.signal("CONT", "sallyport", other, "agent");
        asked.join().expect("kubectl ends")
    });
    assert!(told.code != Some(0) && told.stderr.contains("nobody can say whether it was carried out"), "{told:?}");
    node.admin(&["delete", "validatingwebhookconfiguration", "silent"]);
    let end = eventually(|| {
        let end = last_end(on, first);
        if end.is_null() { Err(node.pod("sallyport", first)["status"].to_string()) } else { Ok(end) }
    });
    assert_eq!((end["reason"].as_str(), end["exitCode"].as_u64()), (Some("OOMKilled"), Some(137)), "{end}");
    assert_eq!(last_end(on, other), Value::Null, "nothing has ended the other one");

    // It is the other one's turn, and then both are there again.
    kubectl(on, &namespace, "job", &["create", "configmap", "next"]).ok();
    on.rolled_out();
    until_heard(on, &[true, true]);
    for _ in 0..4 {
        kubectl(on, &namespace, "job", &["get", "configmap", "next"]).ok();
    }
    let of_job = sessions(on, &namespace, "job");
    let operations = of_job.iter().filter_map(|session| session["operations"].as_array()).flatten();
    let unknown: Vec<_> = operations.filter(|row| row["outcome"]["outcome"] == "unknown").collect();
    assert!(unknown.len() == 1 && unknown[0]["verb"] == "create", "{unknown:?}");
    the_record_and_the_api_servers_log_agree(on);
}
