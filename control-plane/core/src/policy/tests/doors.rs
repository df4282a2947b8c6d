//! Failures of others (SECURITY.md): every door to the same power, escalations that look harmless, verbs that hide power.

use serde_json::{Value, json};

use super::super::Policy;
use super::support::{Request, built_in, request, with_rules};
use crate::decision::Effect;

const HOLD_AT: u8 = 40;

fn pod_spec(extra: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "registry.example/c:1"}]});
    if let (Value::Object(spec), Value::Object(extra)) = (&mut spec, extra) {
        spec.extend(extra);
    }
    spec
}

fn container(extra: Value) -> Value {
    let mut container = json!({"name": "c", "image": "registry.example/c:1"});
    if let (Value::Object(container), Value::Object(extra)) = (&mut container, extra) {
        container.extend(extra);
    }
    pod_spec(json!({"containers": [container]}))
}

/// The same pod in every kind that makes pods.
fn every_workload(spec: &Value) -> Vec<Request> {
    let template = json!({"template": {"spec": spec}});
    let cases = [
        ("create pods default/-", json!({"spec": spec})),
        ("create podtemplates default/-", template.clone()),
        ("create replicationcontrollers default/-", json!({"spec": template})),
        ("create deployments.apps default/-", json!({"spec": template})),
        ("create statefulsets.apps default/-", json!({"spec": template})),
        ("create replicasets.apps default/-", json!({"spec": template})),
        ("create daemonsets.apps default/-", json!({"spec": template})),
        ("create jobs.batch default/-", json!({"spec": template})),
        ("create cronjobs.batch default/-", json!({"spec": {"jobTemplate": {"spec": template}}})),
        ("create controllerrevisions.apps default/-", json!({"data": {"spec": template}})),
        ("patch deployments.apps default/x", json!({"spec": template})),
        ("update cronjobs.batch default/x", json!({"spec": {"jobTemplate": {"spec": template}}})),
        ("create rollouts.argoproj.io default/-", json!({"spec": template})),
        ("create widgets.example.com default/-", json!({"deep": [{"er": template}]})),
    ];
    let mut requests: Vec<Request> = cases.into_iter().map(|(line, body)| request(line).body(body)).collect();
    let patch = json!([{"op": "replace", "path": "/spec/template/spec", "value": spec}]);
    requests.push(request("patch deployments.apps default/x").content_type("application/json-patch+json").body(patch));
    requests
}

