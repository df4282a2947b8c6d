//! Changes of what runs where Secrets are.

use serde_json::{Value, json};

use super::super::Live;
use super::support::{built_in, request};
use crate::decision::Effect;

/// Who decides what runs in a pod has what the pod has, also where the change itself doesn't say what that is.
#[test]
fn m7_what_runs_beside_secrets_is_changed_by_people_alone() {
    let deployment = |pod: Value| json!({"spec": {"template": {"spec": pod}}});
    let container = |more: Value| {
        let mut container = json!({"name": "web", "image": "web:1", "command": ["serve"]});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        container
    };
    let secrets = [
        json!({"containers": [container(json!({"envFrom": [{"secretRef": {"name": "db"}}]}))]}),
        json!({"containers": [container(json!({}))], "volumes": [{"name": "v", "secret": {"secretName": "db"}}]}),
        json!({"containers": [container(json!({}))], "serviceAccountName": "deployer"}),
        json!({"containers": [container(json!({}))], "volumes": [{"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io"}}]}),
        json!({"containers": [container(json!({}))],
            "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]}),
    ];
    let plain = json!({"containers": [container(json!({}))], "imagePullSecrets": [{"name": "pull"}]});
    let policy = built_in();
    let patch = |containers: Value| {
        request("patch deployments.apps default/web").body(deployment(json!({"containers": containers})))
    };
    let operations = json!([{"op": "add", "path": "/spec/template/spec/containers/0/command", "value": ["env"]}]);
    let changes = [
        patch(json!([{"name": "web", "command": ["sh", "-c", "env|rev"]}])),
        patch(json!([{"name": "web", "args": ["-v"]}])),
        patch(json!([{"name": "web", "env": [{"name": "LOG_LEVEL", "value": "trace"}]}])),
        patch(json!([{"name": "web", "lifecycle": {"postStart": {"exec": {"command": ["env"]}}}}])),
        patch(json!([{"name": "web", "livenessProbe": {"exec": {"command": ["env"]}}}])),
        request("patch deployments.apps default/web").content_type("application/json-patch+json").body(operations),
        request("patch deployments.apps default/web").content_type("application/json-patch+json").body(
            json!([{"op": "replace", "path": "/spec/template/spec/containers/0", "value": {"name": "web", "image": "web:1"}}]),
        ),
        patch(json!([{"name": "web", "command": null}])),
        patch(json!([{"name": "web", "terminationMessagePolicy": "FallbackToLogsOnError"}])),
        patch(json!([{"name": "web"}])).content_type("application/merge-patch+json"),
        request("patch deployments.apps default/web").body(deployment(json!({"shareProcessNamespace": true}))),
        request("patch deployments.apps default/web")
            .body(deployment(json!({"volumes": [{"name": "scripts", "configMap": {"name": "mine"}}]}))),
        request("update deployments.apps default/web")
            .body(deployment(json!({"containers": [{"name": "web", "image": "web:1"}]}))),
    ];
    for change in &changes {
        // What is not read may be anything.
        assert_eq!(change.effect(&policy), Effect::Hold);
        for pod in &secrets {
            let live = deployment(pod.clone());
            let held = change.decide_live(&policy, Live::Present(&live));
            assert_eq!((held.explanation().effect, held.explanation().risk), (Effect::Hold, 65));
        }
        let live = deployment(plain.clone());
        assert_eq!(change.decide_live(&policy, Live::Present(&live)).explanation().effect, Effect::Allow);
    }
    // What stays as it is is no change, and neither is what decides nothing.
    let live = deployment(secrets[0].clone());
    for change in [
        patch(json!([{"name": "web", "command": ["serve"]}])),
        patch(json!([{"name": "web", "resources": {"limits": {"cpu": "2"}}}])),
        // As kubectl writes it.
        request("patch deployments.apps default/web").body(deployment(json!({
            "$setElementOrder/containers": [{"name": "web"}], "containers": [{"name": "web", "resources": {"limits": {"cpu": "2"}}}]
        }))),
        request("patch deployments.apps default/web").body(deployment(json!({"nodeSelector": {"disk": "fast"}}))),
        request("patch deployments.apps default/web").body(json!({"spec": {"replicas": 3, "template": {"metadata":
            {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-30T10:00:00Z"}}}}})),
    ] {
        assert_eq!(change.decide_live(&policy, Live::Present(&live)).explanation().effect, Effect::Allow);
    }
}
