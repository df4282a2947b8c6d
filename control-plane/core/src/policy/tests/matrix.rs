//! The decision matrix: what the built-in policy says of every row of the risk table and of some two hundred requests, as a text that
//! is reviewed like code. `UPDATE_GOLDEN=1 cargo test -p control-plane-core decision_matrix` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::{Live, SessionFacts, decide};
use super::support::{Request, bare, built_in, nobody, person, request};
use crate::identity::Identity;
use crate::risk::{MODIFIER_NAMES, table, verbs};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/decision-matrix.txt");

/// What a session asks that was shown the object masked.
const SEEN: &str = "[seen masked]";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn pod(spec: Value) -> Value {
    let mut all = json!({"containers": [{"name": "c", "image": "registry.example/c:1"}]});
    if let (Value::Object(all), Value::Object(more)) = (&mut all, spec) {
        all.extend(more);
    }
    json!({"metadata": {"name": "x"}, "spec": all})
}

fn with_container(container: Value) -> Value {
    let mut all = json!({"name": "c", "image": "registry.example/c:1"});
    if let (Value::Object(all), Value::Object(more)) = (&mut all, container) {
        all.extend(more);
    }
    pod(json!({"containers": [all]}))
}

fn template(pod: &Value) -> Value {
    json!({"metadata": {"name": "x"}, "spec": {"replicas": 2, "template": {"spec": pod.get("spec")}}})
}

/// Requests without a body.
const PLAIN: &[&str] = &[
    "get /api",
    "get /apis/apps/v1",
    "get /openapi/v3",
    "get /version",
    "get /livez/ping",
    "get /metrics",
    "get /logs/audit.log",
    "get /debug/pprof/heap",
    "put /debug/flags/v",
    "get /flagz",
    "get /anything",
    "get pods default/x",
    "list pods default/",
    "list pods -",
    "watch pods -",
    "get pods kube-system/x",
    "get pods/log default/x",
    "get pods/log kube-system/x",
    "get configmaps default/x",
    "list configmaps -",
    "get configmaps kube-system/coredns",
    "get secrets default/x",
    "list secrets default/",
    "watch secrets default/",
    "list secrets -",
    "get secrets kube-system/x",
    "get secrets sallyport/x",
    "get secrets default/sh.helm.release.v1.web.v1",
    "list secrets default/?labelSelector=owner=helm",
    "list secrets default/?labelSelector=name=x,owner=helm,status in (deployed)",
    "list secrets default/?labelSelector=app=web",
    "get widgets.example.com default/x",
    "list widgets.example.com -",
    "get externalsecrets.external-secrets.io default/x",
    "list pods.metrics.k8s.io default/",
    "create pods/exec default/x?command=sh",
    "get pods/exec default/x?command=sh",
    "create pods/exec kube-system/x?command=sh",
    "get pods/attach default/x",
    "create pods/portforward default/x",
    "get pods/proxy default/x",
    "get services/proxy kube-system/dashboard",
    "get nodes/proxy n1",
    "delete pods default/x",
    "delete pods default/x?gracePeriodSeconds=0",
    "delete pods kube-system/x",
    "delete deployments.apps default/x",
    "delete jobs.batch default/x",
    "delete configmaps default/x",
    "delete secrets default/x",
    "delete secrets default/x?dryRun=All",
    "delete services default/x",
    "delete services default/x?dryRun=All",
    "delete namespaces default",
    "delete namespaces default?dryRun=All",
    "delete namespaces sallyport",
    "delete persistentvolumeclaims default/x",
    "delete customresourcedefinitions.apiextensions.k8s.io x",
    "delete widgets.example.com default/x",
    "delete widgets.example.com default/x?propagationPolicy=Orphan",
    "delete clusterroles.rbac.authorization.k8s.io sallyport:read",
    "delete mutatingwebhookconfigurations.admissionregistration.k8s.io sallyport-injector",
    "delete validatingadmissionpolicies.admissionregistration.k8s.io other",
    "deletecollection pods default/",
    "deletecollection pods default/?dryRun=All",
    "deletecollection configmaps default/",
    "deletecollection events default/",
    "deletecollection secrets default/",
    "deletecollection mutatingwebhookconfigurations.admissionregistration.k8s.io -",
    "create configmaps default/-",
];

