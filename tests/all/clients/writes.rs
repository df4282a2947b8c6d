//! Writes.

use std::time::Duration;

use tests::kubectl::Kubectl;
use tests::stack::Stack;

use super::{approved, assert_sent, clients, deployment, each, file, sent, stack, told};

const IMAGE: &str = "registry.invalid/none:1";

async fn says(kubectl: &Kubectl, words: &[&str], expected: &str) {
    let got = kubectl.run(words).await;
    assert_eq!(got.code, Some(0), "kubectl {words:?}: {}{}", got.stderr, got.stdout);
    assert_eq!(got.stdout, format!("{expected}\n"), "kubectl {words:?}");
}

/// Waits until the controllers have seen a Deployment as it is: they write into it too, as after any change.
async fn settled(stack: &Stack, target: &str) {
    until(stack, target, |is| is["status"]["observedGeneration"] == is["metadata"]["generation"]).await;
}

/// Waits until a Deployment that is new has all its Pods: as long as one of them is on its way, its status changes, and with it the
/// resourceVersion that a file was got with. Without a node each of them is made and stays unavailable.
async fn filled(stack: &Stack, target: &str) {
    let counts = ["replicas", "updatedReplicas", "unavailableReplicas"];
    until(stack, target, |is| counts.iter().all(|count| is["status"][count] == is["spec"]["replicas"])).await;
}

/// The same of one that was scaled to none. A count of none is not written.
async fn emptied(stack: &Stack, target: &str) {
    until(stack, target, |is| is["status"]["replicas"].is_null() && is["status"]["unavailableReplicas"].is_null())
        .await;
}

