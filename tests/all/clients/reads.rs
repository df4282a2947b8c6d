//! Reads.

use tests::kubectl::{Kubectl, Version};

use super::{approved, assert_sent, clients, deployment, each, file, stack};
use crate::stories::operations;

async fn ok(kubectl: &Kubectl, words: &[&str]) -> String {
    let got = kubectl.run(words).await;
    assert_eq!(got.code, Some(0), "kubectl {words:?}: {}{}", got.stderr, got.stdout);
    got.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_chunks_and_in_every_form() {
    let stack = stack();
    let many: Vec<String> = (0..7).map(|i| format!("many-{i}")).collect();
    let objects = many.iter().map(|name| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {}, labels: {{many: 'yes'}}}}}}\n",
            &**stack.namespace()
        )
    });
    stack.namespace().cluster().apply(&objects.collect::<Vec<_>>().join("---\n"));
    for (version, _, kubectl) in clients(&stack) {
        let audit = stack.namespace().cluster().audit();
        let names = ok(&kubectl, &["get", "configmaps", "-l", "many=yes", "--chunk-size=3", "-o", "name"]).await;
        assert_eq!(names, many.iter().map(|name| format!("configmap/{name}\n")).collect::<String>());
        let pages =
            audit.wait(3, |event| event.is_complete() && event.is_runner() && event.request_uri.contains("limit=3"));
        let more = pages.iter().filter(|page| page.request_uri.contains("continue=")).count();
        assert_eq!((pages.len(), more), (3, 2), "{version:?}");
        let mut forms = vec![
            ("wide", "NAME     DATA   AGE"),
            ("json", "\"kind\": \"List\""),
            ("yaml", "kind: List"),
            ("name", "configmap/many-6"),
            ("jsonpath={.items[6].metadata.name}", "many-6"),
            ("jsonpath-as-json={.items[6].metadata.name}", "\"many-6\""),
            ("go-template={{len .items}}", "7"),
            ("template={{len .items}}", "7"),
            ("custom-columns=N:.metadata.name", "N\nmany-0\n"),
        ];
        if version == Version::Newest {
            forms.push(("kyaml", "kind: \"List\""));
        }
        for (form, part) in forms {
            let got = ok(&kubectl, &["get", "configmaps", "-l", "many=yes", "--chunk-size=2", "-o", form]).await;
            assert!(got.contains(part), "{version:?} -o {form}: {got}");
        }
        for (form, template, part) in [
            ("jsonpath-file", "{.items[6].metadata.name}", "many-6"),
            ("go-template-file", "{{len .items}}", "7"),
            ("templatefile", "{{len .items}}", "7"),
            ("custom-columns-file", "N D\n.metadata.name .data\n", "many-0"),
        ] {
            let path = file(&kubectl, "form", template);
            let form = format!("{form}={path}");
            let got = ok(&kubectl, &["get", "configmaps", "-l", "many=yes", "-o", &form]).await;
            assert!(got.contains(part), "{version:?} -o {form}: {got}");
        }
        let described = ok(&kubectl, &["describe", "configmap", "many-0"]).await;
        assert!(described.starts_with("Name:         many-0\n"), "{described}");
        let sorted = ok(&kubectl, &["get", "configmaps", "-l", "many=yes", "--sort-by=.metadata.name"]).await;
        assert_eq!(sorted.lines().count(), 8);
        assert!(ok(&kubectl, &["get", "all"]).await.contains("pod/runner"));
        let none = kubectl.run(&["get", "configmap", "none"]).await.refused();
        assert_eq!(none, "Error from server (NotFound): configmaps \"none\" not found\n", "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_the_cluster_are_answered() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, _, kubectl| {
        assert!(ok(&kubectl, &["api-resources"]).await.contains("deployments"));
        assert!(ok(&kubectl, &["api-versions"]).await.contains("apps/v1\n"));
        assert!(ok(&kubectl, &["explain", "pod.spec.containers"]).await.contains("imagePullPolicy"));
        let server = &stack.namespace().cluster().facts().version;
        let told = ok(&kubectl, &["version", "-o", "json"]).await;
        assert!(told.contains("serverVersion") && told.contains(server.as_str()), "{version:?}: {told}");
        assert!(ok(&kubectl, &["cluster-info"]).await.contains("is running at"));
        for (path, part) in [
            ("/readyz", "ok"),
            ("/livez?verbose", "livez check passed"),
            ("/version", "gitVersion"),
            ("/api/v1/namespaces?limit=1", "NamespaceList"),
            ("/openapi/v3", "apis/apps/v1"),
            ("/openid/v1/jwks", "\"keys\""),
            ("/.well-known/openid-configuration", "\"issuer\""),
        ] {
            assert!(ok(&kubectl, &["get", "--raw", path]).await.contains(part), "{version:?} {path}");
        }
        for path in ["/", "/metrics"] {
            let refused = kubectl.run(&["get", "--raw", path]).await.refused();
            let sentence = format!("the request is not passed on: the path {path:?} is not served");
            assert!(refused.contains("(NotFound)") && refused.contains(&sentence), "{refused}");
        }
        // No node runs the pod, so its log is empty; that it is no refusal is what counts.
        assert_eq!(ok(&kubectl, &["logs", "runner"]).await, "");
        assert_eq!(ok(&kubectl, &["logs", "runner", "-f", "--tail=5"]).await, "");
    })
    .await;
}