/// Pods by what they do.
fn pods() -> Vec<(&'static str, Value)> {
    vec![
        ("plain", pod(json!({}))),
        ("digest", with_container(json!({"image": "registry.example:5000/c@sha256:00"}))),
        ("latest", with_container(json!({"image": "registry.example:5000/c:latest"}))),
        ("untagged", with_container(json!({"image": "registry.example:5000/c"}))),
        ("serviceAccountName", pod(json!({"serviceAccountName": "admin"}))),
        ("default account", pod(json!({"serviceAccountName": "default"}))),
        ("secret volume", pod(json!({"volumes": [{"name": "v", "secret": {"secretName": "db"}}]}))),
        ("config volume", pod(json!({"volumes": [{"name": "v", "configMap": {"name": "db"}}]}))),
        (
            "projected token",
            pod(json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}, {"configMap": {}}]}}]})),
        ),
        (
            "empty projected token",
            pod(json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]})),
        ),
        ("csi secret", pod(json!({"volumes": [{"csi": {"nodePublishSecretRef": {"name": "db"}}}]}))),
        ("host folder", pod(json!({"volumes": [{"hostPath": {"path": "/srv/data"}}]}))),
        ("host root", pod(json!({"volumes": [{"hostPath": {"path": "/"}}]}))),
        ("docker socket", pod(json!({"volumes": [{"hostPath": {"path": "/var/run/docker.sock"}}]}))),
        ("host network", pod(json!({"hostNetwork": true}))),
        ("host processes", pod(json!({"hostPID": true, "hostIPC": true}))),
        ("node name", pod(json!({"nodeName": "n1"}))),
        ("any toleration", pod(json!({"tolerations": [{"operator": "Exists"}]}))),
        ("one toleration", pod(json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]}))),
        ("system priority", pod(json!({"priorityClassName": "system-cluster-critical"}))),
        ("runtime class", pod(json!({"runtimeClassName": "kata"}))),
        ("sysctl", pod(json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}))),
        (
            "safe sysctl",
            pod(json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}})),
        ),
        ("selinux", pod(json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}))),
        ("windows host", pod(json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}))),
        ("privileged", with_container(json!({"securityContext": {"privileged": true}}))),
        ("added capability", with_container(json!({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}))),
        (
            "usual capability",
            with_container(json!({"securityContext": {"capabilities": {"add": ["CHOWN"], "drop": ["ALL"]}}})),
        ),
        ("unconfined", with_container(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}))),
        ("host port", with_container(json!({"ports": [{"containerPort": 80, "hostPort": 80}]}))),
        ("usual port", with_container(json!({"ports": [{"containerPort": 80}]}))),
        ("host probe", with_container(json!({"livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}}}))),
        ("usual probe", with_container(json!({"livenessProbe": {"httpGet": {"path": "/", "port": 1}}}))),
        (
            "secret env",
            with_container(json!({"env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}]})),
        ),
        ("secret envFrom", with_container(json!({"envFrom": [{"secretRef": {"name": "db"}}]}))),
        ("config envFrom", with_container(json!({"envFrom": [{"configMapRef": {"name": "db"}}]}))),
        (
            "mirror",
            json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {"containers": []}}),
        ),
    ]
}

/// Everything else that is written.
#[expect(clippy::too_many_lines, reason = "a table of cases, read from top to bottom")]
fn written() -> Vec<(&'static str, &'static str, Value)> {
    let binding = |role: &str, subject: &str| json!({"roleRef": {"name": role}, "subjects": [{"kind": "Group", "name": subject}]});
    let role =
        |verb: &str, resource: &str| json!({"rules": [{"apiGroups": [""], "verbs": [verb], "resources": [resource]}]});
    vec![
        ("create configmaps default/-", "", json!({"kind": "ConfigMap", "data": {}})),
        ("create configmaps default/-", "", json!({"kind": "Secret", "data": {}})),
        ("create configmaps default/-?dryRun=All", "", json!({"data": {}})),
        ("patch configmaps default/x", "", json!({"data": {"a": "b"}})),
        ("patch configmaps default/x?force=true", APPLY, json!({"data": {"a": "b"}})),
        ("patch configmaps default/x", "", json!({"metadata": {"finalizers": []}})),
        ("patch configmaps kube-system/aws-auth", "", json!({})),
        ("update configmaps kube-system/x", "", json!({})),
        ("patch configmaps argocd/argocd-rbac-cm", "", json!({"data": {}})),
        ("create secrets default/-", "", json!({"type": "Opaque", "data": {}})),
        ("create secrets default/-", "", json!({"type": "kubernetes.io/tls"})),
        ("create secrets default/-", "", json!({"type": "kubernetes.io/service-account-token"})),
        ("create secrets kube-system/-", "", json!({"type": "bootstrap.kubernetes.io/token"})),
        ("create secrets default/-", "", json!({"type": "helm.sh/release.v1"})),
        ("create secrets default/-?dryRun=All", "", json!({"type": "Opaque"})),
        ("patch secrets default/x", "", json!({"data": {}})),
        ("patch secrets default/x", JSON_PATCH, json!([{"op": "test", "path": "/data/a", "value": "b"}])),
        (
            "patch secrets default/x",
            JSON_PATCH,
            json!([{"op": "copy", "from": "/data/a", "path": "/metadata/labels/a"}]),
        ),
        ("create serviceaccounts default/-", "", json!({"metadata": {"name": "bot"}})),
        ("create serviceaccounts default/-?dryRun=All", "", json!({"metadata": {"name": "bot"}})),
        ("create serviceaccounts kube-system/-", "", json!({})),
        ("create serviceaccounts sallyport/-", "", json!({})),
        ("patch serviceaccounts default/x", APPLY, json!({})),
        ("patch nodes x", APPLY, json!({})),
        ("patch persistentvolumeclaims default/x", APPLY, json!({})),
        ("patch jobs.batch default/x", APPLY, template(&pod(json!({})))),
        ("create serviceaccounts/token default/x", "", json!({"spec": {}})),
        ("create serviceaccounts/token default/x?dryRun=All", "", json!({"spec": {}})),
        ("create serviceaccounts/token kube-system/x", "", json!({"spec": {}})),
        ("create rolebindings.rbac.authorization.k8s.io default/-", "", binding("view", "devs")),
        ("create rolebindings.rbac.authorization.k8s.io default/-?dryRun=All", "", binding("view", "devs")),
        ("create rolebindings.rbac.authorization.k8s.io default/-", "", binding("admin", "devs")),
        ("create rolebindings.rbac.authorization.k8s.io default/-", "", binding("view", "system:authenticated")),
        ("create rolebindings.rbac.authorization.k8s.io default/-", "", binding("view", "sallyport:write")),
        ("create clusterrolebindings.rbac.authorization.k8s.io -", "", binding("view", "devs")),
        ("create clusterrolebindings.rbac.authorization.k8s.io -", "", binding("cluster-admin", "devs")),
        ("create roles.rbac.authorization.k8s.io default/-", "", role("get", "pods")),
        ("create roles.rbac.authorization.k8s.io default/-", "", role("get", "secrets")),
        ("create roles.rbac.authorization.k8s.io default/-", "", role("escalate", "roles")),
        ("create clusterroles.rbac.authorization.k8s.io -", "", role("*", "*")),
        ("create clusterroles.rbac.authorization.k8s.io -", "", role("impersonate", "users")),
        (
            "create clusterroles.rbac.authorization.k8s.io -",
            "",
            json!({"aggregationRule": {"clusterRoleSelectors": []}}),
        ),
        (
            "patch clusterroles.rbac.authorization.k8s.io x",
            "",
            json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}}),
        ),
        (
            "create namespaces -",
            "",
            json!({"metadata": {"name": "x", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}),
        ),
        (
            "create namespaces -",
            "",
            json!({"metadata": {"name": "x", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        ),
        ("patch namespaces default", "", json!({"metadata": {"labels": {"team": "a"}}})),
        ("patch namespaces default", "", json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": null}}})),
        ("patch namespaces default", "", json!({"metadata": {"labels": {"sallyport.dev/inject": "false"}}})),
        ("update namespaces/finalize default", "", json!({})),
        ("create services default/-", "", json!({"spec": {"type": "ClusterIP"}})),
        ("create services default/-", "", json!({"spec": {"type": "LoadBalancer"}})),
        ("create services default/-", "", json!({"spec": {"externalName": "evil.example", "type": "ExternalName"}})),
        ("patch services default/x", "", json!({"spec": {"externalIPs": ["10.0.0.1"]}})),
        ("create ingresses.networking.k8s.io default/-", "", json!({"spec": {}})),
        (
            "create ingresses.networking.k8s.io default/-",
            "",
            json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/server-snippet": ""}}}),
        ),
        ("create persistentvolumes -", "", json!({"spec": {"nfs": {}}})),
        ("create persistentvolumes -", "", json!({"spec": {"hostPath": {"path": "/"}}})),
        ("create persistentvolumeclaims default/-", "", json!({"spec": {}})),
        ("patch deployments.apps/scale default/x", "", json!({"spec": {"replicas": 3}})),
        ("patch deployments.apps/scale default/x", "", json!({"spec": {"replicas": 0}})),
        ("patch deployments.apps/scale kube-system/x", "", json!({"spec": {"replicas": 0}})),
        ("patch deployments.apps/scale default/x", "", json!({"spec": {"replicas": 500}})),
        (
            "patch deployments.apps default/x",
            "",
            json!({"spec": {"template": {"metadata": {"annotations": {"restartedAt": "now"}}}}}),
        ),
        (
            "patch deployments.apps default/x",
            "",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "c:2"}]}}}}),
        ),
        (
            "patch deployments.apps default/x",
            "",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "c"}]}}}}),
        ),
        ("patch deployments.apps default/x", "", json!({"spec": {"template": {"spec": {"securityContext": null}}}})),
        (
            "patch deployments.apps default/x",
            JSON_PATCH,
            json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "c:2"}]),
        ),
        (
            "patch deployments.apps default/x",
            JSON_PATCH,
            json!([{"op": "add", "path": "/spec/template/spec/hostPID", "value": true}]),
        ),
        ("patch deployments.apps default/x", JSON_PATCH, json!([{"op": "move", "from": "/spec/a", "path": "/spec/b"}])),
        ("create horizontalpodautoscalers.autoscaling default/-", "", json!({"spec": {"maxReplicas": 10}})),
        ("create horizontalpodautoscalers.autoscaling default/-", "", json!({"spec": {"maxReplicas": 100}})),
        ("create pods/eviction default/x", "", json!({"kind": "Eviction"})),
        ("create pods/binding default/x", "", json!({"kind": "Binding"})),
        (
            "patch pods/ephemeralcontainers default/x",
            "",
            json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "busybox"}]}}),
        ),
        (
            "patch pods/ephemeralcontainers default/x",
            "",
            json!({"spec": {"ephemeralContainers": [{"name": "d", "securityContext": {"privileged": true}}]}}),
        ),
        ("patch pods/resize default/x", "", json!({"spec": {}})),
        ("create selfsubjectaccessreviews.authorization.k8s.io -", "", json!({"kind": "SelfSubjectAccessReview"})),
        ("create subjectaccessreviews.authorization.k8s.io -", "", json!({"kind": "SubjectAccessReview"})),
        ("create tokenreviews.authentication.k8s.io -", "", json!({"kind": "TokenReview"})),
        (
            "create certificatesigningrequests.certificates.k8s.io -",
            "",
            json!({"spec": {"signerName": "example.com/x"}}),
        ),
        (
            "create certificatesigningrequests.certificates.k8s.io -",
            "",
            json!({"spec": {"signerName": "kubernetes.io/kube-apiserver-client"}}),
        ),
        ("update certificatesigningrequests.certificates.k8s.io/approval x", "", json!({})),
        ("create customresourcedefinitions.apiextensions.k8s.io -", "", json!({"spec": {}})),
        (
            "create customresourcedefinitions.apiextensions.k8s.io -",
            "",
            json!({"spec": {"conversion": {"strategy": "Webhook"}}}),
        ),
        ("create apiservices.apiregistration.k8s.io -", "", json!({})),
        ("create validatingwebhookconfigurations.admissionregistration.k8s.io -", "", json!({})),
        ("create networkpolicies.networking.k8s.io default/-", "", json!({})),
        ("create networkpolicies.networking.k8s.io sallyport/-", "", json!({})),
        ("create leases.coordination.k8s.io default/-", "", json!({})),
        ("update leases.coordination.k8s.io kube-system/x", "", json!({})),
        ("create events default/-", "", json!({})),
        (
            "create resourceclaims.resource.k8s.io default/-",
            "",
            json!({"spec": {"devices": {"requests": [{"exactly": {"adminAccess": true}}]}}}),
        ),
        ("create widgets.example.com default/-", "", json!({"spec": {}})),
        (
            "create widgets.example.com default/-",
            "",
            json!({"spec": {"pod": {"containers": [{"securityContext": {"privileged": true}}]}}}),
        ),
        ("create applications.argoproj.io argocd/-", "", json!({})),
        ("create httproutes.gateway.networking.k8s.io default/-", "", json!({})),
        ("create volumesnapshots.snapshot.storage.k8s.io default/-", "", json!({})),
        ("delete jobs.batch default/x", "", json!({"propagationPolicy": "Orphan", "gracePeriodSeconds": 0})),
        ("delete jobs.batch default/x", "", json!({"dryRun": ["All"]})),
        ("delete jobs.batch default/x", "", json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true})),
    ]
}