async fn until(stack: &Stack, target: &str, enough: impl Fn(&serde_json::Value) -> bool) {
    for _ in 0..400 {
        if enough(&stack.namespace().cluster().get_json(&["-n", stack.namespace(), target])) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody looks after {target}");
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_says_created_then_unchanged_then_configured() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let name = format!("applied-{word}");
        let one = file(&kubectl, "one.yaml", &deployment(&name, IMAGE, 1));
        let two = file(&kubectl, "two.yaml", &deployment(&name, IMAGE, 2));
        let what = format!("deployment.apps/{name}");
        let clean = kubectl.run(&["diff", "-f", &one]).await;
        assert_eq!(clean.code, Some(1), "{version:?}: it would be created: {clean:?}");
        says(&kubectl, &["apply", "-f", &one], &format!("{what} created")).await;
        says(&kubectl, &["apply", "-f", &one], &format!("{what} unchanged")).await;
        assert_eq!(kubectl.run(&["diff", "-f", &one]).await.code, Some(0), "{version:?}");
        let differs = kubectl.run(&["diff", "-f", &two]).await;
        assert_eq!(differs.code, Some(1), "{version:?}: {differs:?}");
        assert!(differs.stdout.contains("-  replicas: 1") && differs.stdout.contains("+  replicas: 2"), "{differs:?}");
        says(&kubectl, &["apply", "-f", &two], &format!("{what} configured")).await;
        says(&kubectl, &["apply", "-f", &two, "--dry-run=server"], &format!("{what} unchanged (server dry run)")).await;
        assert_sent(stack, &name, "patch deployments as sallyport:write", 1);
        // What is only tried goes as a group that nothing can be changed with.
        assert!(told(stack, &name).contains(&"patch deployments as sallyport:dry-run".to_owned()), "{version:?}");

        let server = format!("served-{word}");
        let one = file(&kubectl, "one.yaml", &deployment(&server, IMAGE, 1));
        let two = file(&kubectl, "two.yaml", &deployment(&server, IMAGE, 2));
        let what = format!("deployment.apps/{server} serverside-applied");
        for manifest in [&one, &one, &two] {
            says(&kubectl, &["apply", "--server-side", "-f", manifest], &what).await;
        }
        assert_sent(stack, &server, "patch deployments as sallyport:write", 3);
        // Another manager's field is a conflict of the API server's own, told as it tells it.
        let conflict = kubectl.run(&["apply", "--server-side", "--field-manager=other", "-f", &one]).await.refused();
        assert!(conflict.contains("conflict with \"kubectl\"") && conflict.contains(".spec.replicas"), "{conflict}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_patch_and_every_shorthand_for_one() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let name = format!("patched-{word}");
        let manifest = file(&kubectl, "d.yaml", &deployment(&name, IMAGE, 1));
        let (target, what) = (format!("deployment/{name}"), format!("deployment.apps/{name}"));
        says(&kubectl, &["create", "-f", &manifest], &format!("{what} created")).await;
        let patched = format!("{what} patched");
        says(&kubectl, &["patch", &target, "-p", r#"{"spec":{"replicas":2}}"#], &patched).await;
        says(&kubectl, &["patch", &target, "--type=merge", "-p", r#"{"spec":{"replicas":3}}"#], &patched).await;
        let json =
            r#"[{"op":"test","path":"/spec/replicas","value":3},{"op":"replace","path":"/spec/replicas","value":4}]"#;
        says(&kubectl, &["patch", &target, "--type=json", "-p", json], &patched).await;
        says(&kubectl, &["scale", &target, "--replicas=5"], &format!("{what} scaled")).await;
        says(&kubectl, &["label", &target, "a=b"], &format!("{what} labeled")).await;
        // The old one says "annotate".
        assert!(kubectl.run(&["annotate", &target, "a=b"]).await.ok().starts_with(&format!("{what} annotate")));
        let edited = kubectl.run_edit(&["edit", &target], "sed -i s/replicas:.5/replicas:\\ 6/").await;
        assert_eq!(edited.ok(), format!("{what} edited\n"), "{version:?}");
        filled(stack, &target).await;
        // A file is written as it was got, but for what its owner changed.
        let yaml = kubectl.run(&["get", &target, "-o", "yaml"]).await.ok().replace("replicas: 6", "replicas: 7");
        let whole = file(&kubectl, "whole.yaml", &yaml);
        says(&kubectl, &["replace", "-f", &whole], &format!("{what} replaced")).await;
        says(&kubectl, &["rollout", "restart", &target], &format!("{what} restarted")).await;
        says(&kubectl, &["rollout", "pause", &target], &format!("{what} paused")).await;
        says(&kubectl, &["rollout", "resume", &target], &format!("{what} resumed")).await;
        says(&kubectl, &["expose", &target, "--port=80"], &format!("service/{name} exposed")).await;
        // More than there are: the autoscaler would take the rest away at some time.
        says(
            &kubectl,
            &["autoscale", &target, "--max=10"],
            &format!("horizontalpodautoscaler.autoscaling/{name} autoscaled"),
        )
        .await;
        let is = stack.namespace().cluster().get_json(&["-n", stack.namespace(), &target]);
        assert_eq!(is["spec"]["replicas"], 7, "{version:?}");
        for (verb, resource, times) in [
            ("create", "services", 1),
            ("create", "horizontalpodautoscalers", 1),
            ("update", "deployments", 1),
            ("patch", "deployments/scale", 1),
            ("patch", "deployments", 9),
        ] {
            assert_sent(stack, &name, &format!("{verb} {resource} as sallyport:write"), times);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replaces_running_code_waits_for_people() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let name = format!("released-{word}");
        let manifest = file(&kubectl, "d.yaml", &deployment(&name, IMAGE, 1));
        let (target, what) = (format!("deployment/{name}"), format!("deployment.apps/{name}"));
        says(&kubectl, &["create", "-f", &manifest], &format!("{what} created")).await;
        settled(stack, &target).await;
        let image = kubectl.spawn(&["set", "image", &target, "c=registry.invalid/none:2"], "").await;
        assert_eq!(approved(stack, image, &name).await.ok(), format!("{what} image updated\n"), "{version:?}");
        settled(stack, &target).await;
        let undone = kubectl.spawn(&["rollout", "undo", &target], "").await;
        assert_eq!(approved(stack, undone, &name).await.ok(), format!("{what} rolled back\n"), "{version:?}");
        settled(stack, &target).await;
        let none = kubectl.spawn(&["scale", &target, "--replicas=0"], "").await;
        assert_eq!(approved(stack, none, &name).await.ok(), format!("{what} scaled\n"), "{version:?}");
        let whole = file(&kubectl, "whole.yaml", &deployment(&name, "registry.invalid/none:3", 1));
        settled(stack, &target).await;
        // kubectl reads it first, and a hold may last.
        emptied(stack, &target).await;
        let replaced = kubectl.spawn(&["replace", "-f", &whole], "").await;
        assert_eq!(approved(stack, replaced, &name).await.ok(), format!("{what} replaced\n"), "{version:?}");
        settled(stack, &target).await;
        let gone = kubectl.spawn(&["delete", &target], "").await;
        approved(stack, gone, &name).await.ok();
        for (verb, resource, times) in [
            ("patch", "deployments", 2),
            ("patch", "deployments/scale", 1),
            ("update", "deployments", 1),
            ("delete", "deployments", 1),
        ] {
            assert_sent(stack, &name, &format!("{verb} {resource} as sallyport:approved"), times);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_made_and_deleted_one_by_one_and_all_at_once() {
    let stack = stack();
    for (version, word, kubectl) in clients(&stack) {
        let name = format!("made-{word}");
        says(&kubectl, &["run", &name, "--image", IMAGE], &format!("pod/{name} created")).await;
        says(&kubectl, &["create", "job", &name, "--image", IMAGE], &format!("job.batch/{name} created")).await;
        says(
            &kubectl,
            &["create", "cronjob", &name, "--image", IMAGE, "--schedule=0 0 1 1 *"],
            &format!("cronjob.batch/{name} created"),
        )
        .await;
        says(&kubectl, &["create", "configmap", &name, "--from-literal=a=b"], &format!("configmap/{name} created"))
            .await;
        says(&kubectl, &["create", "quota", &name, "--hard=services=9"], &format!("resourcequota/{name} created"))
            .await;
        for budget in ["a", "b"] {
            let budget = format!("{name}-{budget}");
            let created = format!("poddisruptionbudget.policy/{budget} created");
            says(&kubectl, &["create", "pdb", &budget, "--selector=app=x", "--min-available=1"], &created).await;
        }
        assert!(kubectl.run(&["delete", "pod", &name, "--wait=false"]).await.ok().contains("deleted"));
        assert!(kubectl.run(&["delete", "job", &name]).await.ok().contains("deleted"));
        assert!(kubectl.run(&["delete", "configmap", &name]).await.ok().contains("deleted"));
        // Listed, and then deleted one by one.
        let all = kubectl.run(&["delete", "pdb", "--all"]).await.ok();
        assert_eq!(all.lines().count(), 2, "{version:?}: {all}");
        assert_sent(&stack, &format!("{name}-b"), "delete poddisruptionbudgets as sallyport:write", 1);
        assert!(kubectl.run(&["get", "pdb"]).await.ok().is_empty());
        // A collection can't be reviewed, so its deletion is refused, with what helps.
        let collection = format!("/api/v1/namespaces/{}/configmaps", &**stack.namespace());
        let refused = kubectl.run(&["delete", "--raw", &collection]).await.refused();
        assert!(refused.contains("delete by name"), "{version:?}: {refused}");
    }
    assert!(
        stack.namespace().cluster().audit_of(stack.namespace()).iter().all(|event| event.verb != "deletecollection")
    );
}

/// The pin is of what approvers saw, which is masked: a Secret's manifest in an annotation is no reason to find it changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_secret_in_an_annotation_can_be_approved() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let name = format!("annotated-{word}");
        let secret = format!(
            r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"x"}},"data":{{"p":"{}"}}}}"#,
            "c2VjcmV0"
        );
        let manifest = deployment(&name, IMAGE, 1).replace(
            "metadata: {name",
            &format!("metadata: {{namespace: {}, annotations: {{copy: '{secret}'}}, name", &**stack.namespace()),
        );
        stack.namespace().cluster().apply(&manifest);
        let seen = kubectl.run(&["get", "deployment", &name, "-o", "yaml"]).await.ok();
        assert!(seen.contains("copy: ") && !seen.contains("c2VjcmV0\""), "{version:?}: {seen}");
        settled(stack, &format!("deployment/{name}")).await;
        let deletion = kubectl.spawn(&["delete", "deployment", &name], "").await;
        approved(stack, deletion, &name).await.ok();
        assert_sent(stack, &name, "delete deployments as sallyport:approved", 1);
        // The approved one, as the agent's precondition has it.
        assert_eq!(sent(stack, &name).iter().filter(|event| event.verb == "delete").count(), 1);
    })
    .await;
}

/// Roles and policy agree (`rbac.rs` compares them); here is what a person sees of that where they once did not.
#[tokio::test(flavor = "multi_thread")]
async fn what_policy_lets_through_the_api_server_lets_through() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let name = format!("let-{word}");
        stack.namespace().pod(&name);
        let status = r#"{"status":{"message":"seen"}}"#;
        let pod = format!("pod/{name}");
        says(
            &kubectl,
            &["patch", &pod, "--subresource=status", "--type=merge", "-p", status],
            &format!("{pod} patched"),
        )
        .await;
        assert_sent(stack, &name, "patch pods/status as sallyport:write", 1);
        let review = file(
            &kubectl,
            "review.yaml",
            "apiVersion: authorization.k8s.io/v1
kind: SubjectAccessReview
spec: {user: jane, resourceAttributes: {verb: get, resource: pods}}
",
        );
        let answer = kubectl.run(&["create", "-f", &review, "-o", "jsonpath={.status.allowed}"]).await.ok();
        assert_eq!(answer, "false", "{version:?}");
        // Tried only, so not held, though the same in earnest is.
        for (words, said) in [
            (
                vec!["create", "serviceaccount", name.as_str()],
                format!("serviceaccount/{name} created (server dry run)"),
            ),
            (
                vec!["create", "ingress", name.as_str(), "--rule=a/=b:80"],
                format!("ingress.networking.k8s.io/{name} created (server dry run)"),
            ),
        ] {
            let words: Vec<&str> = words.into_iter().chain(["--dry-run=server"]).collect();
            says(&kubectl, &words, &said).await;
        }
        let ingress = stack.namespace().cluster().audit_of(stack.namespace());
        let group = |resource: &str| {
            let tried =
                ingress.iter().find(|e| e.verb == "create" && e.object_ref.as_ref().unwrap().resource == resource);
            tried.unwrap().impersonated_user.as_ref().unwrap().groups[0].clone()
        };
        assert_eq!(group("ingresses"), "sallyport:dry-run", "{version:?}");
    })
    .await;
}

