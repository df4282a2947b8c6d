//! What a real kubelet quotes of a container: a probe's words in an Event, a hook's where the pod waits.

use tests::node::{RUNNER, eventually};

use super::installed::Installed;
use super::story::{job, kubectl};

const PASSWORD: &str = "canary-7c19 quoted by the kubelet";
const PRINTED: &str = "(masked by sallyport: what a container prints may have values of secrets in it)";

#[test]
fn what_a_kubelet_quotes_of_a_container_is_left_out() {
    let Some(on) = Installed::get() else { return };
    let _unchanged = on.unchanged();
    let node = on.node;
    let namespace = node.namespace("quoted");
    let secret = format!("--from-literal=password={PASSWORD}");
    node.admin(&["-n", &namespace, "create", "secret", "generic", "database", &secret]);
    let container = |name: &str, more: &str| {
        format!(
            r#"
  - name: {name}
    image: {RUNNER}
    imagePullPolicy: Never
    command: [sleep, "900"]
    env: [{{name: PASSWORD, valueFrom: {{secretKeyRef: {{name: database, key: password}}}}}}]
    {more}"#
        )
    };
    let says = r#"exec: {command: [sh, -c, "echo password $PASSWORD is wrong; exit 1"]}"#;
    node.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: prints, namespace: {}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:{}{}{}
",
        &*namespace,
        container("probed", &format!("readinessProbe: {{periodSeconds: 1, {says}}}")),
        container("closed", "readinessProbe: {periodSeconds: 1, tcpSocket: {port: 9}}"),
        container("hooked", &format!("lifecycle: {{postStart: {{{says}}}}}")),
    ));
    job(&namespace, "job", r#"sallyport.dev/inject: "true""#);
    node.ready(&namespace, "job");
    // The administrator sees them, each in its place.
    let events = ["-n", &namespace, "get", "events", "-o", "json"];
    let quoted =
        |text: String, own: &str| if text.contains(PASSWORD) && text.contains(own) { Ok(()) } else { Err(text) };
    eventually(|| quoted(node.admin(&events), "connection refused"));
    eventually(|| quoted(node.pod(&namespace, "prints").to_string(), "PostStartHookError"));
    for words in [
        &["get", "events"][..],
        &["get", "events", "-o", "yaml"],
        &["events", "--for", "pod/prints"],
        &["describe", "pod", "prints"],
    ] {
        let got = kubectl(on, &namespace, "job", words);
        assert!(!format!("{got:?}").contains(PASSWORD), "{words:?}: {got:?}");
        let shown = words_of(&got.ok());
        assert!(shown.contains(&format!("Readiness probe failed: {PRINTED}")), "{words:?}: {shown}");
        assert!(shown.contains("dial tcp") && shown.contains("connection refused"), "{words:?}: {shown}");
    }
    // It waits for that again and again.
    eventually(|| {
        let shown = words_of(&kubectl(on, &namespace, "job", &["get", "pod", "prints", "-o", "yaml"]).ok());
        assert!(!shown.contains(PASSWORD), "{shown}");
        if shown.contains(&format!("message: '{PRINTED}'")) { Ok(()) } else { Err(shown) }
    });
}

/// YAML breaks long lines.
fn words_of(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
