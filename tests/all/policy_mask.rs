//! Fields that policy has masked: in whatever kubectl shows of an object, and on the way back.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use serde_json::{Value, json};
use tests::cluster::Namespace;
use tests::kubectl::{Kubectl, Output, Version};
use tests::stack::Stack;

use crate::stories::held;

const CANARY: &str = "canary-51f0-in-a-config-map";

const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 99, denyAt: 100}
mask:
- apiGroups: ['']
  resources: [configmaps]
  fields: ['data.*password*', \"data['app.conf']\"]
- apiGroups: ['']
  resources: [pods]
  fields: ['spec.containers[*].env[name=*PASSWORD*].value']
";

fn file(kubectl: &Kubectl, name: &str, object: &Value) -> String {
    let path = kubectl.home().join(name);
    std::fs::write(&path, object.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[track_caller]
fn without_canary(output: &Output) {
    assert!(!output.stdout.contains(CANARY) && !output.stderr.contains(CANARY), "{output:?}");
}

/// As it may be seen, without what the API server numbers.
async fn got(kubectl: &Kubectl, name: &str) -> Value {
    let got = kubectl.run(&["get", "configmap", name, "-o", "json"]).await;
    without_canary(&got);
    let mut object: Value = serde_json::from_str(&got.ok()).unwrap();
    for numbered in ["uid", "resourceVersion", "creationTimestamp"] {
        object["metadata"].as_object_mut().unwrap().remove(numbered);
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_policy_names_are_masked_and_written_back() {
    let stack = &Stack::with_policy("fields", Some(POLICY));
    let own = stack.namespace();
    for version in Version::ALL {
        let kubectl = &stack.kubectl(version);
        let name = &format!("{version:?}").to_lowercase();
        let data = json!({"DB_PASSWORD": CANARY, "app.conf": format!("password={CANARY}"), "plain": "seen"});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        // The reply, its last-applied annotation, and every form of a read.
        let made = kubectl.run(&["apply", "-f", &file(kubectl, "one.json", &object), "-o", "yaml"]).await;
        without_canary(&made);
        assert!(made.ok().contains("last-applied-configuration"), "{version:?}");
        for form in ["json", "yaml", "wide", "jsonpath={.data}", "go-template={{.data}}"] {
            let read = kubectl.run(&["get", "configmap", name, "-o", form]).await;
            without_canary(&read);
            let read = read.ok();
            assert!(form == "wide" || read.contains("seen"), "{version:?} {form}: {read}");
            let listed = kubectl.run(&["get", "configmaps", "-o", form]).await;
            without_canary(&listed);
            listed.ok();
        }
        let described = kubectl.run(&["describe", "configmap", name]).await;
        without_canary(&described);
        assert!(described.ok().contains("seen"), "{version:?}");

        // Back as it came, with a change of its own, twice.
        let mut shown = got(kubectl, name).await;
        shown["data"]["plain"] = json!("changed");
        let changed = file(kubectl, "changed.json", &shown);
        let replaced = kubectl.run(&["replace", "-f", &changed]).await;
        without_canary(&replaced);
        replaced.ok();
        let mut expected = data.clone();
        expected["plain"] = json!("changed");
        let real = || own.cluster().get_json(&["-n", own, "configmap", name]);
        assert_eq!(real()["data"], expected, "{version:?}");
        shown["metadata"].as_object_mut().unwrap().remove("annotations");
        let applied = file(kubectl, "applied.json", &shown);
        kubectl.run(&["apply", "-f", &applied]).await.ok();
        let again = kubectl.run(&["apply", "-f", &applied]).await.ok();
        assert!(again.contains("unchanged"), "{version:?}: {again}");
        assert_eq!(real()["data"], expected, "{version:?}");

        // Nowhere else, and by no operation that would copy it.
        let copy = json!({"data": {"plain": shown["data"]["DB_PASSWORD"]}}).to_string();
        let refused = kubectl.run(&["patch", "configmap", name, "--type=merge", "-p", &copy]).await.refused();
        assert!(refused.contains("/data/plain") && refused.contains("placeholder"), "{version:?}: {refused}");
        let copy = r#"[{"op":"copy","from":"/data/DB_PASSWORD","path":"/data/plain"}]"#;
        let refused = kubectl.run(&["patch", "configmap", name, "--type=json", "-p", copy]).await.refused();
        assert!(refused.contains("may not copy"), "{version:?}: {refused}");
        let wrong = format!(r#"{{"data":{{"DB_PASSWORD":{{"a":"{CANARY}"}}}}}}"#);
        let refused = kubectl.run(&["patch", "configmap", name, "--type=merge", "-p", &wrong]).await;
        without_canary(&refused);
        refused.refused();
        assert_eq!(real()["data"], expected, "{version:?}");
    }
    // Nor does anybody else learn of them.
    for entry in std::fs::read_dir(stack.data()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    }
    for process in ["control-plane", "agent", "sidecar"] {
        stack.log(process).assert_without(CANARY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_are_told_that_nobody_compares_them() {
    let rule = "noPersonBehind:\n- serviceAccount: 'test/*/default'\nrules:\n- name: look\n  match: {verbs: [update]}\n  effect: hold\n";
    let stack = &Stack::with_policy("uncompared", Some(&format!("{POLICY}{rule}")));
    let data = format!("--from-literal=DB_PASSWORD={CANARY}");
    stack.namespace().admin(&["create", "configmap", "db", &data, "--from-literal=plain=seen"]);
    let kubectl = &stack.kubectl(Version::Newest);
    let mut shown = got(kubectl, "db").await;
    shown["data"]["DB_PASSWORD"] = json!("another");
    let replace = kubectl.spawn(&["replace", "-f", &file(kubectl, "other.json", &shown)], "").await;
    let id = held(stack).await;
    let printed = stack.cli(&["approvals", "show", &id]).ok();
    assert!(printed.contains("fields that policy masks are shown to nobody, nor whether they change"), "{printed}");
    stack.cli(&["approvals", "deny", &id, "--reason", "only looking"]).ok();
    assert!(replace.end().await.refused().contains("only looking"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_containers_is_masked_by_name() {
    let stack = &Stack::with_policy("env", Some(POLICY));
    let own = stack.namespace();
    // The other one's value is shown in the end, and then it is on record too, as it should be.
    for (name, value) in [("web", CANARY), ("other", "open-sesame")] {
        own.cluster().apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {}}}, spec: {{containers: [{{name: c, image: 'registry.example/c:1', \
             env: [{{name: DB_PASSWORD, value: {value}}}, {{name: PORT, value: '8080'}}]}}]}}}}",
            &**own
        ));
    }
    let kubectl = stack.kubectl(Version::Newest);
    for form in [&["get", "pod", "web", "-o", "yaml"][..], &["get", "pods", "-o", "json"], &["describe", "pod", "web"]]
    {
        let shown = kubectl.run(form).await;
        without_canary(&shown);
        let shown = shown.ok();
        assert!(shown.contains("8080") && shown.contains("c2FsbHlwb3J0"), "{form:?}: {shown}");
        assert!(!shown.contains("open-sesame"), "{form:?}: {shown}");
    }
    // A policy without them shows them again: it is policy's word alone.
    stack.write_policy("apiVersion: sallyport.dev/v1alpha1\nkind: Policy\n");
    for _ in 0..100 {
        if kubectl.run(&["get", "pod", "other", "-o", "yaml"]).await.ok().contains("open-sesame") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the policy without `mask` is not in force after ten seconds");
}

/// What `defaultMask` names, in what runs containers and in ConfigMaps: read, written back, applied with the real value.
#[tokio::test(flavor = "multi_thread")]
async fn usual_names_are_masked_where_policy_says_so() {
    let policy =
        "apiVersion: sallyport.dev/v1alpha1\nkind: Policy\nthresholds: {holdAt: 99, denyAt: 100}\ndefaultMask: true\n";
    let stack = &Stack::with_policy("usual", Some(policy));
    let own = stack.namespace();
    let variables = json!([{"name": "DB_PASSWORD", "value": CANARY}, {"name": "PORT", "value": "8080"}]);
    let container = json!({"name": "c", "image": "registry.example/c:1", "env": variables});
    let pod = json!({"containers": [container], "initContainers": [{"name": "i", "image": "registry.example/i:1", "env": variables}]});
    let labels = json!({"app": "web"});
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let mut job = template.clone();
    job["spec"]["restartPolicy"] = json!("Never");
    let objects = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"selector": {"matchLabels": labels}, "template": template}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": job}}}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"},
            "data": {"api-key": CANARY, "plain": "8080"}}),
    ];
    let kubectl = &stack.kubectl(Version::Newest);
    for object in &objects {
        let kind = &object["kind"].as_str().unwrap().to_lowercase();
        let (name, path) = (object["metadata"]["name"].as_str().unwrap(), &file(kubectl, "object.json", object));
        // As it is, twice: what it says of a masked value can't be "unchanged", and changes nothing.
        for _ in 0..2 {
            let applied = kubectl.run(&["apply", "-f", path]).await;
            without_canary(&applied);
            applied.ok();
        }
        for form in ["yaml", "json", "wide"] {
            let read = kubectl.run(&["get", kind, name, "-o", form]).await;
            without_canary(&read);
            let read = read.ok();
            let shown = if form == "wide" { name } else { "8080" };
            assert!(read.contains(shown) && !read.contains("(masked)"), "{kind} {form}: {read}");
        }
        // Back as it was shown.
        let shown = kubectl.run(&["get", kind, name, "-o", "json"]).await.ok();
        let path = &file(kubectl, "shown.json", &serde_json::from_str(&shown).unwrap());
        kubectl.run(&["replace", "-f", path]).await.ok();
        let mut real = own.cluster().get_json(&["-n", own, kind, name]);
        let annotation = real["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].take();
        let mut values = real.to_string();
        assert!(annotation.as_str().unwrap_or_default().contains(CANARY), "{kind}: {annotation}");
        values.retain(|char| char != '\\');
        assert!(values.contains(CANARY) && !values.contains("c2FsbHlwb3J0"), "{kind}: {values}");
    }
    people_change_a_deployment(own, kubectl).await;
    nobody_renames_a_variable(own, kubectl).await;

    // A name that says nothing of the sort is nobody's secret.
    let listed = kubectl.run(&["get", "deployments,cronjobs,configmaps", "-o", "json"]).await;
    without_canary(&listed);
    listed.ok();
}

fn containers(own: &Namespace) -> Value {
    own.cluster().get_json(&["-n", own, "deployment", "web"])["spec"]["template"]["spec"].clone()
}

fn variables(pod: &Value, list: &str) -> Vec<Value> {
    pod[list][0]["env"].as_array().unwrap().clone()
}

/// What people do to a Deployment leaves the value where it is.
async fn people_change_a_deployment(own: &Namespace, kubectl: &Kubectl) {
    for words in [
        &["set", "image", "deployment/web", "c=registry.example/c:2"][..],
        &["set", "env", "deployment/web", "PORT=9090", "MORE=x"],
        &["set", "env", "deployment/web", "MORE-"],
        &["scale", "deployment/web", "--replicas=2"],
        &["rollout", "restart", "deployment/web"],
        &["label", "deployment/web", "a=b"],
    ] {
        let done = kubectl.run(words).await;
        without_canary(&done);
        done.ok();
    }
    let password = json!({"name": "DB_PASSWORD", "value": CANARY});
    let pod = containers(own);
    assert_eq!(pod["containers"][0]["image"], "registry.example/c:2");
    for list in ["containers", "initContainers"] {
        assert!(variables(&pod, list).contains(&password), "{pod}");
    }
    assert!(variables(&pod, "containers").contains(&json!({"name": "PORT", "value": "9090"})), "{pod}");
}

/// What would show it under another name is refused, also where nothing would be stored.
async fn nobody_renames_a_variable(own: &Namespace, kubectl: &Kubectl) {
    let pod = containers(own);
    let mut shown: Value =
        serde_json::from_str(&kubectl.run(&["get", "deployment", "web", "-o", "json"]).await.ok()).unwrap();
    let index =
        variables(&shown["spec"]["template"]["spec"], "containers").iter().position(|v| v["name"] == "DB_PASSWORD");
    let place = format!("/spec/template/spec/containers/0/env/{}", index.unwrap());
    let rename = json!([{"op": "replace", "path": format!("{place}/name"), "value": "PUBLIC"}]).to_string();
    for dry in ["none", "server"] {
        let flag = format!("--dry-run={dry}");
        let patch = ["patch", "deployment", "web", "--type=json", "-p", &rename, "-o", "json", &flag];
        let refused = kubectl.run(&patch).await;
        without_canary(&refused);
        refused.refused();
    }
    *shown.pointer_mut(&format!("{place}/name")).unwrap() = json!("PUBLIC");
    let renamed = kubectl.run(&["replace", "-f", &file(kubectl, "renamed.json", &shown), "-o", "json"]).await;
    without_canary(&renamed);
    assert!(renamed.refused().contains("placeholder"));
    assert_eq!(containers(own), pod);
}