/// Policy answers, not the rights of the user that the agent impersonates.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_what_it_may_do_is_told_of_policy() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, _, kubectl| {
        for (words, code, answer, warning) in [
            (&["create", "pods"][..], 0, "yes\n", ""),
            (&["get", "secrets"], 0, "yes\n", ""),
            (
                &["create", "serviceaccounts"],
                0,
                "yes\n",
                "yes, after approval: rule default/serviceaccounts holds it (risk 40)",
            ),
            (
                &["delete", "deployments.apps"],
                0,
                "yes\n",
                "yes, after approval: rule default/hold-at holds it (risk 50)",
            ),
            (&["create", "pods", "--subresource=exec"], 1, "no", ""),
            (&["get", "secrets", "-n", "sallyport"], 1, "no", ""),
            (&["*", "*"], 1, "no", ""),
            (&["get", "/version"], 0, "yes\n", ""),
        ] {
            let mut all = vec!["auth", "can-i"];
            all.extend(words);
            let got = kubectl.run(&all).await;
            assert_eq!(got.code, Some(code), "{version:?} {words:?}: {got:?}");
            assert!(got.stdout.starts_with(answer), "{version:?} {words:?}: {got:?}");
            assert_eq!(got.stderr.contains("after approval"), !warning.is_empty(), "{version:?} {words:?}: {got:?}");
            assert!(got.stderr.contains(warning), "{version:?} {words:?}: {got:?}");
        }
        // A list can't say "after approval", and says so.
        let list = kubectl.run(&["auth", "can-i", "--list"]).await;
        assert!(
            list.stderr.contains("the list may be incomplete") && list.stdout.contains("[get list watch]"),
            "{list:?}"
        );
        if version != Version::Old {
            // This one is the API server's: as whom it is that the agent asks.
            assert!(ok(&kubectl, &["auth", "whoami"]).await.contains("sallyport:runner"), "{version:?}");
        }
    })
    .await;
    let asked = stack.namespace().cluster().audit_of(stack.namespace());
    assert!(asked.iter().all(|event| event.object_ref.as_ref().unwrap().resource != "selfsubjectaccessreviews"));
    // What was answered here is on record as that, and none is left under way.
    let reviews: Vec<_> = operations(stack)
        .into_iter()
        .filter(|row| row["resource"].as_str().is_some_and(|resource| resource.starts_with("selfsubject")))
        .collect();
    let answered = reviews.iter().filter(|row| row["reason"] == "answered from policy");
    assert_eq!(answered.count(), 3 * 9);
    assert!(reviews.iter().all(|row| row["outcome"]["outcome"] == "ok"), "{reviews:?}");
    let events = stack.log("control-plane").events();
    let errors: Vec<_> = events.iter().filter(|event| event["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_show_what_happens() {
    let stack = stack();
    let cluster = stack.namespace().cluster();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let (name, selector) = (format!("watched-{word}"), format!("watched={word}"));
        let audit = cluster.audit();
        let watch = |words: &'static [&'static str]| {
            let mut all = vec!["get", "configmaps", "-l", selector.as_str()];
            all.extend(words);
            let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
            let kubectl = &kubectl;
            async move { kubectl.spawn(&all, "").await }
        };
        let table = watch(&["-w"]).await;
        let only = watch(&["--watch-only", "-o", "name"]).await;
        let json = watch(&["--watch-only", "-o", "json", "--output-watch-events"]).await;
        let yaml = watch(&["-w", "-o", "yaml"]).await;
        audit.wait(4, |event| {
            event.verb == "watch"
                && event.stage == "ResponseStarted"
                && event.request_uri.contains(&format!("watched%3D{word}"))
        });
        stack.namespace().admin(&["create", "configmap", &name, "--from-literal=a=1"]);
        stack.namespace().admin(&["label", "configmap", &name, &selector]);
        stack.namespace().admin(&["label", "configmap", &name, "more=label"]);
        stack.namespace().admin(&["delete", "configmap", &name]);
        // Appears, changes, goes; each as it happens, and so that a person sees it.
        table.until(|text| text.lines().filter(|line| line.starts_with(&name)).count() == 3).await;
        let names = only.until(|text| text.matches('\n').count() == 3).await;
        assert_eq!(names, format!("configmap/{name}\n").repeat(3), "{version:?}");
        json.until(|text| ["ADDED", "MODIFIED", "DELETED"].iter().all(|kind| text.contains(&format!("\"{kind}\""))))
            .await;
        yaml.until(|text| text.matches("kind: ConfigMap").count() == 3).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_something_ends_when_it_comes() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let name = format!("waited-{word}");
        let manifest = file(&kubectl, "waited.yaml", &deployment(&name, "registry.invalid/none:1", 0));
        ok(&kubectl, &["apply", "-f", &manifest]).await;
        let target = format!("deployment/{name}");
        ok(&kubectl, &["wait", "--for=condition=Available", &target, "--timeout=30s"]).await;
        ok(&kubectl, &["wait", "--for=jsonpath={.spec.replicas}=0", &target, "--timeout=30s"]).await;
        let done = ok(&kubectl, &["rollout", "status", &target, "--timeout=30s"]).await;
        assert!(done.contains("successfully rolled out"), "{done}");
        let never = kubectl.run(&["wait", "--for=condition=Never", &target, "--timeout=1s"]).await.refused();
        assert!(never.contains("timed out waiting"), "{version:?}: {never}");
        let waiting = kubectl.spawn(&["wait", "--for=delete", &target, "--timeout=30s"], "").await;
        let deletion = kubectl.spawn(&["delete", &target], "").await;
        let deleted = approved(stack, deletion, &name).await.ok();
        assert!(deleted.starts_with(&format!("deployment.apps \"{name}\" deleted")), "{deleted}");
        assert!(waiting.end().await.ok().contains("condition met"), "{version:?}");
        assert_sent(stack, &name, "delete deployments as sallyport:approved", 1);
    })
    .await;
}

/// A read that is over the threshold is approved like anything else, and then shows what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_read_is_answered_when_it_is_approved() {
    let stack = stack();
    let name = "extension-apiserver-authentication";
    for (version, _, kubectl) in clients(&stack) {
        let read = kubectl.spawn(&["-n", "kube-system", "get", "configmap", name, "-o", "name"], "").await;
        assert_eq!(approved(&stack, read, name).await.ok(), format!("configmap/{name}\n"), "{version:?}");
    }
}
