//! Each way round us, taken through the real API server, with the sentence that a person sees.

use serde_json::{Value, json};
use tests::injector::{Injector, Setup};

use super::{assert_protected, create, pod, refused, stored};

/// A Pod with one more field, and what kubectl prints.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    let own = |volume: Value| json!([{"name": "own", "projected": {"sources": [volume]}}]);
    vec![
        (
            "/hostNetwork",
            json!(true),
            "spec.hostNetwork shares the node's network, where no network policy holds: remove it",
        ),
        ("/hostPID", json!(true), "spec.hostPID shows the node's processes"),
        ("/hostIPC", json!(true), "spec.hostIPC shares memory with the node's processes"),
        (
            "/shareProcessNamespace",
            json!(true),
            "spec.shareProcessNamespace lets its containers read the sidecar's token in /proc",
        ),
        ("/containers/0/securityContext", json!({"privileged": true}), "container \"job\" is privileged"),
        (
            "/containers/0/securityContext",
            json!({"capabilities": {"add": ["SYS_PTRACE"]}}),
            "adds the capability SYS_PTRACE",
        ),
        (
            "/containers/0/securityContext",
            json!({"capabilities": {"add": ["NET_ADMIN"]}}),
            "adds the capability NET_ADMIN",
        ),
        (
            "/containers/0/livenessProbe",
            json!({"httpGet": {"host": "10.96.0.1", "port": 443}}),
            "the kubelet would call it from the node's network",
        ),
        (
            "/volumes",
            json!([{"name": "own", "hostPath": {"path": "/var/lib/kubelet"}}]),
            "volume \"own\" is a hostPath",
        ),
        (
            "/volumes",
            own(json!({"serviceAccountToken": {"path": "t"}})),
            "volume \"own\" holds a token of its own for the API server",
        ),
        (
            "/volumes",
            own(json!({"serviceAccountToken": {"path": "t", "audience": "https://kubernetes.default.svc"}})),
            "holds a token of its own",
        ),
        (
            "/volumes",
            own(json!({"serviceAccountToken": {"path": "t", "audience": "sallyport"}})),
            "Sallyport's sidecar has the only one",
        ),
        (
            "/containers/0/volumeMounts",
            json!([{"name": "sallyport-identity", "mountPath": "/t"}]),
            "whose token is the sidecar's alone",
        ),
        ("/containers/0/name", json!("sallyport"), "container \"sallyport\" is not the sidecar of this installation"),
        (
            "/initContainers",
            json!([{"name": "sallyport", "image": "evil.example/sidecar", "restartPolicy": "Always"}]),
            "is not the sidecar of this installation",
        ),
    ]
}

#[test]
fn every_way_round_is_refused_with_its_reason() {
    let asked = Injector::start("bypass", &Setup::default());
    let required = Injector::start("bypass", &Setup { labels: &["sallyport.dev/inject=required"], ..Setup::default() });
    for (path, value, expected) in cases() {
        let (parent, key) = path.rsplit_once('/').unwrap();
        let mut wrong = pod("wrong");
        wrong["spec"].pointer_mut(parent).unwrap()[key] = value;
        for injector in [&asked, &required] {
            let said = refused(injector, &wrong);
            assert!(said.contains(expected) && said.contains("Error from server (Forbidden)"), "{path}: {said}");
            // A mandatory namespace needs no annotation for it; elsewhere the Pod is then none of ours.
            wrong["metadata"]["annotations"] = Value::Null;
        }
        let plain = asked.try_create(&wrong.to_string(), &["--dry-run=server"]);
        assert!(!plain.1.contains("sallyport.dev\" denied"), "{path}: {}", plain.1);
    }
    let pods = required.namespace.admin(&["get", "pods", "-o", "name"]);
    assert_eq!(pods, "", "no Pod came of any of them");
}

