//! How fast the masker is, on one core, in 16 KiB pieces, and how much memory it takes beside its input and output.
//!
//! The column "skip" is serde_json reading the same body whole and keeping nothing, for comparison on a busy machine.
//!
//! `cargo run --release -p control-plane-core --example mask_speed`

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use control_plane_core::mask::{MaskContext, MaskError, Masker, PlaceholderKey, PlaceholderKeys};
use control_plane_core::request_info::{RequestInfo, Verb};

/// Bytes of each body.
const BODY: usize = 32 * 1024 * 1024;
/// Bytes of a piece, as a connection delivers them.
const PIECE: usize = 16 * 1024;
const ROUNDS: usize = 15;

/// What it is called, the resource it was asked for, and how to make an element.
type Body = (&'static str, &'static str, fn(usize) -> String);

fn main() -> Result<(), MaskError> {
    println!(
        "{:<32} {:>8} {:>10} {:>8} {:>8} {:>8} {:>10}",
        "body", "MB", "best GB/s", "median", "skip", "masked", "extra KiB"
    );
    let bodies: [Body; 5] = [
        ("SecretList, values of 1 KiB", "secrets", |index| secret(index, 1024, false)),
        ("SecretList, values of 32 B", "secrets", |index| secret(index, 32, false)),
        ("SecretList, 1 KiB, last-applied", "secrets", |index| secret(index, 1024, true)),
        ("PodList", "pods", pod),
        ("ConfigMapList", "configmaps", config_map),
    ];
    // A word as argument: only the bodies with it in their name.
    let only = std::env::args().nth(1).unwrap_or_default();
    for (name, resource, item) in bodies.into_iter().filter(|(name, ..)| name.contains(&only)) {
        let body = list(resource, item);
        measure(name, resource, &body)?;
    }
    Ok(())
}

fn measure(name: &str, resource: &str, body: &str) -> Result<(), MaskError> {
    // The output buffer is the caller's: it is emptied after each piece, as a connection would.
    let mut out = Vec::with_capacity(1024 * 1024);
    let mut times = Vec::with_capacity(ROUNDS);
    let before = high_water_mark();
    let mut masked = 0;
    for _ in 0..ROUNDS {
        let mut masker = Masker::new(context(resource));
        let start = on_cpu();
        for piece in body.as_bytes().chunks(PIECE) {
            out.clear();
            masker.push(piece, &mut out)?;
        }
        masked = masker.finish()?.masked;
        times.push(on_cpu().saturating_sub(start));
    }
    times.sort_unstable();
    let mut skipped = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = on_cpu();
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
        skipped.push(on_cpu().saturating_sub(start));
        assert!(valid, "the body is JSON");
    }
    skipped.sort_unstable();
    let rate = |time: Option<&Duration>| time.map_or(0.0, |time| body.len() as f64 / time.as_secs_f64() / 1e9);
    let extra = high_water_mark().saturating_sub(before);
    println!(
        "{name:<32} {:>8.1} {:>10.2} {:>8.2} {:>8.2} {masked:>8} {extra:>10}",
        body.len() as f64 / 1e6,
        rate(times.first()),
        rate(times.get(ROUNDS / 2)),
        rate(skipped.first()),
    );
    Ok(())
}

/// Time that this thread has been on a core, so that a busy machine doesn't count.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// `VmHWM` in KiB: the most memory this process ever held. Unsafe code, and so a counting allocator, is forbidden here.
fn high_water_mark() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn context(resource: &str) -> MaskContext {
    let info = RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb: Verb::List,
        api_group: String::new(),
        api_version: "v1".to_owned(),
        namespace: String::new(),
        resource: resource.to_owned(),
        subresource: String::new(),
        name: String::new(),
        proxy_path: String::new(),
    };
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    MaskContext::response(Arc::new(keys), "prod", &info)
}

