//! Where nobody looks for a value first: what tools and controllers keep, what a pod says of itself, what the cluster's own rules quote.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{PASSWORD, World, world};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// Each way to read one object and those beside it; none is refused or cut off, which would hide the value as well.
async fn read_in_all_ways(world: &World, collection: &str, name: &str) {
    let watch = format!("{collection}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3D{name}");
    for (path, accept) in [
        (format!("{collection}/{name}"), "application/json"),
        (format!("{collection}/{name}"), PROTOBUF),
        (format!("{collection}/{name}"), METADATA),
        (format!("{collection}?includeObject=Object"), TABLE),
        (collection.to_owned(), "application/json"),
        (watch.clone(), "application/json"),
        (watch, PROTOBUF),
    ] {
        let told = world.get(&path, accept).await.ok();
        assert!(told.text().contains(name), "{path} as {accept}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a37_what_tools_keep_in_annotations() {
    let world = world();
    let own = world.0.namespace();
    let manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kept"},
        "data": {"password": STANDARD.encode(PASSWORD)}});
    let token = format!("{PASSWORD}.{}", "x".repeat(200));
    let annotations = json!({
        "objectset.rio.cattle.io/applied": STANDARD.encode(gzip(manifest.to_string().as_bytes())),
        "kapp.k14s.io/original": manifest.to_string(),
        "kapp.k14s.io/original-diff": format!("- path: /data/password\n  type: replace\n  value: {}\n", STANDARD.encode(PASSWORD)),
        "openshift.io/token-secret.value": token,
        "example.com/yaml": format!("apiVersion: v1\nkind: Secret\ndata:\n  password: {}\n", STANDARD.encode(PASSWORD)),
        "example.com/twice": Value::from(manifest.to_string()).to_string(),
    });
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kept", "namespace": &**own,
        "annotations": annotations}, "stringData": {"password": PASSWORD}});
    own.cluster().apply(&secret.to_string());
    read_in_all_ways(&world, &world.secrets(""), "kept").await;
    // Written back they are what they were.
    let shown = world.get(&world.secrets("/kept"), "application/json").await.ok();
    world.call("PUT", &world.secrets("/kept"), &["Content-Type: application/json"], &shown.text()).await.ok();
    let real = own.cluster().get_json(&["secret", "kept", "-n", own]);
    for (name, text) in annotations.as_object().unwrap() {
        assert_eq!(&real["metadata"]["annotations"][name], text, "{name}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A pod whose container has ended with the value in its last words, as its kubelet would tell.
fn ended(world: &World, name: &str, env: &Value, volumes: &Value) {
    let own = world.0.namespace();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": &**own},
        "spec": {"containers": [{"name": "c", "image": "c:1", "env": env}], "volumes": volumes}});
    own.cluster().apply(&pod.to_string());
    let terminated = json!({"exitCode": 1, "reason": "Error", "message": format!("cannot log in with {PASSWORD}\n")});
    let status = json!({"status": {"containerStatuses": [{"name": "c", "image": "c:1", "imageID": "", "ready": false, "restartCount": 1,
        "state": {"terminated": terminated}, "lastState": {"terminated": terminated}}]}});
    own.admin(&["patch", "pod", name, "--subresource=status", "--type=merge", "-p", &status.to_string()]);
}

/// One that takes the Secret into its environment.
fn ended_with_env(world: &World, name: &str) {
    let env = json!([{"name": "P", "valueFrom": {"secretKeyRef": {"name": "target", "key": "password"}}}]);
    ended(world, name, &env, &json!([]));
}

/// With `terminationMessagePolicy: FallbackToLogsOnError` they are the end of its log.
#[tokio::test(flavor = "multi_thread")]
async fn a38_the_last_words_of_a_container() {
    let world = world();
    ended_with_env(&world, "ended");
    let azure = json!({"azureFile": {"secretName": "target", "shareName": "x"}});
    let driver = json!({"csi": {"driver": "x", "nodePublishSecretRef": {"name": "target"}}});
    let flexible = json!({"flexVolume": {"driver": "x/y", "secretRef": {"name": "target"}}});
    for (pod, mut volume) in [("ended-azure", azure), ("ended-driver", driver), ("ended-flexible", flexible)] {
        volume["name"] = json!("v");
        ended(&world, pod, &json!([]), &json!([volume]));
    }
    for pod in ["ended", "ended-azure", "ended-driver", "ended-flexible"] {
        read_in_all_ways(&world, &world.path("pods"), pod).await;
        let shown = world.get(&world.path(&format!("pods/{pod}")), "application/json").await.ok().json();
        let message = &shown["status"]["containerStatuses"][0]["state"]["terminated"]["message"];
        assert!(message.as_str().unwrap().contains("kubectl logs --previous"), "{message}");
    }
}

const QUOTES: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: quotes-NAMESPACE}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [UPDATE], resources: [secrets]}]
  validations:
  - expression: object.metadata.name != 'quoted'
    messageExpression: \"'it must not be ' + string(object.data['password'])\"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: quotes-NAMESPACE}