#[test]
fn annotations_are_refused_with_the_right_one() {
    let injector = Injector::start("annotations", &Setup::default());
    for (name, value, expected) in [
        (
            "sallyport.dev/injct",
            "true",
            "there is no annotation \"sallyport.dev/injct\"; did you mean sallyport.dev/inject?",
        ),
        ("sallyport.io/inject", "true", "did you mean sallyport.dev/inject?"),
        ("sallyport.dev/inject", "yes", "annotation sallyport.dev/inject is \"yes\"; write \"true\", in quotes"),
        ("sallyport.dev/port", "8080", "write a port from 1024 to 65535, not 8001 or 8080"),
        ("sallyport.dev/cluster", "production", "and this is the cluster \"test\""),
    ] {
        let mut wrong = pod("wrong");
        wrong["metadata"]["annotations"][name] = json!(value);
        let said = refused(&injector, &wrong);
        assert!(said.contains(expected) && said.contains("Error from server (BadRequest)"), "{name}: {said}");
    }
    let mut right = pod("right");
    right["metadata"]["annotations"]["sallyport.dev/port"] = json!("7000");
    right["metadata"]["annotations"]["sallyport.dev/cluster"] = json!("test");
    create(&injector, &right);
    assert_protected(&stored(&injector, "right"), "7000");
}

/// Network policies trust the label, so nobody else sets it: not at creation, not later, not through a status or a binding.
#[test]
fn the_label_is_ours() {
    let injector = Injector::start("label", &Setup::default());
    let cluster = injector.namespace.cluster();
    let mut forged = pod("forged");
    forged["metadata"] = json!({"name": "forged", "labels": {"sallyport.dev/injected": "true"}});
    assert!(refused(&injector, &forged).contains("label sallyport.dev/injected is set by Sallyport alone"));
    // Nor does a Pod that only looks injected pass for one.
    forged["metadata"]["annotations"] = json!({"sallyport.dev/inject": "false"});
    forged["spec"]["initContainers"] =
        json!([{"name": "sallyport", "image": tests::injector::IMAGE, "restartPolicy": "Always"}]);
    assert!(refused(&injector, &forged).contains("is set by Sallyport alone"));

    let mut plain = pod("plain");
    plain["metadata"]["annotations"] = Value::Null;
    create(&injector, &plain);
    let patch = r#"{"metadata":{"labels":{"sallyport.dev/injected":"true"}}}"#;
    for more in [&[][..], &["--subresource=status"]] {
        let mut arguments = vec!["-n", &*injector.namespace, "patch", "pod", "plain", "--type=merge", "-p", patch];
        arguments.extend(more);
        let output = cluster.try_admin(&arguments, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("label sallyport.dev/injected is set by Sallyport alone, when a Pod is created"),
            "{said}"
        );
    }
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": "plain", "labels": {"sallyport.dev/injected": "true"}, "annotations": {"sallyport.dev/inject": "true"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node1"},
    });
    let path = format!("/api/v1/namespaces/{}/pods/plain/binding", &*injector.namespace);
    let output = cluster.try_admin(&["create", "--raw", &path, "-f", "-"], &binding.to_string());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("a binding carries sallyport.dev/inject"), "{said}");
    let labels = &stored(&injector, "plain")["metadata"]["labels"];
    assert!(labels.get("sallyport.dev/injected").is_none(), "{labels}");
}

