//! What a JSON Patch (RFC 6902) may not do around masked values: its operations reach values that nobody sees, and put them, or what
//! they tell of them, where nobody masks (SECURITY.md M5). Refused by policy with a sentence, and by the agent whatever was granted.

use serde_json::Value;

use super::changes::pointer;
use super::{LAST_APPLIED, MaskedFields, printed, words};
use crate::request_info::RequestInfo;

/// Why. `Display` is the sentence for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Oracle {
    /// `copy` or `move`.
    #[error("{}", Self::Copies.sentence())]
    Copies,
    /// `test`.
    #[error("{}", Self::Tests.sentence())]
    Tests,
    /// One of these, of how a pod's containers have ended.
    #[error("{}", Self::LastWords.sentence())]
    LastWords,
    /// One of these, of what an Event says.
    #[error("{}", Self::Event.sentence())]
    Event,
}

impl Oracle {
    /// The first operation of a JSON Patch that no one may make. `masked`: what policy masks of this resource, which is then treated as
    /// a Secret is.
    pub fn find(info: &RequestInfo, masked: &MaskedFields, patch: &Value) -> Option<Self> {
        let secret = !masked.is_empty() || info.api_group.is_empty() && info.resource == "secrets";
        let (pods, events) = (words::is_of_pods(info), printed::is_of_events(info));
        patch.as_array()?.iter().find_map(|operation| {
            let place = |name: &str| operation.get(name).and_then(Value::as_str).map(pointer).unwrap_or_default();
            match operation.get("op").and_then(Value::as_str)? {
                "copy" | "move" if secret || holds_values(&place("from")) => Some(Self::Copies),
                // What the kubelet and the runtime write there is shown, and what a container wrote is not.
                "copy" | "move" if pods && words::is_reached(&place("from")) => Some(Self::LastWords),
                "test" if pods && words::is_reached(&place("path")) => Some(Self::LastWords),
                "copy" | "move" if events && printed::is_reached(&place("from")) => Some(Self::Event),
                "test" if events && printed::is_reached(&place("path")) => Some(Self::Event),
                // Preconditions on metadata are how a version is pinned; what else a Secret has is its values.
                "test" if secret && !is_plain_metadata(&place("path")) => Some(Self::Tests),
                "test" if masked.touch(&place("path")) => Some(Self::Tests),
                "test" if guesses(&place("path"), operation.get("value")?) => Some(Self::Tests),
                _ => None,
            }
        })
    }

    /// Why not.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Copies => {
                "a JSON Patch may not copy or move within a Secret or an object of which policy masks fields, nor from annotations, nor from \
                 data of an object inside another: a value would appear where nobody masks it. Write a value of your own, or a merge patch"
            }
            Self::Tests => {
                "a JSON Patch may not test a Secret's values, nor, in an object of which policy masks fields, anything but its metadata: every \
                 answer would tell something about them. Test /metadata/resourceVersion"
            }
            Self::LastWords => {
                "a JSON Patch may not copy, move or test the statuses of a pod's containers, nor what holds them: the last words of a container \
                 may have values of Secrets in them, and would appear where nobody masks them. Test /metadata/resourceVersion"
            }
            Self::Event => {
                "a JSON Patch may not copy, move or test what an Event says: what a probe in a container printed may have values of Secrets in \
                 it, and would appear where nobody masks it. Test /metadata/resourceVersion"
            }
        }
    }
}

/// Annotations of any object, or of a template in it, may hold a Secret's manifest, which is masked there and nowhere else; an object inside
/// another may be a Secret. What stands above a template's annotations takes that name with it, and is masked wherever it gets to.
fn holds_values(path: &[String]) -> bool {
    let annotations = ["metadata", "annotations"];
    path.iter().zip(annotations).all(|(part, expected)| part == expected)
        || path.iter().any(|part| part == "annotations")
        || is_inner_data(path)
}

/// Data of an object inside the one that is patched. A ConfigMap has keys that are called so.
fn is_inner_data(path: &[String]) -> bool {
    let is_data = |part: &String| part == "data" || part == "stringData";
    path.iter().skip(1).any(is_data) && !(path.len() == 2 && path.first().is_some_and(is_data))
}