spec:
  policyName: quotes-NAMESPACE
  validationActions: [ACTION]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}
";

/// Whoever writes the cluster's rules may have them say the value, as a refusal or as a warning.
#[tokio::test(flavor = "multi_thread")]
async fn a39_a_rule_of_admission_that_quotes_it() {
    let world = world();
    let own = world.0.namespace();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "quoted", "namespace": &**own},
        "stringData": {"password": PASSWORD}});
    own.cluster().apply(&secret.to_string());
    let label = |n: usize| json!({"metadata": {"labels": {"n": n.to_string()}}});
    for action in ["Deny", "Warn"] {
        own.cluster().apply(&QUOTES.replace("NAMESPACE", own).replace("ACTION", action));
        // It holds when the administrator is told.
        let mut told = String::new();
        for n in 0..200 {
            let patch = label(n).to_string();
            let arguments = ["patch", "secret", "quoted", "-n", own, "-p", &patch];
            let output = own.cluster().try_admin(&arguments, "");
            told = String::from_utf8_lossy(&output.stderr).into_owned();
            if told.contains("it must not be") && told.contains("denied") == (action == "Deny") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(told.contains(&STANDARD.encode(PASSWORD)), "{told}");
        for query in ["", "?dryRun=All", "?fieldManager=x&force=true"] {
            let kind = if query.contains("force") { "apply-patch+yaml" } else { "merge-patch+json" };
            let mut body = label(900);
            if query.contains("force") {
                body["apiVersion"] = json!("v1");
                body["kind"] = json!("Secret");
                body["metadata"]["name"] = json!("quoted");
            }
            let told = world.patch(&world.secrets(&format!("/quoted{query}")), kind, &body).await;
            assert_eq!(told.status >= 400, action == "Deny", "{told:?}");
        }
    }
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        own.cluster().admin(&["delete", kind, &format!("quotes-{}", &**own)]);
    }
}

/// Names of keys that mean something elsewhere in an object.
#[tokio::test(flavor = "multi_thread")]
async fn a40_a_secret_whose_keys_mean_something_else() {
    let world = world();
    let own = world.0.namespace();
    let keys = [
        "kind",
        "apiVersion",
        "data",
        "stringData",
        "items",
        "rows",
        "object",
        "metadata",
        "annotations",
        "managedFields",
        "release",
    ];
    let data: Value = keys
        .iter()
        .map(|key| ((*key).to_owned(), Value::from(STANDARD.encode(PASSWORD))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "words", "namespace": &**own}, "data": data});
    own.cluster().apply(&secret.to_string());
    read_in_all_ways(&world, &world.secrets(""), "words").await;
    let shown = world.get(&world.secrets("/words"), "application/json").await.ok();
    world.call("PUT", &world.secrets("/words"), &["Content-Type: application/json"], &shown.text()).await.ok();
    assert_eq!(own.cluster().get_json(&["secret", "words", "-n", own])["data"], data);
}

/// Base64 may have line breaks wherever it wants: cut into lines shorter than any piece of it that is known.
#[tokio::test(flavor = "multi_thread")]
async fn a41_a_placeholder_in_short_lines() {
    let world = world();
    let placeholder = world.placeholder().await;
    for width in [1, 7, 20] {
        let lines: Vec<&str> = placeholder.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
        for end in ["\n", "\r\n"] {
            let lines = lines.join(end);
            for body in [json!({"data": {"other": lines}}), json!({"data": {"password": lines}})] {
                let message = world.patch(&world.secrets("/target"), "merge-patch+json", &body).await.refused();
                assert!(message.contains("placeholder"), "{message}");
            }
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lines"}, "binaryData": {"p": lines}});
            world.post(&world.path("configmaps"), &body).await.refused();
        }
    }
    world.assert_unchanged();
}

/// Where it would be stored beside the fields that it wrote.
#[tokio::test(flavor = "multi_thread")]
async fn a42_a_placeholder_as_the_name_of_a_manager() {
    let world = world();
    let name = world.placeholder().await.replace('=', "%3D");
    let body = json!({"metadata": {"labels": {"a": "b"}}});
    let told = world.patch(&world.secrets(&format!("/target?fieldManager={name}")), "merge-patch+json", &body).await;
    assert!(told.refused().contains("fieldManager"));
    world.assert_unchanged();
}

