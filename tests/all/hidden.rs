//! Objects that policy hides from a job: what a person sees with kubectl, who doesn't know of it.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clients;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tests::kubectl::{Kubectl, Running, Version};
use tests::stack::Stack;

const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 99, denyAt: 100}
rules:
- name: not-theirs
  match: {apiGroups: [''], resources: [configmaps, configmaps/*, namespaces]}
  hide:
  - {namespaces: ['unseen-*']}
  - {names: ['kv-*']}
- name: not-the-back
  match: {apiGroups: ['', apps], resources: [configmaps, services, deployments, deployments/*]}
  hide:
  - labels: [tier=back]
";

fn config_map(name: &str, labels: &Value) -> Value {
    let metadata = json!({"name": name, "labels": labels});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"of": name}})
}

fn apply(stack: &Stack, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    stack.namespace().cluster().admin_with(&["-n", stack.namespace(), "apply", "-f", "-"], &list);
}

/// Five that are shown, two that are hidden by name, two by label.
fn with_config_maps(prefix: &str) -> Stack {
    let stack = Stack::with_policy(prefix, Some(POLICY));
    let named = |name: &str| config_map(name, &json!({"app": "all"}));
    let mut objects: Vec<Value> =
        ["web-1", "web-2", "web-3", "web-4", "web-5", "kv-1", "kv-2"].map(named).into_iter().collect();
    objects.extend(["a-back", "z-back"].map(|name| config_map(name, &json!({"app": "all", "tier": "back"}))));
    apply(&stack, &objects);
    stack
}

/// Names in JSON.
async fn names(kubectl: &Kubectl, arguments: &[&str]) -> Vec<String> {
    let printed = kubectl.run(arguments).await.ok();
    let list: Value = serde_json::from_str(&printed).unwrap();
    assert!(list["metadata"].get("remainingItemCount").is_none(), "{printed}");
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

const SHOWN: [&str; 5] = ["web-1", "web-2", "web-3", "web-4", "web-5"];

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_what_is_not_hidden() {
    let stack = &with_config_maps("hidden");
    let other = stack.namespace().cluster().namespace("unseen");
    for version in Version::ALL {
        let kubectl = &stack.kubectl(version);
        let all = &["get", "configmaps", "-l", "app=all"];
        for form in [
            &["-o", "json"][..],
            &["-o", "yaml"],
            &["-o", "name"],
            &["-o", "wide"],
            &["-o", "custom-columns=N:.metadata.name"],
            &["--sort-by=.metadata.name"],
            &["--chunk-size=2"],
            &["--chunk-size=2", "-o", "name"],
            &["--show-labels"],
            &[],
        ] {
            let shown = kubectl.run(&[all, form].concat()).await.ok();
            assert!(!shown.contains("kv-") && !shown.contains("back"), "{version:?} {form:?}: {shown}");
            for name in SHOWN {
                let often = shown.lines().filter(|line| line.contains(name) && !line.contains("of:")).count();
                assert!(often >= 1, "{version:?} {form:?}: {shown}");
                assert!(form.first() != Some(&"--chunk-size=2") || often == 1, "{version:?} {form:?}: {shown}");
            }
        }
        assert_eq!(names(kubectl, &["get", "configmaps", "-l", "app=all", "-o", "json"]).await, SHOWN, "{version:?}");
        // No selector of the client's own reaches them.
        for selector in [
            &["-l", "tier=back"][..],
            &["-l", "tier"],
            &["-l", "app in (all),tier in (back)"],
            &["--field-selector", "metadata.name=kv-1"],
            &["--field-selector", "metadata.name=a-back"],
        ] {
            let found = names(kubectl, &[&["get", "configmaps", "-o", "json"], selector].concat()).await;
            assert!(found.is_empty(), "{version:?} {selector:?}: {found:?}");
        }
        // Of all namespaces.
        let everywhere = kubectl.run(&["get", "configmaps", "--all-namespaces"]).await.ok();
        assert!(everywhere.contains("web-1") && !everywhere.contains(&*other), "{version:?}");
        let namespaces = kubectl.run(&["get", "namespaces", "-o", "name"]).await.ok();
        assert!(namespaces.contains(&**stack.namespace()) && !namespaces.contains("unseen-"), "{namespaces}");
    }
    let kubectl = &stack.kubectl(Version::Newest);
    let unseen = Kubectl::run(kubectl, &["get", "configmaps", "--namespace", &other]).await;
    assert!(unseen.stderr.contains("No resources found"), "{unseen:?}");
    // Pages would tell where something is left out: there are none. The version is the list's.
    let raw = format!("/api/v1/namespaces/{}/configmaps?limit=2", &**stack.namespace());
    let page: Value = serde_json::from_str(&kubectl.run(&["get", "--raw", &raw]).await.ok()).unwrap();
    let count = page["items"].as_array().unwrap().len();
    assert!(count == SHOWN.len() + 1 && page["metadata"]["resourceVersion"].is_string(), "{page}");
    assert!(page["metadata"].get("continue").is_none(), "{page}");
}

/// What only labels hide the API server leaves out by itself, so its pages are of what is shown.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_of_what_is_shown() {
    let stack = &Stack::with_policy("pages", Some(POLICY));
    let service = |name: String, labels: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": {"ports": [{"port": 80}]}});
    let mut objects: Vec<Value> = (1..=5).map(|index| service(format!("web-{index}"), json!({}))).collect();
    objects.extend((1..=5).map(|index| service(format!("web-{index}-hidden"), json!({"tier": "back"}))));
    apply(stack, &objects);
    for version in Version::ALL {
        let kubectl = &stack.kubectl(version);
        let printed = kubectl.run(&["get", "services", "--chunk-size=2", "-o", "name"]).await.ok();
        let expected: Vec<String> = SHOWN.iter().map(|name| format!("service/{name}")).collect();
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected, "{version:?}");
    }
    let kubectl = &stack.kubectl(Version::Newest);
    let (mut found, mut pages, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let raw = format!("/api/v1/namespaces/{}/services?limit=2&continue={token}", &**stack.namespace());
        let page: Value = serde_json::from_str(&kubectl.run(&["get", "--raw", &raw]).await.ok()).unwrap();
        let items = page["items"].as_array().unwrap();
        pages.push(items.len());
        found.extend(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()));
        assert!(page["metadata"].get("remainingItemCount").is_none(), "{page}");
        match page["metadata"]["continue"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!((pages, found), (vec![2, 2, 1], SHOWN.map(str::to_owned).to_vec()));
}

/// By its name an object that is hidden is one that isn't there, to the letter.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_not_found() {
    let stack = &with_config_maps("notfound");
    let own = stack.namespace();
    own.admin(&["create", "deployment", "back", "--image=registry.invalid/none"]);
    own.admin(&["label", "deployment", "back", "tier=back"]);
    for version in Version::ALL {
        let kubectl = &stack.kubectl(version);
        for (hidden, resource, missing) in
            [("kv-1", "configmap", "no-1"), ("a-back", "configmap", "no-one"), ("back", "deployment", "none")]
        {
            for words in [
                &["get", "RESOURCE", "NAME"][..],
                &["get", "RESOURCE", "NAME", "-o", "json"],
                &["get", "RESOURCE", "NAME", "-o", "yaml", "--ignore-not-found"],
                &["describe", "RESOURCE", "NAME"],
                &["wait", "RESOURCE/NAME", "--for=jsonpath={.data.of}=x", "--timeout=1s"],
            ] {
                let of = |name: &str| -> Vec<String> {
                    words.iter().map(|word| word.replace("RESOURCE", resource).replace("NAME", name)).collect()
                };
                let (there, not) = (kubectl.run(&of(hidden)).await, kubectl.run(&of(missing)).await);
                assert_eq!(
                    (there.code, there.stdout.replace(hidden, missing), there.stderr.replace(hidden, missing)),
                    (not.code, not.stdout, not.stderr),
                    "{version:?} {words:?}"
                );
            }
        }
        // The same of writes that could only change it.
        for words in [
            &["label", "configmap", "NAME", "a=b"][..],
            &["patch", "configmap", "NAME", "--type=merge", "-p", "{}"],
            &["delete", "configmap", "NAME"],
            &["scale", "deployment", "NAME", "--replicas=3"],
        ] {
            let of = |name: &str| -> Vec<String> { words.iter().map(|word| word.replace("NAME", name)).collect() };
            let hidden = if words.contains(&"deployment") { "back" } else { "a-back" };
            let (there, not) = (kubectl.run(&of(hidden)).await.refused(), kubectl.run(&of("none")).await.refused());
            assert_eq!(there.replace(hidden, "none"), not, "{version:?} {words:?}");
            assert!(not.contains("NotFound") || not.contains("no objects passed to scale"), "{not}");
        }
    }
    // What is hidden by its name is refused whether or not it is there.
    let kubectl = &stack.kubectl(Version::Newest);
    for words in [
        &["create", "configmap", "kv-1"][..],
        &["create", "configmap", "kv-new"],
        &["delete", "--raw", &format!("/api/v1/namespaces/{}/configmaps/kv-1", &**own)],
        &["delete", "--raw", &format!("/api/v1/namespaces/{}/configmaps/kv-new", &**own)],
        &["delete", "--raw", &format!("/api/v1/namespaces/{}/configmaps", &**own)],
    ] {
        let said = kubectl.run(words).await.refused();
        assert!(said.contains("default/hidden") || said.contains("hid"), "{words:?}: {said}");
        assert!(!said.contains("AlreadyExists") && !said.contains("NotFound"), "{words:?}: {said}");
    }
    // All that are shown, and no other.
    kubectl.run(&["delete", "configmaps", "-l", "app=all"]).await.ok();
    let left = own.admin(&["get", "configmaps", "-l", "app=all", "-o", "jsonpath={.items[*].metadata.name}"]);
    assert_eq!(left, "a-back kv-1 kv-2 z-back");
    assert_eq!(own.admin(&["get", "deployment", "back", "-o", "jsonpath={.spec.replicas}"]), "1");
}

/// Watches of the runner's that are under way, by operation.
fn watches(stack: &Stack) -> BTreeSet<String> {
    let sessions: Value = serde_json::from_str(&stack.cli(&["sessions", "list", "--json"]).ok()).unwrap();
    let session = sessions[0]["id"].as_str().unwrap().to_owned();
    let shown = stack.cli(&["sessions", "show", &session, "--json"]).ok();
    let operations = serde_json::from_str::<Value>(&shown).unwrap()["operations"].take();
    let open = operations.as_array().into_iter().flatten();
    let open = open.filter(|row| row["verb"] == "watch" && row["outcome"].is_null());
    open.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// A kubectl that watches, once its watch is under way. One that was interrupted before may not be on record as over yet.
async fn watching(stack: &Stack, kubectl: &Kubectl, arguments: &[&str]) -> Running {
    let before = watches(stack);
    let running = kubectl.spawn(arguments, "").await;
    for _ in 0..300 {
        if !watches(stack).is_subset(&before) {
            return running;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("kubectl {arguments:?} does not watch after thirty seconds: {:?}", running.end().await);
}

/// Kind and name of each event but those about the ConfigMap that each namespace has.
fn of_table(text: &str) -> Vec<(String, String)> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let events = words.filter(|words| words.len() > 1 && words[0] != "EVENT" && words[1] != "kube-root-ca.crt");
    events.map(|words| (words[0].to_owned(), words[1].to_owned())).collect()
}

fn of_json(text: &str) -> Vec<(String, String)> {
    let events = serde_json::Deserializer::from_str(text).into_iter::<Value>().map_while(Result::ok);
    let word = |event: &Value, place: &str| event.pointer(place).and_then(Value::as_str).unwrap().to_owned();
    let events = events.map(|event| (word(&event, "/type"), word(&event, "/object/metadata/name")));
    events.filter(|(_, name)| name != "kube-root-ca.crt").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_follow_what_enters_and_leaves() {
    let stack = &with_config_maps("watched");
    let own = stack.namespace();
    for version in Version::ALL {
        let kubectl = &stack.kubectl(version);
        let forms: [&[&str]; 2] = [&[], &["-o", "json"]];
        for (index, form) in forms.into_iter().enumerate() {
            let last = format!("web-last-{index}-{version:?}").to_lowercase();
            let words =
                [&["get", "configmaps", "--watch", "--output-watch-events", "-l", "app!=late"][..], form].concat();
            let running = watching(stack, kubectl, &words).await;
            // Left, came back, was changed; and what is hidden came, went, and left.
            own.admin(&["label", "configmap", "web-1", "tier=back"]);
            own.admin(&["label", "configmap", "web-1", "more=x"]);
            own.admin(&["label", "configmap", "web-1", "tier-", "more-"]);
            own.admin(&["label", "configmap", "web-1", "tier=front"]);
            own.admin(&["label", "configmap", "kv-1", "x=y"]);
            own.admin(&["label", "configmap", "a-back", "x=y"]);
            own.admin(&["delete", "configmap", "z-back"]);
            own.admin(&["create", "configmap", "kv-9"]);
            own.admin(&["delete", "configmap", "kv-9"]);
            apply(stack, &[config_map("z-back", &json!({"app": "all", "tier": "back"}))]);
            own.admin(&["label", "configmap", "kv-1", "x-"]);
            own.admin(&["label", "configmap", "a-back", "x-"]);
            own.admin(&["label", "configmap", "web-1", "tier-"]);
            own.admin(&["create", "configmap", &last]);
            let printed = running.until(|text| text.contains(&last) && text.ends_with("\n")).await;
            own.admin(&["delete", "configmap", &last]);
            let events = if form.is_empty() { of_table(&printed) } else { of_json(&printed) };
            let before = events.iter().take_while(|(kind, _)| kind == "ADDED").count();
            let (listed, came) = events.split_at(before);
            let listed: Vec<&str> = listed.iter().map(|(_, name)| name.as_str()).collect();
            assert_eq!(listed, SHOWN, "{version:?} {form:?}: {printed}");
            let came: Vec<String> = came.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
            let expected = ["DELETED web-1", "ADDED web-1", "MODIFIED web-1", "MODIFIED web-1"];
            let expected: Vec<String> =
                expected.iter().map(|event| (*event).to_owned()).chain([format!("ADDED {last}")]).collect();
            assert_eq!(came, expected, "{version:?} {form:?}: {printed}");
        }
    }
}

/// The API server describes a table's columns in the first event, and that one may be of an object that is hidden.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_begins_with_nothing_prints_a_table() {
    let stack = &Stack::with_policy("columns", Some(POLICY));
    let kubectl = &stack.kubectl(Version::Newest);
    let running = watching(stack, kubectl, &["get", "configmaps", "-l", "app=late", "--watch"]).await;
    apply(stack, &[config_map("kv-late", &json!({"app": "late"}))]);
    apply(stack, &[config_map("web-late", &json!({"app": "late"}))]);
    let printed = running.until(|text| text.contains("web-late") && text.ends_with('\n')).await;
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "DATA", "AGE"], "{printed}");
    assert_eq!((lines[1][0], lines[1][1], lines.len()), ("web-late", "1", 2), "{printed}");
}

/// Who waits for an object to go sees it go when it is hidden.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_object_sees_it_leave() {
    let stack = &with_config_maps("waits");
    for (version, name) in Version::ALL.into_iter().zip(SHOWN) {
        let kubectl = &stack.kubectl(version);
        let words = ["wait", "--for=delete", &format!("configmap/{name}"), "--timeout=50s"];
        let running = watching(stack, kubectl, &words).await;
        stack.namespace().admin(&["label", "configmap", name, "tier=back"]);
        // Not all versions say so.
        running.end().await.ok();
    }
}

/// People who are asked about an object that the asker can't see aren't shown it, nor is it changed if they say yes.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_tells_nothing_of_what_is_hidden() {
    let policy = "apiVersion: sallyport.dev/v1alpha1
thresholds: {holdAt: 99, twoPeopleAt: 100, denyAt: 100}
noPersonBehind: [{serviceAccount: 'test/*/default'}]
rules:
- {name: ask, match: {apiGroups: [''], resources: [configmaps], verbs: [delete, patch]}, effect: hold}
- {name: back, match: {apiGroups: [''], resources: [configmaps]}, hide: [{labels: [tier=back]}]}
";
    let stack = &Stack::with_policy("asked", Some(policy));
    let own = stack.namespace();
    let canary = "canary-of-what-is-hidden";
    apply(stack, &[config_map(canary, &json!({"tier": "back", "x": canary}))]);
    let raw = |name: &str| format!("/api/v1/namespaces/{}/configmaps/{name}", &**own);
    let mut told = Vec::new();
    for name in [canary, "nothing-of-the-kind-there"] {
        let kubectl = stack.kubectl(Version::Newest);
        let mut running = kubectl.spawn(&["delete", "--raw", &raw(name)], "").await;
        let hold = loop {
            let holds: Value = serde_json::from_str(&stack.cli(&["approvals", "list", "--json"]).ok()).unwrap();
            let waits = |hold: &&Value| hold["phase"]["phase"] == "waiting";
            if let Some(hold) = holds.as_array().unwrap().iter().find(waits) {
                break hold.clone();
            }
            assert!(running.is_waiting(), "it was not held: {:?}", running.end().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let id = hold["id"].as_str().unwrap();
        let shown = stack.cli(&["approvals", "show", id]).ok();
        stack.cli(&["approvals", "approve", id]).ok();
        let said = running.end().await.refused();
        assert!(said.contains("NotFound") && said.contains(name), "{said}");
        // All of it but for the name and what is drawn anew each time.
        told.push((
            said.replace(name, "NAME"),
            hold["show"].to_string().matches("back").count(),
            shown.lines().count(),
        ));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(own.admin(&["get", "configmap", canary, "-o", "jsonpath={.metadata.labels.tier}"]), "back");
}

#[test]
fn policy_says_what_it_hides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(tests::cluster::program("sallyport")).args(arguments).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    write(POLICY);
    let path = path.to_str().unwrap();
    let said = run(&["policy", "explain", "--policy", path, "list", "configmaps"]);
    for line in ["note: hidden from this job: labels tier=back", "note: hidden from this job: names kv-*"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("unseen"), "another namespace: {said}");
    let said = run(&["policy", "explain", "--policy", path, "delete", "configmap", "kv-1"]);
    assert!(said.contains("denied by rule default/hidden"), "{said}");
    // README's own example.
    let readme = tests::tidy::text("README.md");
    let example = readme.split("## What is hidden").nth(1).unwrap().split("```\n").nth(1).unwrap();
    write(example);
    let said = run(&["policy", "check", path]);
    assert!(said.contains("is right: "), "{said}");
    let said = run(&["policy", "explain", "--policy", path, "--as", "production/ci/builder", "list", "pods"]);
    assert!(
        said.contains("note: hidden from this job: labels example.com/hidden or tier in (billing, fraud)"),
        "{said}"
    );
    write(
        "apiVersion: sallyport.dev/v1alpha1\nrules:\n- name: x\n  match: {}\n  hide: [{label: [a]}, {labels: [a=b=c]}]\n",
    );
    let said = run(&["policy", "check", path]);
    assert!(said.contains(":5:11: rules[0].hide[0]: there is no field \"label\""), "{said}");
    assert!(said.contains(":5:34: rules[0].hide[1].labels[0]: \"b=c\" is no value of a label"), "{said}");
}
