//! Attacks in several steps, each of which may look harmless: under the built-in policy, and whatever else a session has done, people are
//! asked about at least one of them (SECURITY.md P9). No step is judged by what came before it, so their order makes no difference.

use serde_json::{Value, json};

use super::support::{built_in, request};
use crate::decision::Effect;

type Step = (&'static str, Value);

fn image(image: &str, more: &Value) -> Value {
    let mut container = json!({"name": "c", "image": image});
    if let (Value::Object(container), Value::Object(more)) = (&mut container, more.clone()) {
        container.extend(more);
    }
    json!({"containers": [container]})
}

fn pod(spec: &Value) -> Value {
    let mut all = image("registry.example/c:1", &json!({}));
    if let (Value::Object(all), Value::Object(more)) = (&mut all, spec.clone()) {
        all.extend(more);
    }
    json!({"metadata": {"name": "x"}, "spec": all})
}

fn binding(role: &str, account: &str) -> Value {
    json!({"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}]})
}

fn rules(verb: &str, resource: &str) -> Value {
    json!({"metadata": {"name": "x"}, "rules": [{"apiGroups": ["*"], "verbs": [verb], "resources": [resource]}]})
}

/// Ways to rights of the API server.
#[expect(clippy::too_many_lines, reason = "a table of cases, read from top to bottom")]
fn to_rights() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "an account, its right, its token",
            vec![
                ("create serviceaccounts default/-", json!({"metadata": {"name": "bot"}})),
                ("create rolebindings.rbac.authorization.k8s.io default/-", binding("admin", "bot")),
                ("create serviceaccounts/token default/bot", json!({"spec": {}})),
            ],
        ),
        (
            "a role that grows, bound before it did",
            vec![
                ("create roles.rbac.authorization.k8s.io default/-", rules("get", "pods")),
                ("create rolebindings.rbac.authorization.k8s.io default/-", binding("x", "default")),
                ("update roles.rbac.authorization.k8s.io default/x", rules("*", "*")),
            ],
        ),
        (
            "a role that another one takes in",
            vec![
                ("create clusterroles.rbac.authorization.k8s.io -", rules("get", "nodes")),
                (
                    "patch clusterroles.rbac.authorization.k8s.io x",
                    json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}}),
                ),
            ],
        ),
        (
            "a token in a Secret of the job's own",
            vec![
                ("create secrets default/-", json!({"type": "kubernetes.io/service-account-token"})),
                ("get secrets default/x", Value::Null),
            ],
        ),
        (
            "a certificate for anybody",
            vec![
                (
                    "create certificatesigningrequests.certificates.k8s.io -",
                    json!({"spec": {"usages": ["client auth"]}}),
                ),
                ("update certificatesigningrequests.certificates.k8s.io/approval x", json!({"status": {}})),
                ("get certificatesigningrequests.certificates.k8s.io x", Value::Null),
            ],
        ),
        (
            "a pod under a stronger account, that prints its token",
            vec![
                ("create pods default/-", pod(&json!({"serviceAccountName": "deployer"}))),
                ("get pods/log default/x", Value::Null),
            ],
        ),
        (
            "another's workload, with an image of the job's",
            vec![
                ("create configmaps default/-", json!({"metadata": {"name": "script"}, "data": {"run": "#!/bin/sh"}})),
                (
                    "patch deployments.apps default/web",
                    json!({"spec": {"template": {"spec": image("registry.example/mine:1", &json!({}))}}}),
                ),
            ],
        ),
        (
            "another's workload, with a command of the job's",
            vec![
                ("create configmaps default/-", json!({"metadata": {"name": "script"}, "data": {"run": "#!/bin/sh"}})),
                (
                    "patch statefulsets.apps default/web",
                    json!({"spec": {"template": {"spec": image("registry.example/c:1", &json!({"command": ["/script/run"]}))}}}),
                ),
            ],
        ),
        (
            "the API server's own calls, turned to the job",
            vec![
                ("create services default/-", json!({"metadata": {"name": "mine"}, "spec": {"type": "ClusterIP"}})),
                ("create mutatingwebhookconfigurations.admissionregistration.k8s.io -", json!({"webhooks": []})),
            ],
        ),
        (
            "an API of the job's own",
            vec![
                ("create services default/-", json!({"metadata": {"name": "mine"}, "spec": {"type": "ClusterIP"}})),
                ("create apiservices.apiregistration.k8s.io -", json!({"spec": {"service": {"name": "mine"}}})),
            ],
        ),
        (
            "objects that pass a converter of the job's",
            vec![
                ("create services default/-", json!({"metadata": {"name": "mine"}, "spec": {"type": "ClusterIP"}})),
                (
                    "patch customresourcedefinitions.apiextensions.k8s.io x",
                    json!({"spec": {"conversion": {"strategy": "Webhook"}}}),
                ),
            ],
        ),
    ]
}