/// What nobody described is held, to be read too. A change needs a role of the administrator's besides, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_are_held_and_need_a_role_to_be_changed() {
    let stack = stack();
    let cluster = stack.namespace().cluster();
    let group = format!("{}.example.com", &**stack.namespace());
    cluster.apply(&format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: widgets, kind: Widget}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    ));
    let crd = format!("crd/widgets.{group}");
    cluster.admin(&["wait", "--for=condition=Established", &crd, "--timeout=30s"]);
    let widget =
        format!("apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: w, namespace: {}}}\n", &**stack.namespace());
    cluster.apply(&widget);
    let (_, _, kubectl) = clients(&stack).swap_remove(1);
    let resource = format!("widgets.{group}");
    let read = kubectl.spawn(&["get", &resource, "w", "-o", "name"], "").await;
    assert_eq!(approved(&stack, read, &resource_path(&group)).await.ok(), format!("widget.{group}/w\n"));
    let label = ["label", &resource, "w", "a=b"];
    // kubectl reads it first.
    let refused = kubectl.spawn(&label, "").await;
    let refused = approved(&stack, refused, &resource_path(&group)).await.refused();
    assert!(refused.contains("sallyport:read may not read it"), "{refused}");
    let own = stack.namespace();
    own.admin(&["create", "role", "widgets", "--verb=get,list,watch", &format!("--resource={resource}")]);
    own.admin(&["create", "rolebinding", "widgets", "--role=widgets", "--group=sallyport:read"]);
    let patch = ["patch", &resource, "w", "--type=merge", "-p", r#"{"metadata":{"labels":{"a":"b"}}}"#];
    let changed = kubectl.spawn(&patch, "").await;
    let read = super::approve(&stack, &resource_path(&group)).await;
    assert_eq!(read, "get");
    assert_eq!(super::approve(&stack, &resource_path(&group)).await, "patch");
    assert_eq!(changed.end().await.ok(), format!("widget.{group}/w patched\n"));
    cluster.admin(&["delete", &crd]);
}