/// Whether a test would tell if a guess of what is masked in an object that is no Secret is right. Other annotations are nobody's secret, and
/// controllers test them.
fn guesses(path: &[String], value: &Value) -> bool {
    let last_applied = path.last().is_some_and(|last| last == LAST_APPLIED) && !value.is_null();
    last_applied || is_inner_data(path) || path.first().is_none_or(|first| first != "data") && tells_of_secret(value)
}

/// Whether a manifest of a Secret stands in it, as it is or as a text. No deeper than a body is read, so the recursion is bounded.
fn tells_of_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim_start().starts_with(['{', '[']) && text.contains("Secret"),
        Value::Array(items) => items.iter().any(tells_of_secret),
        Value::Object(members) => {
            let is_secret = members.get("kind").and_then(Value::as_str) == Some("Secret");
            let has_data = ["data", "stringData"].iter().any(|name| members.contains_key(*name));
            is_secret && has_data || members.contains_key(LAST_APPLIED) || members.values().any(tells_of_secret)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_plain_metadata(path: &[String]) -> bool {
    matches!(path, [first, second, ..] if first == "metadata" && second != "annotations")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mask::tests::info;
    use crate::request_info::Verb;

    #[test]
    fn m5_operations_on_values() {
        let find = |resource: &str, op: &str, path: &str, from: &str| {
            let patch = json!([{"op": "remove", "path": "/x"}, {"op": op, "path": path, "from": from, "value": "x"}]);
            Oracle::find(&info(resource, Verb::Patch), &MaskedFields::default(), &patch)
        };
        for path in ["/data/x", "/data", "", "/metadata", "/metadata/annotations/x", "/metadata/annotations", "/type"] {
            assert_eq!(find("secrets", "test", path, ""), Some(Oracle::Tests), "{path}");
        }
        for path in ["/metadata/resourceVersion", "/metadata/uid", "/metadata/labels/x"] {
            assert_eq!(find("secrets", "test", path, ""), None, "{path}");
        }
        for op in ["copy", "move"] {
            for from in ["/data/x", "/metadata/labels/x", "/type"] {
                assert_eq!(find("secrets", op, "/metadata/labels/y", from), Some(Oracle::Copies), "{from}");
            }
            for from in ["", "/metadata", "/metadata/annotations", "/metadata/annotations/a~1b"] {
                assert_eq!(find("configmaps", op, "/data/y", from), Some(Oracle::Copies), "{from}");
            }
            for from in [
                "/spec/template/metadata/annotations",
                "/spec/template/metadata/annotations/a",
                "/spec/manifests/0/data/password",
                "/spec/manifests/0/stringData",
                "/data/x/data/y",
            ] {
                assert_eq!(find("deployments", op, "/metadata/labels/x", from), Some(Oracle::Copies), "{from}");
            }
            for from in ["/data/x", "/data/data", "/data", "/metadata/labels", "/spec/replicas", "/spec/template"] {
                assert_eq!(find("configmaps", op, "/data/y", from), None, "{from}");
            }
        }
        assert_eq!(find("configmaps", "test", "/data/y", ""), None);
        let copies = json!([{"op": "copy", "from": "/data/x", "path": "/metadata/labels/y"}]);
        let masked = MaskedFields::parse(&["metadata.labels.token"]).unwrap();
        let find_masked = |patch: &Value| Oracle::find(&info("configmaps", Verb::Patch), &masked, patch);
        assert_eq!(find_masked(&copies), Some(Oracle::Copies));
        for (path, expected) in [
            ("/metadata/labels/token", Some(Oracle::Tests)),
            ("/metadata/labels", Some(Oracle::Tests)),
            ("/metadata/labels/app", None),
            ("/metadata/resourceVersion", None),
        ] {
            assert_eq!(find_masked(&json!([{"op": "test", "path": path, "value": "x"}])), expected, "{path}");
        }
        assert_eq!(find("secrets", "add", "/data/y", ""), None);
    }

    /// What a container of a pod wrote last is masked where it stands.
    #[test]
    fn m7_operations_on_how_containers_have_ended() {
        let find = |resource: &str, op: &str, place: &str| {
            let (path, from) = if op == "test" { (place, "/spec") } else { ("/metadata/labels/x", place) };
            let patch = json!([{"op": op, "path": path, "from": from, "value": "guess"}]);
            ["", "status", "resize", "ephemeralcontainers"].map(|subresource| {
                let info = RequestInfo { subresource: subresource.to_owned(), ..info(resource, Verb::Patch) };
                Oracle::find(&info, &MaskedFields::default(), &patch)
            })
        };
        for op in ["copy", "move", "test"] {
            for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
                for rest in ["", "/0", "/0/state", "/0/state/terminated/message", "/-1/lastState/terminated/reason"] {
                    let place = format!("/status/{list}{rest}");
                    assert_eq!(find("pods", op, &place), [Some(Oracle::LastWords); 4], "{op} {place}");
                }
            }
            assert_eq!(find("pods", op, "/status"), [Some(Oracle::LastWords); 4], "{op}");
            assert_eq!(find("pods", op, "ignored/status/containerStatuses"), [Some(Oracle::LastWords); 4], "{op}");
            for place in [
                "/status/conditions/0",
                "/status/phase",
                "/status/containerStatusesX",
                "/metadata/labels/a",
                "/spec/volumes/0",
            ] {
                assert_eq!(find("pods", op, place), [None; 4], "{op} {place}");
            }
            for place in ["/status", "/status/containerStatuses/0/state"] {
                assert_eq!(find("widgets", op, place), [None; 4], "{op} {place}");
            }
        }
        assert_eq!(find("pods", "test", ""), [Some(Oracle::LastWords); 4]);
        assert_eq!(find("pods", "test", "/metadata/resourceVersion"), [None; 4]);
        assert!(find("pods", "copy", "").iter().all(Option::is_some));
    }

    /// What a probe printed is masked where it stands.
    #[test]
    fn m7_operations_on_what_an_event_says() {
        for group in ["", "events.k8s.io"] {
            let events = RequestInfo { api_group: group.to_owned(), ..info("events", Verb::Patch) };
            let find = |op: &str, place: &str| {
                let (path, from) = if op == "test" { (place, "/reason") } else { ("/metadata/labels/x", place) };
                let patch = json!([{"op": op, "path": path, "from": from, "value": "guess"}]);
                Oracle::find(&events, &MaskedFields::default(), &patch)
            };
            for op in ["copy", "move", "test"] {
                for place in ["/message", "/note", "/message/x"] {
                    assert_eq!(find(op, place), Some(Oracle::Event), "{op} {place}");
                }
                for place in ["/reason", "/metadata/labels/x", "/count"] {
                    assert_eq!(find(op, place), None, "{op} {place}");
                }
            }
            assert_eq!(find("test", ""), Some(Oracle::Event));
            assert!(find("copy", "").is_some());
        }
    }

    /// Of objects that are no Secrets, whose annotations may hold one, as they may themselves.
    #[test]
    fn m5_guesses_of_a_secret_inside_another_object() {
        let find = |path: &str, value: &Value| {
            let patch = json!([{"op": "test", "path": path, "value": value}]);
            Oracle::find(&info("deployments", Verb::Patch), &MaskedFields::default(), &patch)
        };
        let secret = json!({"kind": "Secret", "apiVersion": "v1", "data": {"password": "guess"}});
        let manifest = json!(secret.to_string());
        let last_applied = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
        for (path, value) in [
            (last_applied, json!("guess")),
            ("/metadata/annotations", json!({LAST_APPLIED: "guess"})),
            ("/metadata/annotations/copy", manifest.clone()),
            ("/metadata", json!({"annotations": {"copy": manifest}})),
            ("/spec/template/metadata/annotations/copy", json!([secret]).to_string().into()),
            ("/spec/manifests/0/data/password", json!("guess")),
            ("/spec/manifests/0", secret.clone()),
            ("", json!({"spec": {"manifests": [secret]}})),
        ] {
            assert_eq!(find(path, &value), Some(Oracle::Tests), "{path} {value}");
        }
        for (path, value) in [
            (last_applied, json!(null)),
            ("/metadata/annotations/leader", json!("pod-1")),
            ("/metadata/annotations/leader", json!("{\"holder\":\"pod-1\"}")),
            ("/metadata/annotations", json!({"leader": "pod-1"})),
            ("/metadata/resourceVersion", json!("5")),
            ("/spec/replicas", json!(1)),
            ("/spec/template/spec/volumes/0", json!({"name": "v", "secret": {"secretName": "s"}})),
            ("/data/manifest", manifest),
            ("/data/data", json!("x")),
        ] {
            assert_eq!(find(path, &value), None, "{path} {value}");
        }
    }
}
