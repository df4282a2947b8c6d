//! Pods of all shapes that get their sidecar.

use std::time::Duration;

use serde_json::{Value, json};
use tests::injector::{Injector, Setup};

use super::{assert_protected, create, pod, stored};

/// With the server's own defaults in it, the Pod comes back as it was sent: a second look changes nothing.
#[test]
fn an_annotated_pod_gets_its_sidecar() {
    let injector = Injector::start("inject", &Setup::default());
    create(&injector, &pod("job"));
    let job = stored(&injector, "job");
    assert_protected(&job, "6443");

    // The stored Pod under another name: nothing is added to it a second time.
    let mut copy = job.clone();
    copy["metadata"] =
        json!({"name": "copy", "labels": job["metadata"]["labels"], "annotations": job["metadata"]["annotations"]});
    copy["status"] = Value::Null;
    create(&injector, &copy);
    let copy = stored(&injector, "copy");
    assert_eq!(copy["spec"], job["spec"]);

    // Beside it, who asks for nothing is left alone.
    let mut plain = pod("plain");
    plain["metadata"]["annotations"] = Value::Null;
    create(&injector, &plain);
    let plain = stored(&injector, "plain");
    assert!(plain["spec"]["initContainers"].is_null(), "{plain}");
    assert_eq!(plain["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["path"], "token");
}

/// Jobs, CronJobs and Deployments: their Pods are made by controllers, from templates.
#[test]
fn controllers_make_injected_pods() {
    let injector = Injector::start("inject", &Setup { labels: &["sallyport.dev/inject=required"], ..Setup::default() });
    let template = json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "job", "image": "registry.invalid/kubectl"}], "restartPolicy": "Never"},
    });
    let mut always = template.clone();
    always["spec"]["restartPolicy"] = json!("Always");
    create(
        &injector,
        &json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": {"template": template}}),
    );
    create(
        &injector,
        &json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cron"}, "spec": {
            "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}},
        }}),
    );
    injector.namespace.admin(&["create", "job", "--from=cronjob/cron", "cron-now"]);
    create(
        &injector,
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": always,
        }}),
    );
    let pods = await_pods(&injector, 4);
    for pod in &pods {
        assert_protected(pod, "6443");
    }
    // Jobs' Pods lose a finalizer in the end, Deployments' are deleted: our rules for updates are in nobody's way.
    injector.namespace.admin(&["delete", "job/job", "job/cron-now", "deployment/app", "--timeout=30s"]);
    injector.namespace.admin(&["wait", "--for=delete", "pod", "--all", "--timeout=30s"]);
}

fn await_pods(injector: &Injector, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let pods = injector.namespace.cluster().get_json(&["-n", &*injector.namespace, "pods"]);
        let pods = pods["items"].as_array().expect("items").clone();
        if pods.len() == count {
            return pods;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{}", injector.namespace.admin(&["get", "events"]));
}

/// Under `restricted` a Pod that is right stays right, whatever users it names; and the sidecar never has the user of the others.
#[test]
fn restricted_namespaces_take_injected_pods() {
    let labels = ["sallyport.dev/inject=required", "pod-security.kubernetes.io/enforce=restricted"];
    let injector = Injector::start("restricted", &Setup { labels: &labels, ..Setup::default() });
    let strict = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    for (name, context) in [
        ("arbitrary", json!({"runAsNonRoot": true, "runAsUser": 1_000_650_000, "fsGroup": 1_000_650_000})),
        ("image-user", json!({"runAsNonRoot": true})),
        ("same-user", json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532})),
    ] {
        let mut job = pod(name);
        job["spec"]["securityContext"] = context;
        job["spec"]["containers"][0]["securityContext"] = strict.clone();
        create(&injector, &job);
        let job = stored(&injector, name);
        assert_protected(&job, "6443");
        let sidecar = &job["spec"]["initContainers"][0]["securityContext"];
        assert_eq!((&sidecar["runAsUser"], &sidecar["readOnlyRootFilesystem"]), (&json!(65532), &json!(true)));
    }
    let mut root = pod("root");
    root["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 0});
    let (done, said) = injector.try_create(&root.to_string(), &[]);
    // Kubernetes' own words, and about the job's container alone.
    assert!(!done && said.contains("violates PodSecurity") && !said.contains("\"sallyport\""), "{said}");
}

