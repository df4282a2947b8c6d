//! What tells masked elements of a list from others is not changed under them (SECURITY.md M5).

use serde_json::{Value, json};

use super::*;
use crate::body::Encoding;
use crate::mask::tests::info;

fn renamed(group: &str, field: &str, encoding: Encoding, patch: &Value) -> Option<String> {
    let fields = MaskedFields::parse(&[field]).unwrap();
    let info = crate::request_info::RequestInfo { api_group: group.to_owned(), ..info("things", Verb::Patch) };
    fields.renamed(&info, encoding, patch).map(|path| path.to_string())
}

#[test]
fn m5_a_json_patch_renames_no_masked_element() {
    let field = "spec.*containers[*].env[name=*SECRET*].value";
    let found = |op: &str, path: &str| {
        renamed(
            "",
            field,
            Encoding::JsonPatch,
            &json!([{"op": "add", "path": "/x", "value": 1}, {"op": op, "path": path, "value": "PUBLIC"}]),
        )
    };
    for op in ["add", "remove", "replace"] {
        for path in [
            "/spec/containers/0/env/0/name",
            "/spec/initContainers/-1/env/-/name",
            "/spec/CONTAINERS/1/env/00/name",
            "/spec/containers/0/env/0/name/x",
        ] {
            assert_eq!(found(op, path).as_deref(), Some(path), "{op}");
        }
        for path in [
            "",
            "/spec",
            "/spec/containers/0/name",
            "/spec/containers/0/env",
            "/spec/containers/0/env/0",
            "/spec/containers/0/env/0/value",
            "/spec/containers/0/env/0/names",
            "/spec/volumes/0/env/0/name",
            "/metadata/name",
        ] {
            assert_eq!(found(op, path), None, "{op} {path}");
        }
    }
    // Each step of a pattern that looks at a member.
    let field = "spec.containers[image=*vault*].env[name=*SECRET*].value";
    for path in ["/spec/containers/0/image", "/spec/containers/0/env/0/name"] {
        let patch = json!([{"op": "replace", "path": path, "value": "x"}]);
        assert_eq!(renamed("", field, Encoding::JsonPatch, &patch).as_deref(), Some(path));
    }
}

#[test]
fn m5_lists_that_are_merged_rename_nothing_that_is_masked() {
    for encoding in [Encoding::StrategicMergePatch, Encoding::ApplyPatch] {
        let env = "spec.*containers[*].env[name=*SECRET*].value";
        let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "c"}], "containers": [{"name": "c",
            "$setElementOrder/env": [{"name": "PUBLIC"}, {"name": "APP_SECRET"}], "env": [{"name": "PUBLIC", "value": "x"}]}]}});
        // The API server tells variables by their names: another name is another variable.
        assert_eq!(renamed("apps", env, encoding, &patch), None);
        // Of what others define, nobody here knows.
        let named = Some("/spec/containers/0/env/0/name".to_owned());
        assert_eq!(renamed("example.com", env, encoding, &patch), named);
        let ports = "spec.ports[name=*secret*].nodePort";
        for (patch, expected) in [
            (json!({"spec": {"ports": [{"port": 80, "name": "public"}]}}), Some("/spec/ports/0/name")),
            (json!({"spec": {"ports": [{"port": 80, "name": null}]}}), Some("/spec/ports/0/name")),
            (
                json!({"spec": {"ports": [{"port": 80, "$retainKeys": ["port", "nodePort"]}]}}),
                Some("/spec/ports/0/$retainKeys"),
            ),
            (json!({"spec": {"ports": [{"port": 80, "targetPort": 81}]}}), None),
            (json!({"spec": {"other": [{"port": 80, "name": "public"}]}}), None),
        ] {
            assert_eq!(renamed("", ports, encoding, &patch).as_deref(), expected, "{patch}");
        }
        let image = json!({"spec": {"containers": [{"name": "c", "image": "x"}]}});
        let found = renamed("", "spec.containers[image=*vault*].args", encoding, &image);
        assert_eq!(found.as_deref(), Some("/spec/containers/0/image"));
        // Policy that looks at no member has nothing that could be changed.
        assert_eq!(renamed("example.com", "spec.containers[*].env[*].value", encoding, &patch), None);
    }
    // Lists are replaced whole.
    for encoding in [Encoding::MergePatch, Encoding::Json] {
        let patch = json!({"spec": {"ports": [{"port": 80, "name": "public"}]}});
        assert_eq!(renamed("", "spec.ports[name=*secret*].nodePort", encoding, &patch), None);
    }
}

#[test]
fn places_at_in_and_above_a_field() {
    let fields = MaskedFields::parse(&["metadata.labels.token", "spec.users[*].token"]).unwrap();
    for (path, expected) in [
        ("", true),
        ("/metadata", true),
        ("/metadata/labels/token", true),
        ("/spec/users/0/token/x", true),
        ("/metadata/labels/app", false),
        ("/metadata/resourceVersion", false),
        ("/spec/users/0/name", false),
    ] {
        assert_eq!(fields.touch(&crate::mask::changes::pointer(path)), expected, "{path}");
    }
}
