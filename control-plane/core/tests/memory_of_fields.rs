//! What an answer takes of memory that is read as a whole, because policy masks fields in it. Counted by the allocator, so this test has a
//! process to itself.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;

use control_plane_core::mask::{
    AnswerMaskError, AnswerMasker, Format, MaskContext, MaskError, MaskSummary, MaskedFields, PlaceholderKey,
    PlaceholderKeys,
};
use control_plane_core::query::Query;
use control_plane_core::request_info::RequestInfo;
use http::Method;
use peak_alloc::PeakAlloc;
use serde_json::{Map, Value, json};
use shared::limits::{ANSWER_TREE_BYTES, MASK_FIELDS_BYTES};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of a piece, as a connection delivers them.
const PIECE: usize = 16 * 1024;
const MIB: usize = 1024 * 1024;

fn context(path: &str) -> MaskContext {
    let info = RequestInfo::parse(&Method::GET, path, &Query::parse("").unwrap()).unwrap();
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    MaskContext::response(Arc::new(keys), "test", &info).with_fields(MaskedFields::parse(&["spec.password"]).unwrap())
}

/// A pod with as much in it as real ones have at most, sidecars and all: some thirty kilobytes with five containers, half of them names of fields.
fn rich_pod(containers: usize) -> Value {
    let env: Vec<Value> = (0..12)
        .map(|at| match at % 4 {
            0 => json!({"name": format!("SERVICE_{at}_PASSWORD"), "valueFrom": {"secretKeyRef": {"name": "service-credentials", "key": "password"}}}),
            _ => json!({"name": format!("SERVICE_{at}_ADDRESS"), "value": format!("service-{at}.shop.svc.cluster.local:5432/orders?timeout=30s")}),
        })
        .collect();
    let owned_env: Map<String, Value> = env
        .iter()
        .map(|env| (format!(r#"k:{{"name":{}}}"#, env["name"]), json!({".": {}, "f:name": {}, "f:value": {}})))
        .collect();
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3});
    let container = |at: usize| {
        json!({"name": format!("container-{at}"), "image": format!("registry.example.com/shop/container-{at}@sha256:{}", "0123456789abcdef".repeat(4)),
            "args": ["--address=:8080", "--log-format=json", "--config=/etc/shop/config.yaml", "--leader-elect=true"],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
            "env": env, "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
            "volumeMounts": [{"name": "config", "readOnly": true, "mountPath": "/etc/shop"}, {"name": "kube-api-access-x7x9k", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            "livenessProbe": probe, "readinessProbe": probe, "terminationMessagePath": "/dev/termination-log",
            "securityContext": {"capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true, "readOnlyRootFilesystem": true}})
    };
    let owned_container = json!({".": {}, "f:args": {}, "f:env": owned_env, "f:image": {}, "f:name": {}, "f:ports": {".": {}, r#"k:{"containerPort":8080,"protocol":"TCP"}"#: {".": {}, "f:containerPort": {}, "f:name": {}, "f:protocol": {}}},
        "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}, "f:memory": {}}, "f:requests": {".": {}, "f:cpu": {}, "f:memory": {}}},
        "f:volumeMounts": {".": {}, r#"k:{"mountPath":"/etc/shop"}"#: {".": {}, "f:mountPath": {}, "f:name": {}, "f:readOnly": {}}}});
    let containers: Vec<Value> = (0..containers).map(container).collect();
    let owned: Map<String, Value> = (0..containers.len())
        .map(|at| (format!(r#"k:{{"name":"container-{at}"}}"#), owned_container.clone()))
        .collect();
    let statuses: Vec<Value> = (0..containers.len())
        .map(|at| json!({"name": format!("container-{at}"), "state": {"running": {"startedAt": "2026-11-30T04:00:00Z"}}, "lastState": {}, "ready": true, "restartCount": 0, "imageID": format!("registry.example.com/shop/container-{at}@sha256:{}", "0123456789abcdef".repeat(4)), "started": true}))
        .collect();
    let conditions: Vec<Value> = ["Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(|kind| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-11-30T04:00:00Z"}))
        .to_vec();
    json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "orders-6f9c5d7b8-x7x9k", "namespace": "shop", "uid": "8f4d1c3e-0000-4000-8000-000000000000", "resourceVersion": "123456789",
            "labels": {"app.kubernetes.io/name": "orders", "app.kubernetes.io/instance": "shop", "pod-template-hash": "6f9c5d7b8"},
            "annotations": {"example.com/note": "a sentence of some length, as people write them. ".repeat(160)},
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-11-30T04:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:containers": owned}}}]},
        "spec": {"containers": containers, "nodeName": "node-17", "serviceAccountName": "orders",
            "volumes": [{"name": "config", "configMap": {"name": "orders", "defaultMode": 420}}]},
        "status": {"phase": "Running", "conditions": conditions, "containerStatuses": statuses, "podIP": "10.0.17.23"}})
}

/// What came of it, and the most bytes that it took beside the text.
fn whole(path: &str, text: &str) -> (Result<MaskSummary, AnswerMaskError>, usize) {
    let mut out = Vec::with_capacity(text.len() + 1024);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut masker = AnswerMasker::new(context(path), Format::Json);
    let pushed = text.as_bytes().chunks(PIECE).try_for_each(|piece| masker.push(piece, &mut out));
    let done = pushed.and_then(|()| masker.finish(&mut out));
    (done, MEMORY.peak_usage().saturating_sub(before))
}

#[test]
fn an_answer_that_is_read_whole_takes_no_more_than_there_is() {
    let most = ANSWER_TREE_BYTES + MASK_FIELDS_BYTES + 8 * MIB;
    let chain = format!("{}0{},", r#"{"":"#.repeat(90), "}".repeat(90));
    for (what, piece) in [
        ("maps", r#"{"":0},"#),
        ("lists", "[0],"),
        ("lists of lists", "[[[[0]]]],"),
        ("maps of twelve", r#"{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0},"#),
        ("texts", r#""a","#),
        ("chains", &chain),
    ] {
        let pieces = piece.repeat(MASK_FIELDS_BYTES * 15 / 16 / piece.len());
        let text = format!(r#"{{"apiVersion":"e.com/v1","kind":"Widget","spec":{{"a":[{pieces}0]}}}}"#);
        let (done, peak) = whole("/apis/e.com/v1/namespaces/d/widgets/a", &text);
        assert_eq!(done, Err(MaskError::FieldsTooMany { limit: ANSWER_TREE_BYTES }.into()), "{what}");
        assert!(peak <= most, "{what}: {} MiB", peak / MIB);
    }
    for (containers, times) in [(3, 500), (5, 300)] {
        let pod = rich_pod(containers).to_string();
        let pods = format!("{pod},").repeat(times);
        let page = format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{pods}{pod}]}}"#);
        let (done, peak) = whole("/api/v1/namespaces/shop/pods", &page);
        assert!(done.is_ok(), "a page of {times} pods of {} bytes: {done:?}", pod.len());
        assert!(peak <= most, "a page of pods: {} MiB", peak / MIB);
    }
    // What stands in place of small values is much larger than they.
    let numbers =
        format!(r#"{{"apiVersion":"e.com/v1","kind":"Widget","spec":{{"password":[{}0]}}}}"#, "0,".repeat(700_000));
    let names: Vec<String> = (0..52_000).map(|name| format!(r#""n{name}":"""#)).collect();
    let map = format!(r#"{{"apiVersion":"e.com/v1","kind":"Widget","spec":{{"password":{{{}}}}}}}"#, names.join(","));
    let maps =
        format!(r#"{{"apiVersion":"e.com/v1","kind":"WidgetList","items":[{}]}}"#, vec![map.as_str(); 13].join(","));
    for (what, text, fits) in [("numbers", numbers, false), ("a map", map, true), ("maps", maps, false)] {
        let (done, peak) = whole("/apis/e.com/v1/namespaces/d/widgets/a", &text);
        assert_eq!(done.is_ok(), fits, "{what}: {done:?}");
        assert!(peak <= most, "{what}: {} MiB", peak / MIB);
    }
}