fn list(resource: &str, item: fn(usize) -> String) -> String {
    let kind = match resource {
        "secrets" => "SecretList",
        "pods" => "PodList",
        _ => "ConfigMapList",
    };
    let mut body =
        format!(r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"resourceVersion":"123456"}},"items":["#);
    for index in 0.. {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&item(index));
        if body.len() > BODY {
            break;
        }
    }
    body.push_str("]}\n");
    body
}

/// Base64 without padding of that many bytes.
fn value(index: usize, bytes: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..bytes * 4 / 3)
        .map(|at| alphabet.get((at * 7 + index * 13 + at * at) % 64).map_or('A', |byte| char::from(*byte)))
        .collect()
}

fn metadata(index: usize, annotations: &str, managed: &str) -> String {
    format!(
        r#"{{"name":"object-{index}","namespace":"team-{}","uid":"5e1b9bd3-7d0c-4a4e-9f57-{index:012}","resourceVersion":"{}","creationTimestamp":"2026-01-02T03:04:05Z","labels":{{"app":"web","tier":"backend"}}{annotations},"managedFields":[{{"manager":"kubectl-create","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{managed}}}]}}"#,
        index / 100,
        index + 1000,
    )
}

fn secret(index: usize, bytes: usize, applied: bool) -> String {
    let (user, password) = (value(index, bytes), value(index + 7, bytes));
    let data = format!(r#"{{"password":"{password}","username":"{user}"}}"#);
    let annotations = if applied {
        let manifest = format!(
            r#"{{"apiVersion":"v1","data":{data},"kind":"Secret","metadata":{{"annotations":{{}},"name":"object-{index}","namespace":"team-{}"}},"type":"Opaque"}}"#,
            index / 100
        );
        format!(
            r#","annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{}\n"}}"#,
            manifest.replace('"', "\\\"")
        )
    } else {
        String::new()
    };
    let managed = r#"{"f:data":{".":{},"f:password":{},"f:username":{}},"f:type":{}}"#;
    format!(r#"{{"metadata":{},"data":{data},"type":"Opaque"}}"#, metadata(index, &annotations, managed))
}

fn config_map(index: usize) -> String {
    let text = "key = value\\nother = \\\"quoted\\\"\\n".repeat(20);
    format!(
        r#"{{"metadata":{},"data":{{"app.conf":"{text}","log.level":"info"}}}}"#,
        metadata(index, "", r#"{"f:data":{".":{},"f:app.conf":{},"f:log.level":{}}}"#)
    )
}

fn pod(index: usize) -> String {
    let mut containers = String::new();
    for container in 0..2 {
        let comma = if container > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _always_ok = write!(
            containers,
            r#"{comma}{{"name":"c{container}","image":"registry.example.com/team/app:{index}","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"env":[{{"name":"LEVEL","value":"info"}},{{"name":"PASSWORD","valueFrom":{{"secretKeyRef":{{"name":"db","key":"password"}}}}}}],"resources":{{"limits":{{"cpu":"500m","memory":"256Mi"}},"requests":{{"cpu":"100m","memory":"128Mi"}}}},"volumeMounts":[{{"name":"kube-api-access-x","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"livenessProbe":{{"httpGet":{{"path":"/healthz","port":"http","scheme":"HTTP"}},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}}"#
        );
    }
    let managed = r#"{"f:metadata":{"f:labels":{".":{},"f:app":{},"f:tier":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c0\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"LEVEL\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{}}}"#;
    format!(
        r#"{{"metadata":{},"spec":{{"volumes":[{{"name":"kube-api-access-x","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}}],"defaultMode":420}}}}],"containers":[{containers}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","nodeName":"node-{}","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}]}},"status":{{"phase":"Running","conditions":[{{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-01-02T03:04:05Z"}}],"hostIP":"10.0.0.1","podIP":"10.1.2.3","startTime":"2026-01-02T03:04:05Z","qosClass":"Burstable"}}}}"#,
        metadata(index, "", managed),
        index % 50,
    )
}