/// P1: forty doors, all of them over the threshold, in every kind that makes pods.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases, read from top to bottom")]
fn p1_all_doors_are_over_the_threshold() {
    let policy = built_in();
    let doors = [
        pod_spec(json!({"hostNetwork": true})),
        pod_spec(json!({"hostPID": true})),
        pod_spec(json!({"hostIPC": true})),
        pod_spec(json!({"serviceAccountName": "admin"})),
        pod_spec(json!({"serviceAccount": "admin"})),
        pod_spec(json!({"nodeName": "control-plane-1"})),
        pod_spec(json!({"nodeSelector": {"node-role.kubernetes.io/control-plane": ""}})),
        pod_spec(json!({"tolerations": [{"operator": "Exists"}]})),
        pod_spec(json!({"priorityClassName": "system-node-critical"})),
        pod_spec(json!({"runtimeClassName": "runc-privileged"})),
        pod_spec(json!({"volumes": [{"hostPath": {"path": "/"}}]})),
        pod_spec(json!({"volumes": [{"hostPath": {"path": "/run/containerd/containerd.sock"}}]})),
        pod_spec(json!({"volumes": [{"hostPath": {}}]})),
        pod_spec(json!({"volumes": [{"secret": {"secretName": "db"}}]})),
        pod_spec(json!({"volumes": [{"projected": {"sources": [{"secret": {"name": "db"}}]}}]})),
        pod_spec(json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]})),
        pod_spec(json!({"volumes": [{"csi": {"driver": "x", "nodePublishSecretRef": {"name": "db"}}}]})),
        pod_spec(json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}})),
        pod_spec(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
        pod_spec(json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}})),
        pod_spec(json!({"securityContext": {"windowsOptions": {"hostProcess": true}}})),
        pod_spec(json!({"initContainers": [{"name": "i", "securityContext": {"privileged": true}}]})),
        pod_spec(json!({"ephemeralContainers": [{"name": "e", "image": "x"}]})),
        container(json!({"securityContext": {"privileged": true}})),
        container(json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}})),
        container(json!({"securityContext": {"capabilities": {"add": ["ALL"]}}})),
        container(json!({"securityContext": {"procMount": "Unmasked"}})),
        container(json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}})),
        container(json!({"ports": [{"hostPort": 80}]})),
        container(json!({"envFrom": [{"secretRef": {"name": "db"}}]})),
        container(json!({"env": [{"valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}]})),
        container(json!({"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}})),
        container(json!({"lifecycle": {"postStart": {"tcpSocket": {"host": "10.0.0.1", "port": 1}}}})),
    ];
    let mut tried = 0;
    for spec in &doors {
        for request in every_workload(spec) {
            let verdict = request.decide(&policy);
            let explanation = verdict.explanation();
            assert!(explanation.risk >= HOLD_AT, "{} {spec}: {explanation}", request.info.resource_word());
            assert!(explanation.effect >= Effect::Hold);
            tried += 1;
        }
    }
    assert_eq!(tried, doors.len() * 15);
    // And the same pods without any of it go through.
    for request in every_workload(&pod_spec(json!({}))) {
        let harmless =
            !matches!(request.info.resource.as_str(), "daemonsets" | "controllerrevisions" | "rollouts" | "widgets")
                && request.info.verb == crate::request_info::Verb::Create;
        let risk = request.risk(&policy);
        assert_eq!(risk < HOLD_AT, harmless, "{} {risk}", request.info.resource_word());
    }
    for line in [
        "create pods/exec default/x",
        "get pods/exec default/x",
        "create pods/attach default/x",
        "get pods/attach default/x",
        "create pods/portforward default/x",
        "get pods/portforward default/x",
        "get pods/proxy default/x",
        "create services/proxy default/x",
        "get nodes/proxy x",
        "patch pods/ephemeralcontainers default/x",
        "update pods/ephemeralcontainers default/x",
        "create serviceaccounts/token default/x",
        "create pods/binding default/x",
        "create bindings default/-",
        "list secrets -",
        "deletecollection secrets default/",
    ] {
        let verdict = request(line).body(json!({})).decide(&policy);
        assert!(verdict.explanation().risk >= HOLD_AT, "{line}: {}", verdict.explanation());
        assert!(verdict.explanation().effect >= Effect::Hold, "{line}");
    }
}

/// P2: each escalation, and beside it its harmless twin.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases, read from top to bottom")]
fn p2_escalations_that_look_harmless() {
    let policy = built_in();
    let rbac = "rbac.authorization.k8s.io";
    let held: Vec<(String, Value, u8)> = vec![
        ("list secrets -".into(), Value::Null, 40),
        ("create persistentvolumes -".into(), json!({"spec": {"hostPath": {"path": "/"}}}), 92),
        ("create persistentvolumes -".into(), json!({"spec": {"local": {"path": "/"}}}), 92),
        ("get nodes/proxy n".into(), Value::Null, 97),
        (format!("create roles.{rbac} default/-"), json!({"rules": [{"verbs": ["escalate"]}]}), 98),
        (format!("create roles.{rbac} default/-"), json!({"rules": [{"verbs": ["bind"]}]}), 98),
        (format!("create roles.{rbac} default/-"), json!({"rules": [{"verbs": ["impersonate"]}]}), 98),
        (format!("create roles.{rbac} default/-"), json!({"rules": [{"verbs": ["get"], "resources": ["*"]}]}), 98),
        (
            format!("create roles.{rbac} default/-"),
            json!({"rules": [{"resources": ["secrets"], "verbs": ["get"]}]}),
            98,
        ),
        (
            format!("create roles.{rbac} default/-"),
            json!({"rules": [{"resources": ["*/exec"], "verbs": ["create"]}]}),
            98,
        ),
        (
            format!("patch clusterroles.{rbac} view"),
            json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}}),
            95,
        ),
        (format!("create rolebindings.{rbac} default/-"), json!({"roleRef": {"name": "cluster-admin"}}), 95),
        (
            format!("create rolebindings.{rbac} default/-"),
            json!({"roleRef": {"name": "x"}, "subjects": [{"kind": "Group", "name": "system:authenticated"}]}),
            95,
        ),
        (format!("create clusterrolebindings.{rbac} -"), json!({"roleRef": {"name": "cluster-admin"}}), 98),
        (
            "create certificatesigningrequests.certificates.k8s.io -".into(),
            json!({"spec": {"signerName": "kubernetes.io/kube-apiserver-client"}}),
            60,
        ),
        ("update certificatesigningrequests.certificates.k8s.io/approval x".into(), json!({}), 95),
        ("create serviceaccounts/token kube-system/x".into(), json!({}), 95),
        ("create mutatingwebhookconfigurations.admissionregistration.k8s.io -".into(), json!({}), 95),
        ("delete validatingwebhookconfigurations.admissionregistration.k8s.io x".into(), Value::Null, 95),
        ("create validatingadmissionpolicybindings.admissionregistration.k8s.io -".into(), json!({}), 95),
        (
            "patch namespaces default".into(),
            json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
            85,
        ),
        ("patch namespaces default".into(), json!({"metadata": {"labels": null}}), 85),
        ("create applications.argoproj.io argocd/-".into(), json!({}), 85),
        ("patch configmaps argocd/argocd-rbac-cm".into(), json!({"data": {"policy.default": "role:admin"}}), 85),
        ("create configmaps ops/-".into(), json!({"metadata": {"name": "argocd-cm"}}), 85),
        ("delete configmaps argocd/argocd-cmd-params-cm".into(), Value::Null, 85),
        (
            "create secrets argocd/-".into(),
            json!({"metadata": {"labels": {"argocd.argoproj.io/secret-type": "cluster"}}}),
            85,
        ),
        (
            "create secrets ops/-".into(),
            json!({"metadata": {"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}}}),
            85,
        ),
        ("patch kustomizations.kustomize.toolkit.fluxcd.io flux/x".into(), json!({}), 85),
        ("create buckets.s3.aws.upbound.io -".into(), json!({}), 85),
        ("create taskruns.tekton.dev default/-".into(), json!({}), 80),
        ("create apiservices.apiregistration.k8s.io -".into(), json!({}), 95),
        ("update leases.coordination.k8s.io kube-system/x".into(), json!({}), 60),
        ("patch configmaps kube-system/aws-auth".into(), json!({}), 98),
        ("patch configmaps kube-system/coredns".into(), json!({}), 95),
        ("create secrets default/-".into(), json!({"type": "kubernetes.io/service-account-token"}), 90),
        ("create secrets kube-system/-".into(), json!({"type": "bootstrap.kubernetes.io/token"}), 95),
        (
            "create secrets default/-".into(),
            json!({"metadata": {"annotations": {"kubernetes.io/service-account.name": "x"}}}),
            90,
        ),
        (
            "patch customresourcedefinitions.apiextensions.k8s.io x".into(),
            json!({"spec": {"conversion": {"strategy": "Webhook"}}}),
            85,
        ),
        (
            "patch ingresses.networking.k8s.io default/x".into(),
            json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/configuration-snippet": "x"}}}),
            85,
        ),
        ("patch services default/x".into(), json!({"spec": {"externalIPs": ["10.0.0.1"]}}), 55),
        ("patch services default/x".into(), json!({"spec": {"type": "LoadBalancer"}}), 55),
        ("patch services/status default/x".into(), json!({}), 55),
        ("create endpointslices.discovery.k8s.io default/-".into(), json!({}), 60),
        (
            "create resourceclaims.resource.k8s.io default/-".into(),
            json!({"spec": {"devices": {"requests": [{"adminAccess": true}]}}}),
            80,
        ),
        ("delete customresourcedefinitions.apiextensions.k8s.io x".into(), Value::Null, 90),
        ("delete namespaces default".into(), Value::Null, 95),
    ];
    for (line, body, least) in &held {
        let mut request = request(line);
        request.body = Some(body.clone()).filter(|body| !body.is_null());
        let verdict = request.decide(&policy);
        assert!(verdict.explanation().risk >= *least, "{line} {body}: {}", verdict.explanation());
        assert!(verdict.explanation().effect >= Effect::Hold, "{line}");
    }
    for (line, body) in [
        ("list secrets default/", Value::Null),
        ("get persistentvolumes x", Value::Null),
        ("get roles.rbac.authorization.k8s.io default/x", Value::Null),
        (
            "create certificatesigningrequests.certificates.k8s.io -",
            json!({"spec": {"signerName": "example.com/serving"}}),
        ),
        ("get certificatesigningrequests.certificates.k8s.io/approval x", Value::Null),
        ("get mutatingwebhookconfigurations.admissionregistration.k8s.io x", Value::Null),
        ("get namespaces default", Value::Null),
        ("patch configmaps default/coredns", json!({})),
        ("create secrets default/-", json!({"type": "Opaque"})),
        ("patch services default/x", json!({"spec": {"type": "ClusterIP"}})),
    ] {
        let mut request = request(line);
        request.body = Some(body.clone()).filter(|body| !body.is_null());
        assert_eq!(request.effect(&policy), Effect::Allow, "{line}: {}", request.decide(&policy).explanation());
    }
}

/// P10: nothing that is missing, unknown or unreadable allows anything.
#[test]
fn p10_unknown_things_are_held_or_denied() {
    let policy = built_in();
    for line in [
        "create widgets.example.com default/-",
        "update widgets.example.com default/x",
        "patch widgets.example.com/status default/x",
        "delete widgets.example.com default/x",
        "create pods/newsubresource default/x",
        "patch newthings.apps default/x",
        "create newreviews.authentication.k8s.io -",
        "get /metrics",
        "get /logs/kube-apiserver.log",
        "get /debug/pprof/heap",
        "put /debug/flags/v",
        "get /unknown",
        "post /version",
        "get /versionx",
        "get /apisx",
    ] {
        let verdict = request(line).body(json!({})).decide(&policy);
        assert!(verdict.explanation().effect >= Effect::Hold, "{line}: {}", verdict.explanation());
    }
    for line in [
        "create configmaps default/-",
        "patch configmaps default/x",
        "update pods default/x",
        "delete pods default/x",
        "get pods default/x",
    ] {
        let mut request = request(line);
        request.unreadable = true;
        assert!(request.effect(&policy) >= Effect::Hold, "{line}");
    }
    for (line, body) in [
        ("create configmaps default/-", json!({"kind": "Secret"})),
        ("create configmaps default/-", json!({"kind": "ConfigMapList", "items": [{"kind": "ConfigMap"}]})),
        ("create configmaps default/-", json!([])),
        ("create configmaps default/-", json!("x")),
        ("create configmaps default/-", Value::Null),
    ] {
        assert!(request(line).body(body.clone()).effect(&policy) >= Effect::Hold, "{body}");
    }
    // Without a body a write is not a small write.
    assert!(request("create configmaps default/-").effect(&policy) >= Effect::Hold);
    // Exemptions are by name; a label exempts from nothing.
    let labelled =
        json!({"metadata": {"labels": {"sallyport.dev/exempt": "true", "exempt": "true"}, "deletionTimestamp": "x"}});
    assert_eq!(request("create serviceaccounts default/-").body(labelled).effect(&policy), Effect::Hold);
    // A policy of which no part could be used is none.
    let none = Policy::parse("apiVersion: sallyport.dev/v1alpha1\ndefaultRules: false\n").unwrap();
    for line in ["get pods default/x", "create configmaps default/-", "get /version"] {
        assert_eq!(request(line).effect(&none), Effect::Deny);
    }
}

/// P11: dry runs, patch kinds, forced ownership, collections, subresources.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases, read from top to bottom")]
fn p11_verbs_that_hide_power() {
    let policy = built_in();
    let risk = |line: &str, body: Value| {
        let mut request = request(line);
        request.body = Some(body).filter(|body| !body.is_null());
        request.risk(&policy)
    };
    let all = json!({"dryRun": ["All"]});
    // Honoured: 30 less, never below reading the same, nothing for Secrets, tokens, streams.
    assert_eq!(risk("create serviceaccounts default/-", json!({})), 40);
    assert_eq!(risk("create serviceaccounts default/-?dryRun=All", json!({})), 10);
    assert_eq!(risk("create configmaps default/-?dryRun=All", json!({})), 10);
    assert_eq!(risk("create secrets default/-?dryRun=All", json!({})), 35);
    assert_eq!(risk("patch secrets default/x?dryRun=All", json!({})), 60);
    assert_eq!(risk("create serviceaccounts/token default/x?dryRun=All", json!({})), 85);
    assert_eq!(risk("delete services default/x?dryRun=All", Value::Null), 20);
    assert_eq!(risk("delete services default/x", all.clone()), 20);
    // What is capped takes nothing off from above the cap.
    assert_eq!(risk("delete namespaces kube-system?dryRun=All", Value::Null), 69);
    // Not quite a dry run.
    for line in [
        "create serviceaccounts default/-?dryRun=all",
        "create serviceaccounts default/-?dryRun=",
        "create serviceaccounts default/-?dryRun=All&dryRun=x",
        "create serviceaccounts default/-?dryrun=All",
    ] {
        assert_eq!(risk(line, json!({})), 40, "{line}");
    }
    assert_eq!(risk("create serviceaccounts default/-", all), 40);
    // With DeleteOptions in the body the server doesn't look at the query.
    assert_eq!(risk("delete services default/x?dryRun=All", json!({"propagationPolicy": "Background"})), 50);
    assert_eq!(risk("delete services default/x", json!({"dryRun": ["All", "x"]})), 50);

    // DELETE's options.
    assert_eq!(risk("delete pods default/x", Value::Null), 35);
    for (line, body) in [
        ("delete pods default/x?gracePeriodSeconds=0", Value::Null),
        ("delete pods default/x?gracePeriodSeconds=00", Value::Null),
        ("delete pods default/x?gracePeriodSeconds=-0", Value::Null),
        ("delete pods default/x", json!({"gracePeriodSeconds": 0})),
    ] {
        assert_eq!(risk(line, body), 50, "{line}");
    }
    assert_eq!(risk("delete jobs.batch default/x", json!({"propagationPolicy": "Orphan"})), 45);
    assert_eq!(risk("delete jobs.batch default/x?orphanDependents=1", Value::Null), 45);
    assert_eq!(risk("delete jobs.batch default/x?orphanDependents=false", Value::Null), 35);
    assert_eq!(
        risk("delete jobs.batch default/x", json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true})),
        95
    );

    // Apply may create, and may take fields from others.
    let apply =
        |line: &str, body: Value| request(line).content_type("application/apply-patch+yaml").body(body).risk(&policy);
    assert_eq!(apply("patch nodes n1", json!({})), 80);
    assert_eq!(apply("patch configmaps default/x", json!({})), 25);
    assert_eq!(apply("patch configmaps default/x?force=true", json!({})), 40);
    assert_eq!(apply("patch configmaps default/x?force=T", json!({})), 40);
    assert_eq!(apply("patch configmaps default/x?force=false", json!({})), 25);
    assert_eq!(risk("update nodes n1", json!({})), 80);

    // Finalizers, scale, images, each in all patch kinds.
    for (content_type, body) in [
        ("application/merge-patch+json", json!({"metadata": {"finalizers": null}})),
        ("application/merge-patch+json", json!({"metadata": {"finalizers": []}})),
        ("application/strategic-merge-patch+json", json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}})),
        ("application/json-patch+json", json!([{"op": "remove", "path": "/metadata/finalizers"}])),
        ("application/json-patch+json", json!([{"op": "remove", "path": "/metadata/finalizers/0"}])),
        ("application/json-patch+json", json!([{"op": "replace", "path": "/metadata/finalizers", "value": []}])),
    ] {
        let patch = request("patch configmaps default/x").content_type(content_type).body(body.clone());
        assert_eq!(patch.risk(&policy), 45, "{body}");
    }
    for (line, content_type, body) in [
        ("patch deployments.apps/scale default/x", "application/merge-patch+json", json!({"spec": {"replicas": 0}})),
        ("patch deployments.apps default/x", "application/merge-patch+json", json!({"spec": {"replicas": 0}})),
        (
            "patch deployments.apps default/x",
            "application/json-patch+json",
            json!([{"op": "replace", "path": "/spec/replicas", "value": 0}]),
        ),
        ("patch deployments.apps default/x", "application/merge-patch+json", json!({"spec": {"replicas": null}})),
        ("update replicationcontrollers/scale default/x", "application/json", json!({"spec": {"replicas": 0}})),
        ("patch widgets.example.com/scale default/x", "application/merge-patch+json", json!({"spec": {"replicas": 0}})),
    ] {
        let patch = request(line).content_type(content_type).body(body.clone());
        assert!(patch.risk(&policy) >= 50, "{line} {body}");
    }
    let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil"}]);
    let patch = request("patch deployments.apps default/x").content_type("application/json-patch+json").body(image);
    assert!(patch.risk(&policy) >= 60);

    // What a JSON Patch takes from elsewhere can't be seen; on a Secret it is an oracle.
    let copy = json!([{"op": "copy", "from": "/data/x", "path": "/metadata/annotations/y"}]);
    let patch = |line: &str, body: &Value| request(line).content_type("application/json-patch+json").body(body.clone());
    assert!(patch("patch deployments.apps default/x", &copy).effect(&policy) >= Effect::Hold);
    let allow = with_rules(
        "- {name: all, match: {}, effect: allow, accept: [\"table/secrets:change\", modifier/patch-copies]}\n",
    );
    assert_eq!(patch("patch secrets default/x", &copy).decide(&allow).explanation().rule, "default/secret-oracle");
    let test = json!([{"op": "test", "path": "/data/x", "value": "aHVudGVyMg=="}]);
    assert_eq!(patch("patch secrets default/x", &test).decide(&allow).explanation().rule, "default/secret-oracle");
    let pin = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "5"}, {"op": "remove", "path": "/metadata/labels/a"}]);
    assert_eq!(patch("patch secrets default/x", &pin).effect(&allow), Effect::Allow);
    let bomb = Value::Array(vec![json!({"op": "remove", "path": "/a"}); 1001]);
    assert!(patch("patch configmaps default/x", &bomb).effect(&policy) >= Effect::Hold);
    assert!(patch("patch configmaps default/x", &json!({"not": "a patch"})).effect(&policy) >= Effect::Hold);
    assert!(
        patch("patch configmaps default/x", &json!([{"op": "merge", "path": "/a"}])).effect(&policy) >= Effect::Hold
    );
}

/// P11, generated: every resource, subresource and verb that a real API server discovers has a row of its own.
#[test]
fn p11_every_discovered_resource_and_verb_is_in_the_table() {
    let discovered = include_str!("../../../tests/golden/builtin-resources.txt");
    let mut checked = 0;
    for line in discovered.lines().filter(|line| !line.starts_with('#')) {
        let [group, resource, scope, kind, verbs] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let group = if group == "-" { "" } else { group };
        let (main, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        for verb in verbs.split(',') {
            let verb = crate::risk::verbs::parse(verb).unwrap();
            let row = crate::risk::table::find(group, main, subresource, verb);
            assert_eq!((row.group, row.resource), (group, resource), "{line}: {verb} has no row");
            checked += 1;
        }
        if subresource.is_empty() {
            let known = crate::risk::table::resource(group, main).unwrap_or_else(|| panic!("{line}: unknown"));
            assert_eq!(known.kind, kind, "{line}");
            assert_eq!(known.scope == crate::risk::table::Scope::Namespaced, scope == "N", "{line}");
        }
    }
    assert!(checked > 500, "{checked}");
}