fn resource_path(group: &str) -> String {
    format!("/apis/{group}/")
}

/// kubectl sends the question as protobuf; people see what it is, and what comes back is for nobody's eyes.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_once_it_is_approved() {
    let stack = stack();
    for (version, word, kubectl) in clients(&stack) {
        let name = format!("token-of-{word}");
        stack.namespace().admin(&["create", "serviceaccount", &name]);
        let running = kubectl.spawn(&["create", "token", &name, "--duration=11m"], "").await;
        let made = approved(&stack, running, &name).await;
        let token = made.ok();
        assert!(!token.trim().is_empty() && !token.starts_with("ey"), "{version:?}: a token is masked: {token}");
        assert_sent(&stack, &name, "create serviceaccounts/token as sallyport:approved", 1);
    }
}

/// A drain evicts each Pod, and asks until it is gone. The node is cordoned already: others write to Nodes all the time, so what was
/// approved of one is soon of an earlier version.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_drained() {
    let stack = stack();
    for (version, word, kubectl) in clients(&stack) {
        let (node, pod) = (format!("drained-{word}"), format!("evicted-{word}"));
        let cluster = stack.namespace().cluster();
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: {node}}}, spec: {{unschedulable: true}}}}"
        ));
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {pod}, namespace: {}, labels: {{drained: {word}}}}}, \
             spec: {{nodeName: {node}, containers: [{{name: c, image: '{IMAGE}'}}]}}}}",
            &**stack.namespace()
        ));
        let selector = format!("--pod-selector=drained={word}");
        let drain = ["drain", &node, "--force", "--grace-period=0", &selector, "--timeout=60s"];
        let drained = kubectl.run(&drain).await.ok();
        assert!(drained.contains(&format!("node/{node} drained")), "{version:?}: {drained}");
        assert_sent(&stack, &pod, "create pods/eviction as sallyport:write", 1);
        cluster.admin(&["delete", "node", &node]);
    }
}