/// Ways onto a node, and to what other pods have.
#[expect(clippy::too_many_lines, reason = "a table of cases, read from top to bottom")]
fn to_nodes_and_others() -> Vec<(&'static str, Vec<Step>)> {
    let host = json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]});
    vec![
        (
            "a namespace without rules, and a pod that needs that",
            vec![
                (
                    "patch namespaces default",
                    json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
                ),
                ("create pods default/-", pod(&host)),
            ],
        ),
        (
            "a disk that is the node's",
            vec![
                (
                    "create persistentvolumes -",
                    json!({"metadata": {"name": "v"}, "spec": {"hostPath": {"path": "/etc/kubernetes"}}}),
                ),
                ("create persistentvolumeclaims default/-", json!({"spec": {"volumeName": "v"}})),
                (
                    "create pods default/-",
                    pod(&json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}]})),
                ),
            ],
        ),
        (
            "the same, every night",
            vec![(
                "create cronjobs.batch default/-",
                json!({"spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": pod(&host)["spec"]}}}}}),
            )],
        ),
        (
            "a shell beside another's process",
            vec![
                ("list pods default/", Value::Null),
                (
                    "patch pods/ephemeralcontainers default/web",
                    json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "registry.example/d:1", "targetContainerName": "c"}]}}),
                ),
            ],
        ),
        (
            "a command in another's pod",
            vec![("list pods default/", Value::Null), ("create pods/exec default/web", Value::Null)],
        ),
        (
            "a Secret that a pod prints",
            vec![
                (
                    "create pods default/-",
                    pod(&json!({"volumes": [{"name": "s", "secret": {"secretName": "database"}}]})),
                ),
                ("get pods/log default/x", Value::Null),
            ],
        ),
        (
            "a Secret in an environment that a job prints",
            vec![
                (
                    "create jobs.batch default/-",
                    json!({"spec": {"template": {"spec": image("registry.example/c:1", &json!({"envFrom": [{"secretRef": {"name": "database"}}]}))}}}),
                ),
                ("get pods/log default/x", Value::Null),
            ],
        ),
        (
            "others' calls, by an address of the job's",
            vec![(
                "create services default/-",
                json!({"metadata": {"name": "mine"}, "spec": {"type": "ClusterIP", "externalIPs": ["10.0.0.7"]}}),
            )],
        ),
        (
            "others' calls, by endpoints of the job's",
            vec![
                ("create services default/-", json!({"metadata": {"name": "mine"}, "spec": {"type": "ClusterIP"}})),
                (
                    "create endpointslices.discovery.k8s.io default/-",
                    json!({"metadata": {"labels": {"kubernetes.io/service-name": "database"}}, "endpoints": [{"addresses": ["10.0.0.7"]}]}),
                ),
            ],
        ),
        (
            "a way out, and what goes it",
            vec![
                ("delete networkpolicies.networking.k8s.io default/deny", Value::Null),
                ("create pods default/-", pod(&json!({}))),
            ],
        ),
        (
            "a certificate that everybody is shown",
            vec![
                ("create secrets default/-", json!({"type": "kubernetes.io/tls", "data": {}})),
                (
                    "create ingresses.networking.k8s.io default/-",
                    json!({"spec": {"tls": [{"secretName": "x"}], "rules": [{"host": "shop.example"}]}}),
                ),
            ],
        ),
        (
            "what guards others, gone",
            vec![
                ("get validatingwebhookconfigurations.admissionregistration.k8s.io x", Value::Null),
                ("delete validatingwebhookconfigurations.admissionregistration.k8s.io x", Value::Null),
            ],
        ),
        (
            "our own protection, off",
            vec![
                ("patch namespaces default", json!({"metadata": {"labels": {"sallyport.dev/inject": null}}})),
                ("create pods default/-", pod(&json!({}))),
            ],
        ),
        (
            "our own agents, gone",
            vec![("update deployments.apps/scale sallyport/sallyport-agent", json!({"spec": {"replicas": 0}}))],
        ),
        (
            "a Secret that is destroyed by its mask",
            vec![
                ("get secrets default/database", Value::Null),
                ("update secrets default/database", json!({"data": {"password": "bm90aGluZw=="}})),
            ],
        ),
    ]
}

#[test]
fn every_known_chain_meets_people_or_a_refusal() {
    let policy = built_in();
    let chains: Vec<_> = to_rights().into_iter().chain(to_nodes_and_others()).collect();
    assert!(chains.len() >= 25, "{}", chains.len());
    for (name, steps) in chains {
        let effects: Vec<_> = steps
            .iter()
            .map(|(line, body)| {
                let mut asked = request(line);
                if !body.is_null() {
                    asked = asked.body(body.clone());
                }
                if line.starts_with("patch") {
                    asked = asked.content_type("application/merge-patch+json");
                }
                (asked.effect(&policy), asked.risk(&policy), *line)
            })
            .collect();
        assert!(effects.iter().any(|(effect, ..)| *effect != Effect::Allow), "{name}: nobody is asked: {effects:?}");
    }
}