fn requests() -> Vec<(String, Request)> {
    let mut all: Vec<(String, Request)> = PLAIN.iter().map(|line| ((*line).to_owned(), request(line))).collect();
    for (what, body) in pods() {
        for line in ["create pods default/-", "create deployments.apps default/-", "patch deployments.apps default/x"] {
            let body = if line.contains("deployments") { template(&body) } else { body.clone() };
            all.push((format!("{line} [{what}]"), request(line).body(body)));
        }
    }
    for line in
        ["create daemonsets.apps default/-", "create jobs.batch default/-", "create statefulsets.apps kube-system/-"]
    {
        all.push((format!("{line} [plain]"), request(line).body(template(&pod(json!({}))))));
    }
    for (line, content_type, body) in written() {
        let kind = content_type.split(['/', '+']).nth(1).unwrap_or_default();
        let content_type = if content_type.is_empty() { "application/merge-patch+json" } else { content_type };
        all.push((format!("{line} {kind}{body}"), request(line).content_type(content_type).body(body)));
    }
    all.push((format!("delete secrets default/x {SEEN}"), request("delete secrets default/x")));
    for line in ["create configmaps default/-", "patch pods default/x", "delete pods default/x", "get pods default/x"] {
        let mut request = request(line);
        request.unreadable = true;
        all.push((format!("{line} [unreadable body]"), request));
    }
    all
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases, read from top to bottom")]
fn decision_matrix() {
    let policy = built_in();
    let excused = super::super::Policy::parse(
        "apiVersion: sallyport.dev/v1alpha1\nnoPersonBehind:\n- serviceAccount: prod/ci/renovate\n",
    )
    .unwrap();
    let actors: [(&str, Identity, _); 4] = [
        ("person", person(), &policy),
        ("nobody", nobody(), &policy),
        ("pod", bare("builder"), &policy),
        ("renovate", bare("renovate"), &excused),
    ];
    let (session, mut seen) = (SessionFacts::default(), SessionFacts::default());
    seen.seen.note(&request("get secrets default/x").info);
    let (mut rules, mut sources) = (BTreeSet::new(), BTreeSet::new());
    let mut text = "# What the built-in policy says. Written by the test decision_matrix: UPDATE_GOLDEN=1.\n\
        #\n# Requests: effect, risk, rule, votes that each actor needs (a CI job of a known person, one of nobody known, a bare pod,\n\
        # a ServiceAccount behind which the policy says nobody stands), what raised the score.\n"
        .to_owned();
    for (name, request) in requests() {
        let mut votes = Vec::new();
        let mut first = None;
        let session = if name.ends_with(SEEN) { &seen } else { &session };
        for (_, identity, policy) in &actors {
            let verdict = decide(policy, &request.question(identity, session, Live::NotRead), &|| false);
            votes.push(verdict.terms().map_or_else(|| "-".to_owned(), |terms| terms.quorum.to_string()));
            let explanation = verdict.explanation().clone();
            // Who asks changes who must approve, nothing else.
            let known = first.get_or_insert_with(|| explanation.clone());
            assert_eq!(
                (known.effect, known.risk, &known.rule),
                (explanation.effect, explanation.risk, &explanation.rule),
                "{name}"
            );
        }
        let explanation = first.unwrap();
        rules.insert(explanation.rule.clone());
        let parts: Vec<&str> = explanation.contributions.iter().map(|part| part.source.as_ref()).collect();
        sources.extend(parts.iter().map(|part| (*part).to_owned()));
        let effect = explanation.effect.to_string();
        let votes = votes.join("/");
        writeln!(
            text,
            "{effect:<5} {:>3} {:<26} {votes:<7}  {name}  <- {}",
            explanation.risk,
            explanation.rule,
            parts.join(" ")
        )
        .unwrap();
    }
    text.push_str("#\n# The table: effect and risk of each row, its verbs taken one by one, with an empty body.\n");
    let mut rows: Vec<(String, String)> = Vec::new();
    for row in table::all().filter(|row| !row.resource.starts_with(['/', '*'])) {
        for verb in verbs::EVERY.into_iter().take(8).filter(|verb| row.has(*verb)) {
            let (main, subresource) = row.resource.split_once('/').unwrap_or((row.resource, ""));
            let group = if row.group.is_empty() { String::new() } else { format!(".{}", row.group) };
            let slash = if subresource.is_empty() { "" } else { "/" };
            let cluster = table::resource(row.group, main).is_some_and(|known| known.scope == table::Scope::Cluster);
            let place = if cluster { "x" } else { "default/x" };
            let line = format!("{verb} {main}{group}{slash}{subresource} {place}");
            let verdict = request(&line).body(json!({})).decide(&policy);
            let explanation = verdict.explanation();
            assert!(
                explanation.contributions.iter().any(|part| part.source == row.name),
                "{line} is not judged by {}",
                row.name
            );
            rules.insert(explanation.rule.clone());
            rows.push((row.name.to_owned(), format!("{verb}:{}:{}", explanation.effect, explanation.risk)));
        }
    }
    for group in rows.chunk_by(|one, another| one.0 == another.0) {
        let verbs: Vec<&str> = group.iter().map(|(_, verdict)| verdict.as_str()).collect();
        writeln!(text, "{:<75} {}", group.first().map(|(name, _)| name.as_str()).unwrap_or_default(), verbs.join(" "))
            .unwrap();
    }
    covered(&policy, &rules, &sources);
    compare(&text);
}

/// Every built-in rule settles something, every modifier is seen.
fn covered(policy: &super::super::Policy, rules: &BTreeSet<String>, sources: &BTreeSet<String>) {
    for rule in policy.rule_names() {
        assert!(rules.contains(rule), "{rule} settles nothing in the matrix");
    }
    for rule in [
        "default/hold-at",
        "default/delete-by-name",
        "default/streams",
        "default/protect-sallyport",
        "default/secret-oracle",
    ] {
        assert!(rules.contains(rule), "{rule} settles nothing in the matrix");
    }
    let unseen: Vec<&&str> = MODIFIER_NAMES.iter().filter(|name| !sources.contains(**name)).collect();
    assert!(unseen.is_empty(), "not in the matrix: {unseen:?}");
}

fn compare(text: &str) {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not configuration")]
    let update = std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1");
    if update {
        std::fs::write(GOLDEN, text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    for (number, (one, another)) in known.lines().zip(text.lines()).enumerate() {
        assert_eq!(one, another, "line {} of {GOLDEN} differs; UPDATE_GOLDEN=1 writes it anew", number + 1);
    }
    assert_eq!(known.lines().count(), text.lines().count(), "{GOLDEN} has other lines; UPDATE_GOLDEN=1 writes it anew");
}
