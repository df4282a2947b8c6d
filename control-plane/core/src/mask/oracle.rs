//! What a JSON Patch (RFC 6902) may not do around masked values: its operations reach values that nobody sees, and put them, or what
//! they tell of them, where nobody masks (SECURITY.md M5). Refused by policy with a sentence, and by the agent whatever was granted.

use serde_json::Value;

use super::MaskedFields;
use super::changes::pointer;
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
}

impl Oracle {
    /// The first operation of a JSON Patch that no one may make. `masked`: what policy masks of this resource, which is then treated as
    /// a Secret is.
    pub fn find(info: &RequestInfo, masked: &MaskedFields, patch: &Value) -> Option<Self> {
        let secret = !masked.is_empty() || info.api_group.is_empty() && info.resource == "secrets";
        patch.as_array()?.iter().find_map(|operation| {
            let place = |name: &str| operation.get(name).and_then(Value::as_str).map(pointer).unwrap_or_default();
            match operation.get("op").and_then(Value::as_str)? {
                "copy" | "move" if secret || holds_annotations(&place("from")) => Some(Self::Copies),
                // Preconditions on metadata are how a version is pinned; what else a Secret has is its values.
                "test" if secret && !is_plain_metadata(&place("path")) => Some(Self::Tests),
                "test" if masked.touch(&place("path")) => Some(Self::Tests),
                _ => None,
            }
        })
    }

    /// Why not.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Copies => {
                "a JSON Patch may not copy or move within a Secret, nor from annotations: a value would appear where nobody masks it"
            }
            Self::Tests => "a JSON Patch may not test a Secret's values: every answer would tell something about them",
        }
    }
}

/// Annotations of any object may hold a Secret's manifest, which is masked there and nowhere else.
fn holds_annotations(path: &[String]) -> bool {
    let annotations = ["metadata", "annotations"];
    path.iter().zip(annotations).all(|(part, expected)| part == expected)
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
            for from in ["/data/x", "/metadata/labels", "/spec/metadata/annotations"] {
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
}