#[test]
fn what_is_ours_stays_as_it_was() {
    let injector = Injector::start("kept", &Setup::default());
    let cluster = injector.namespace.cluster();
    create(&injector, &pod("job"));
    let patch = |patch: &str, kind: &str| {
        let kind = format!("--type={kind}");
        let arguments = ["-n", &*injector.namespace, "patch", "pod", "job", &kind, "-p", patch];
        let output = cluster.try_admin(&arguments, "");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (change, expected) in [
        (
            r#"{"metadata":{"annotations":{"sallyport.dev/inject":null}}}"#,
            "annotation sallyport.dev/inject can't be changed or removed",
        ),
        (
            r#"{"metadata":{"annotations":{"sallyport.dev/inject":"false"}}}"#,
            "annotation sallyport.dev/inject can't be changed or removed",
        ),
        (
            r#"{"metadata":{"annotations":{"sallyport.dev/port":"7000"}}}"#,
            "annotation sallyport.dev/port can't be changed or removed",
        ),
        (
            r#"{"metadata":{"labels":{"sallyport.dev/injected":null}}}"#,
            "label sallyport.dev/injected can't be changed or removed",
        ),
    ] {
        let (done, said) = patch(change, "merge");
        assert!(!done && said.contains(expected), "{change}: {said}");
    }
    let (done, said) =
        patch(r#"{"spec":{"initContainers":[{"name":"sallyport","image":"evil.example/sidecar"}]}}"#, "strategic");
    assert!(!done && said.contains("the image of container \"sallyport\" can't be changed"), "{said}");
    // All else is as it always was.
    let (done, said) = patch(r#"{"metadata":{"labels":{"team":"a"},"annotations":{"note":"b"}}}"#, "merge");
    assert!(done, "{said}");
    let (done, said) =
        patch(r#"{"spec":{"containers":[{"name":"job","image":"registry.invalid/other"}]}}"#, "strategic");
    assert!(done, "{said}");
}

#[test]
fn no_ephemeral_container_gets_in() {
    let injector = Injector::start("debug", &Setup::default());
    create(&injector, &pod("job"));
    let debug = |pod: &str| {
        let arguments =
            ["-n", &*injector.namespace, "debug", pod, "--image=registry.invalid/sh", "--target=job", "--attach=false"];
        let output = injector.namespace.cluster().try_admin(&arguments, "");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, said) = debug("job");
    assert!(!done && said.contains("an ephemeral container could read the sidecar's token"), "{said}");
    let mut plain = pod("plain");
    plain["metadata"]["annotations"] = Value::Null;
    create(&injector, &plain);
    let (done, said) = debug("plain");
    assert!(done, "{said}");
}

/// What a Pod does not show: that a Secret holds a token. So there is none.
#[test]
fn mandatory_namespaces_have_no_token_secrets() {
    let injector =
        Injector::start("secrets", &Setup { labels: &["sallyport.dev/inject=required"], ..Setup::default() });
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "token", "annotations": {"kubernetes.io/service-account.name": "default"}},
    });
    // The API server learns of policies a second or so after they are stored.
    super::eventually(|| {
        let (_, said) = injector.try_create(&secret.to_string(), &["--dry-run=server"]);
        said.contains("would be a credential that goes round Sallyport").then_some(())
    });
    assert!(refused(&injector, &secret).contains("would be a credential that goes round Sallyport"));
    secret["type"] = json!("Opaque");
    create(&injector, &secret);
    let mut opting_out = pod("out");
    opting_out["metadata"]["annotations"] = json!({"sallyport.dev/inject": "false"});
    assert!(refused(&injector, &opting_out).contains("nothing in it runs without the sidecar"));
}

/// Somebody took the mutating webhook away: the namespace has no unprotected Pod all the same.
#[test]
fn without_webhooks_a_mandatory_namespace_has_no_pods() {
    let injector =
        Injector::start("required", &Setup { labels: &["sallyport.dev/inject=required"], ..Setup::default() });
    injector.unregister("mutatingwebhookconfiguration", "sallyport-injector");
    let plain = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"}, "spec": {
        "containers": [{"name": "job", "image": "registry.invalid/kubectl"}],
    }});
    // Without a trace, for until the API server has heard of it the Pod is created, with its sidecar.
    let until = |expected: &str| {
        super::eventually(|| {
            let (_, said) = injector.try_create(&plain.to_string(), &["--dry-run=server"]);
            said.contains(expected).then_some(said)
        })
    };
    // Two others refuse it, each by itself: the API server's own policy, and the validating webhook.
    let said = until("and the Pod has no sidecar: is the MutatingWebhookConfiguration sallyport-injector there?");
    assert!(said.contains("ValidatingAdmissionPolicy"), "{said}");
    injector.unregister("validatingadmissionpolicy", "sallyport-required");
    let said = until("it was not given its sidecar: the mutating webhook sallyport-injector is missing");
    assert!(said.contains("required.validate.sallyport.dev"), "{said}");
    assert!(refused(&injector, &plain).contains("it was not given its sidecar"));
}

/// Templates are not refused, but their author is told at once.
#[test]
fn whoever_writes_a_template_is_warned() {
    let injector = Injector::start("template", &Setup::default());
    let job = |annotations: Value, host_network: bool| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": {"suspend": true, "template": {
            "metadata": {"annotations": annotations},
            "spec": {"restartPolicy": "Never", "hostNetwork": host_network, "containers": [{"name": "job", "image": "x"}]},
        }}})
    };
    let said = |job: &Value| injector.try_create(&job.to_string(), &["--dry-run=server"]);
    let (done, text) = said(&job(json!({"sallyport.dev/inject": "true"}), true));
    assert!(
        done && text.contains("Warning: no Pod will come of this: Sallyport refuses this Pod: spec.hostNetwork"),
        "{text}"
    );
    let (done, text) = said(&job(json!({"sallyport.dev/injct": "true"}), false));
    assert!(done && text.contains("Warning: no Pod will come of this") && text.contains("did you mean"), "{text}");
    let (done, text) = said(&job(json!({"sallyport.dev/inject": "true"}), false));
    assert!(done && !text.contains("Warning"), "{text}");
}
