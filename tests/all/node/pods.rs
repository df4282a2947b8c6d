//! What a kubelet makes of our images.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tests::cluster::Namespace;
use tests::node::{Node, RUNNER, eventually};

/// A job beside our sidecar, as injection will make it: unchanged image, kubectl and script. Nothing listens where the control plane should be.
fn job(node: &Node, namespace: &Namespace, script: &str) {
    namespace.cluster().apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: job, namespace: {namespace}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 10
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}
  initContainers:
  - name: sallyport
    image: {image}
    imagePullPolicy: Never
    restartPolicy: Always
    env:
    - {{name: SALLYPORT_CONTROL_PLANE, value: "nowhere.sallyport.svc:7443"}}
    - {{name: SALLYPORT_CONTROL_PLANE_PIN, value: "pin-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}
    - {{name: SALLYPORT_POD_TOKEN_FILE, value: /var/run/sallyport/identity/token}}
    - {{name: SALLYPORT_SERVE_DIR, value: /var/run/sallyport/serve}}
    lifecycle: {{postStart: {{exec: {{command: [/sallyport-sidecar, wait]}}}}}}
    securityContext: &restricted
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      runAsUser: 65532
      capabilities: {{drop: [ALL]}}
    volumeMounts:
    - {{name: sallyport-identity, mountPath: /var/run/sallyport/identity, readOnly: true}}
    - {{name: sallyport-service-account, mountPath: /var/run/sallyport/serve}}
  containers:
  - name: job
    image: {RUNNER}
    imagePullPolicy: Never
    command: [sh, -c, "{script}"]
    env:
    - {{name: KUBERNETES_SERVICE_HOST, value: 127.0.0.1}}
    - {{name: KUBERNETES_SERVICE_PORT, value: "6443"}}
    - {{name: HOME, value: /tmp}}
    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
    volumeMounts:
    - {{name: sallyport-service-account, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}}
  volumes:
  - {{name: sallyport-service-account, emptyDir: {{medium: Memory, sizeLimit: 1Mi}}}}
  - name: sallyport-identity
    projected:
      sources: [{{serviceAccountToken: {{audience: sallyport, expirationSeconds: 3600, path: token}}}}]
"#,
        namespace = &**namespace,
        image = node.image("sidecar"),
    ));
}

fn restricted(node: &'static Node, prefix: &str) -> Namespace {
    let namespace = node.namespace(prefix);
    node.admin(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    namespace
}

#[test]
fn the_sidecar_is_ready_before_the_job_and_ends_after_it() {
    let Some(node) = Node::get() else { return };
    let namespace = restricted(node, "sidecar");
    // kubectl finds the sidecar by itself, as it would find an API server. It asks again when it reads a 503, for most of a minute.
    job(
        node,
        &namespace,
        "ls /var/run/secrets/kubernetes.io/serviceaccount; kubectl get --raw /version; echo it ended with $?",
    );
    let pod = eventually(|| {
        let pod = node.pod(&namespace, "job");
        if pod["status"]["phase"] == "Succeeded" { Ok(pod) } else { Err(pod["status"].to_string()) }
    });
    let said = node.logs(&namespace, "job", "job");
    let (files, refusal) = said.split_once("token\n").expect("the sidecar wrote before the job began");
    assert_eq!(files, "ca.crt\nnamespace\n");
    assert!(refusal.contains("control plane can't be reached (can't resolve nowhere.sallyport.svc"), "{said}");
    assert!(refusal.contains("the request was not sent") && refusal.contains("it ended with 1"), "{said}");
    let ended = |list: &str| {
        let state = &pod["status"][list][0]["state"]["terminated"];
        assert_eq!(state["exitCode"], 0, "{}", pod["status"]);
        state["finishedAt"].as_str().expect("it has ended").to_owned()
    };
    assert!(ended("containerStatuses") <= ended("initContainerStatuses"), "{}", pod["status"]);
}

#[test]
fn a_pods_token_for_us_is_where_the_sidecar_alone_sees_it() {
    let Some(node) = Node::get() else { return };
    let namespace = restricted(node, "token");
    job(node, &namespace, "cat /var/run/sallyport/identity/token; sleep 600");
    node.ready(&namespace, "job");
    let said = node.logs(&namespace, "job", "job");
    assert!(said.contains("No such file"), "{said}");
    // The kubelet has it where a Pod's volumes are.
    let uid = node.pod(&namespace, "job")["metadata"]["uid"].as_str().expect("a Pod has a uid").to_owned();
    let path = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~projected/sallyport-identity/token");
    let token = node.enter(&["cat", &path]).ok();
    let claims = token.split('.').nth(1).expect("a JWT has three parts");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON");
    assert_eq!(claims["aud"], serde_json::json!(["sallyport"]));
    assert_eq!(claims["kubernetes.io"]["pod"]["uid"], uid.as_str());
    assert_eq!(claims["kubernetes.io"]["node"]["name"], "node1");
}