/// What YAML can do that JSON can't.
#[tokio::test(flavor = "multi_thread")]
async fn a43_a_placeholder_in_yaml() {
    let world = world();
    let placeholder = world.placeholder().await;
    let (start, end) = placeholder.split_at(60);
    let apply = async |fields: &str, more: &str| {
        let body = format!("{more}apiVersion: v1\nkind: Secret\nmetadata: {{name: target}}\n{fields}");
        let path = world.secrets("/target?fieldManager=yaml&force=true");
        world.call("PATCH", &path, &["Content-Type: application/apply-patch+yaml"], &body).await
    };
    for fields in [
        format!("data:\n  other: !!binary {placeholder}\n"),
        format!("data:\n  password: &a {placeholder}\n  other: *a\n"),
        format!("x: &x {{other: {placeholder}}}\ndata:\n  <<: *x\n"),
        format!("data:\n  other: \"{start}\\\n    {end}\"\n"),
        format!("data:\n  other: >-\n    {start}\n    {end}\n"),
        format!("data:\n  other: |-\n    {start}\n    {end}\n"),
        format!("data: {{other: {placeholder}}}\n---\nkind: ConfigMap\n"),
    ] {
        let told = apply(&fields, "").await;
        assert!([400, 403].contains(&told.status), "{fields}: {told:?}");
    }
    let told = apply(&format!("data: {{other: {placeholder}}}\n"), "%YAML 1.1\n---\n").await;
    assert!([400, 403].contains(&told.status), "{told:?}");
    world.assert_unchanged();
}

/// A deletion that is only tried, said in each way: whoever takes it for one that isn't has no Secret any more.
#[tokio::test(flavor = "multi_thread")]
async fn a44_a_deletion_that_is_only_tried() {
    let world = world();
    let options = |dry: Value| json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": dry}).to_string();
    for (query, body) in [
        ("?dryRun=All", String::new()),
        ("?dryRun=All", options(json!([]))),
        ("", options(json!(["All"]))),
        ("?dryRun=All&dryRun=", String::new()),
        ("?dryRun=all", String::new()),
        ("?dryRun=", options(json!(["All", "x"]))),
        ("?dryRun=All", "{}".to_owned()),
    ] {
        let path = world.secrets(&format!("/target{query}"));
        world.call("DELETE", &path, &["Content-Type: application/json"], &body).await;
        world.assert_unchanged();
    }
}

/// The answer to a patch shows what it has moved to where it is shown, and a test tells whether a guess is right.
#[tokio::test(flavor = "multi_thread")]
async fn a45_a_json_patch_from_the_last_words() {
    let world = world();
    ended_with_env(&world, "moved");
    let words = "/status/containerStatuses/0/state/terminated";
    let message = format!("{words}/message");
    for patch in [
        json!([{"op": "copy", "from": message, "path": "/metadata/annotations"}]),
        json!([{"op": "copy", "from": message, "path": "/status/message"}]),
        json!([{"op": "move", "from": words, "path": "/status/containerStatuses/0/state/waiting"}]),
        json!([{"op": "copy", "from": "/status/containerStatuses", "path": "/metadata/labels"}]),
        json!([{"op": "copy", "from": "/status", "path": "/spec/x"}]),
        json!([{"op": "test", "path": message, "value": "guess"}]),
    ] {
        for path in ["moved", "moved?dryRun=All", "moved/status", "moved/status?dryRun=All"] {
            let told = world.patch(&world.path(&format!("pods/{path}")), "json-patch+json", &patch).await;
            assert!(told.refused().contains("the last words of a container"), "{path} {patch}");
        }
    }
    let patch = json!([{"op": "test", "path": "/metadata/name", "value": "moved"}, {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]);
    world.patch(&world.path("pods/moved"), "json-patch+json", &patch).await.ok();
}

/// What the runtime says of a container that it couldn't start is shown: so it must be the kubelet that says that it is so.
#[tokio::test(flavor = "multi_thread")]
async fn a46_a_reason_that_the_job_wrote() {
    let world = world();
    ended_with_env(&world, "said");
    let path = "/status/containerStatuses/0/state/terminated/reason";
    let operations = json!([{"op": "replace", "path": path, "value": "StartError"}]);
    let mut pod = world.get(&world.path("pods/said"), "application/json").await.ok().json();
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = json!("StartError");
    let lists = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "said"}, "status": pod["status"]});
    for query in ["", "?dryRun=All"] {
        let status = world.path(&format!("pods/said/status{query}"));
        let apply = world.path(&format!("pods/said/status?fieldManager=x&force=true{}", query.replace('?', "&")));
        for told in [
            world.patch(&status, "json-patch+json", &operations).await,
            world.patch(&status, "merge-patch+json", &lists).await,
            world.patch(&status, "strategic-merge-patch+json", &lists).await,
            world.patch(&apply, "apply-patch+yaml", &lists).await,
            world.call("PUT", &status, &["Content-Type: application/json"], &pod.to_string()).await,
        ] {
            assert!(told.refused().contains("written by the kubelet alone"));
        }
    }
    // Of a pod itself nobody writes the status.
    let labels = json!({"metadata": {"labels": {"a": "b"}}, "status": lists["status"]});
    world.patch(&world.path("pods/said"), "merge-patch+json", &labels).await.ok();
    let ready = json!({"status": {"conditions": [{"type": "example.com/ready", "status": "True"}]}});
    world.patch(&world.path("pods/said/status"), "strategic-merge-patch+json", &ready).await.ok();
    read_in_all_ways(&world, &world.path("pods"), "said").await;
}