/// As the executors of GitHub (ARC) and GitLab shape their Pods.
#[test]
fn runners_of_ci_systems_get_their_sidecar() {
    let injector = Injector::start("runners", &Setup::default());
    let arc = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "arc", "finalizers": ["ephemeralrunner.actions.github.com/finalizer"],
            "labels": {"actions.github.com/scale-set-name": "arc"}, "annotations": {
                "sallyport.dev/inject": "true", "sallyport.dev/ci-token-file": "/home/runner/_work/_temp/sallyport-token",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"fsGroup": 1001},
            "initContainers": [{"name": "init-externals", "image": "ghcr.io/actions/actions-runner", "command": ["cp", "-r", "externals/.", "/tmp/e"],
                "volumeMounts": [{"name": "externals", "mountPath": "/tmp/e"}]}],
            "containers": [{
                "name": "runner", "image": "ghcr.io/actions/actions-runner", "command": ["/home/runner/run.sh"],
                "env": [
                    {"name": "ACTIONS_RUNNER_INPUT_JITCONFIG", "valueFrom": {"secretKeyRef": {"name": "jit", "key": "jitToken"}}},
                    {"name": "ACTIONS_RUNNER_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "volumeMounts": [{"name": "work", "mountPath": "/home/runner/_work"}, {"name": "externals", "mountPath": "/home/runner/externals"}],
            }],
            "volumes": [{"name": "work", "emptyDir": {}}, {"name": "externals", "emptyDir": {}}],
        },
    });
    create(&injector, &arc);
    let stored_arc = stored(&injector, "arc");
    assert_protected(&stored_arc, "6443");
    let sidecar = &stored_arc["spec"]["initContainers"][0];
    let mount = json!({"name": "work", "mountPath": "/var/run/sallyport/ci", "readOnly": true});
    assert!(sidecar["volumeMounts"].as_array().unwrap().contains(&mount), "{sidecar}");
    let token = json!({"name": "SALLYPORT_CI_TOKEN_FILE", "value": "/var/run/sallyport/ci/_temp/sallyport-token"});
    assert!(sidecar["env"].as_array().unwrap().contains(&token), "{sidecar}");
    injector.namespace.admin(&["patch", "pod", "arc", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);

    let mounts = json!([{"name": "repo", "mountPath": "/builds"}, {"name": "scripts", "mountPath": "/scripts-1-2"}]);
    let container = |name: &str| {
        json!({"name": name, "image": "registry.invalid/x", "command": ["sh", "-c", "…"], "stdin": true, "volumeMounts": mounts,
            "env": [{"name": "CI_JOB_ID", "value": "1"}, {"name": "NO_PROXY", "value": ".internal"}]})
    };
    let gitlab = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "runner-x-project-1-concurrent-0", "annotations": {"sallyport.dev/inject": "true"}},
        "spec": {
            "restartPolicy": "Never", "activeDeadlineSeconds": 3900,
            "initContainers": [container("init-permissions"),
                {"name": "svc-native", "image": "registry.invalid/x", "restartPolicy": "Always"}],
            "containers": [container("build"), container("helper"), {"name": "svc-0", "image": "postgres"}],
            "volumes": [{"name": "repo", "emptyDir": {}}, {"name": "scripts", "emptyDir": {}}],
        },
    });
    create(&injector, &gitlab);
    let gitlab = stored(&injector, "runner-x-project-1-concurrent-0");
    assert_protected(&gitlab, "6443");
    assert_eq!(gitlab["spec"]["initContainers"].as_array().unwrap().len(), 3);
    let proxy = json!({"name": "NO_PROXY", "value": ".internal,127.0.0.1"});
    assert!(gitlab["spec"]["containers"][0]["env"].as_array().unwrap().contains(&proxy));
}

/// A webhook that comes after ours adds a container; we are asked again, and the Pod is whole.
#[test]
fn what_another_webhook_adds_is_completed() {
    let mut injector = Injector::start("after", &Setup::default());
    let name = format!("zz-sallyport-test-{}", &*injector.namespace);
    // An admission policy that mutates runs before webhooks, so the other one is the injector's own twin: it has a port of its own.
    let twin = tests::injector::Server::start(&Setup { config: "port: 7443\n", ..Setup::default() });
    injector.also_register(&format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {{name: {name}}}
webhooks:
- name: twin.example.com
  clientConfig: {{url: 'https://{}/mutate', caBundle: {}}}
  admissionReviewVersions: [v1]
  failurePolicy: Fail
  sideEffects: None
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {}}}}}
  rules: [{{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}}]
",
        twin.webhook(),
        twin.ca_bundle(),
        &*injector.namespace
    ));
    // Both are of one image, and set another address: the later one changes what ours has set, ours is asked again, and has the last word.
    super::eventually(|| {
        let asked = twin.metrics().contains("webhook=\"mutate\",result=\"patched\"");
        drop(injector.try_create(&pod("probe").to_string(), &["--dry-run=server"]));
        asked.then_some(())
    });
    create(&injector, &pod("job"));
    assert_protected(&stored(&injector, "job"), "6443");
    assert!(injector.metrics().contains("webhook=\"validate\",result=\"allowed\""));
}
