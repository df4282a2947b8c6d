//! The one way past the masks: named values of one object in one state, which people have approved (SECURITY.md, disclosure). Of a Secret they
//! are keys of its `data`; of any other object fields that policy masks, and never a value of a Secret that stands in it.
//!
//! The object is held whole, masked as ever, and only then are the named values put back: whatever is not understood stays masked.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::limits::LIVE_OBJECT_BYTES;

use super::request::Room;
use super::{FieldPath, MaskContext, MaskError, MaskSummary, MaskedFields, RevealedFields, fields, value};
use crate::body::{Budget, json};
use crate::version_pin::VersionPin;

/// The masker of an answer in which values are to be seen. One per body, of JSON: what the API server is asked for then.
#[derive(Debug)]
pub(super) struct Revealer {
    context: MaskContext,
    pin: VersionPin,
    held: Vec<u8>,
}

impl Revealer {
    pub(super) const fn new(context: MaskContext, pin: VersionPin) -> Self {
        Self { context, pin, held: Vec::new() }
    }

    pub(super) fn push(&mut self, input: &[u8]) -> Result<(), MaskError> {
        if self.held.len() + input.len() > LIVE_OBJECT_BYTES {
            return Err(MaskError::FieldsTooLong { limit: LIVE_OBJECT_BYTES });
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    pub(super) const fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<MaskSummary, MaskError> {
        let Self { context, pin, held } = self;
        let whole = |error| MaskError::of_whole(&error);
        let mut budget = Budget::of_answer();
        let mut answer = json::read_answer(&held, &mut budget).map_err(whole)?;
        let document = &mut answer.value;
        let names = pin.revealed().filter(|_| pin.holds(Some(document)).is_ok());
        let mut real = Vec::new();
        if let Some(keys) = names.filter(|_| context.secrets) {
            real = taken(document, keys_of_secret(document, keys));
        }
        // Of other objects what is left when values of Secrets are masked, wherever those stand.
        let others = context.clone().with_fields(MaskedFields::default());
        let mut masked = value::mask_all(document, &others, &mut Room::endless()) as u64;
        if let Some(names) = names.filter(|_| !context.secrets) {
            let fields = RevealedFields::parse(names).ok().filter(|fields| fields.is_within(&context.fields));
            real = taken(document, fields.map(|fields| fields.places(document)).unwrap_or_default());
        }
        masked += fields::mask_within(document, &context, &mut budget).map_err(whole)?;
        let shown = real.len() as u64;
        for (place, value) in real {
            if let Some(field) = document.pointer_mut(&place) {
                *field = value;
            }
        }
        json::write(&held, &answer, out).map_err(|_| MaskError::Fields)?;
        Ok(MaskSummary { masked: masked.saturating_sub(shown), documents: 1 })
    }
}

/// Where the named values of a Secret stand; nowhere if it is none.
fn keys_of_secret(document: &Value, keys: &BTreeSet<String>) -> Vec<String> {
    let is = |field: &str, text: &str| document.get(field).and_then(Value::as_str) == Some(text);
    if !is("kind", "Secret") || !is("apiVersion", "v1") {
        return Vec::new();
    }
    keys.iter().map(|key| FieldPath::from(vec!["data".to_owned(), key.clone()]).to_string()).collect()
}

fn taken(document: &Value, places: Vec<String>) -> Vec<(String, Value)> {
    let value = |place: String| document.pointer(&place).cloned().map(|value| (place, value));
    places.into_iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mask::tests::context;
    use crate::request_info::Verb;

    fn secret() -> Value {
        json!({"kind": "Secret", "apiVersion": "v1",
            "metadata": {"name": "db", "namespace": "shop", "uid": "u", "resourceVersion": "5", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration":
                    r#"{"kind":"Secret","apiVersion":"v1","data":{"password":"cmVhbA==","user":"YWRtaW4="}}"#}},
            "data": {"password": "cmVhbA==", "user": "YWRtaW4="}})
    }

    fn pin(version: &str) -> VersionPin {
        let live = json!({"metadata": {"uid": "u", "resourceVersion": version}});
        VersionPin::of_reveal(Some(&live), &["password".to_owned(), "none".to_owned()].into())
    }

    fn shown(document: &Value, pin: VersionPin) -> Value {
        let text = document.to_string();
        let mut revealer = Revealer::new(context("secrets", Verb::Get), pin);
        let (start, end) = text.as_bytes().split_at(text.len() / 2);
        revealer.push(start).unwrap();
        revealer.push(end).unwrap();
        let mut out = Vec::new();
        revealer.finish(&mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn only_the_named_value_is_seen() {
        let shown = shown(&secret(), pin("5"));
        assert_eq!(shown["data"]["password"], "cmVhbA==");
        assert!(super::super::is_placeholder(shown["data"]["user"].as_str().unwrap()), "{shown}");
        assert!(!shown["metadata"]["annotations"].to_string().contains("cmVhbA"), "{shown}");
    }

    /// Whatever can be read in two ways, or not by us, may be the copy of a value that nobody has named.
    #[test]
    fn a_copy_that_is_read_otherwise_is_not_shown() {
        let twice = r#"{"kind":"Secret","apiVersion":"v1","data":{"user":"YWRtaW4="},"data":{}}"#;
        let deep = format!(r#"{{"a":{}{},"data":{{"user":"YWRtaW4="}}}}"#, "[".repeat(130), "]".repeat(130));
        let applied = "kubectl.kubernetes.io/last-applied-configuration";
        for (name, text) in [
            (applied, twice),
            ("example.com/x", twice),
            ("example.com/x", &deep),
            ("example.com/x", r#"{"a":1e999,"data":{"user":"YWRtaW4="}}"#),
            ("example.com/x", r#"{"data":{"user":"YWRtaW4="},}"#),
            ("example.com/x", r#"{"data":{"user":"YWRtaW4=""#),
        ] {
            let mut secret = secret();
            secret["metadata"]["annotations"] = json!({name: text, "plain": "[see above]"});
            let shown = shown(&secret, pin("5"));
            assert_eq!(shown["data"]["password"], "cmVhbA==");
            assert!(!shown.to_string().contains("YWRtaW4"), "{text}: {shown}");
        }
    }

    #[test]
    fn anything_else_stays_masked() {
        let changed = |pointer: &str, value: Value| {
            let mut document = secret();
            *document.pointer_mut(pointer).unwrap() = value;
            document
        };
        let list = json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {"uid": "u", "resourceVersion": "5"}, "items": [secret()]});
        for (document, pin) in [
            (secret(), pin("6")),
            (secret(), VersionPin::None),
            (changed("/metadata/uid", json!("v")), pin("5")),
            (changed("/metadata/resourceVersion", json!("")), pin("5")),
            (changed("/kind", json!("List")), pin("5")),
            (changed("/apiVersion", json!("v2")), pin("5")),
            (list, pin("5")),
        ] {
            let shown = shown(&document, pin).to_string();
            assert!(!shown.contains("cmVhbA"), "{shown}");
        }
    }

    #[test]
    fn of_other_objects_named_fields_are_seen_and_never_a_secrets() {
        let pin = |fields: &[&str]| {
            let live = json!({"metadata": {"uid": "u", "resourceVersion": "5"}});
            VersionPin::of_reveal(Some(&live), &fields.iter().map(|field| (*field).to_owned()).collect())
        };
        let user = |name: &str| json!({"name": name, "token": format!("real-{name}")});
        let inner = json!({"kind": "Secret", "apiVersion": "v1", "data": {"password": "cmVhbA=="}});
        let spec = json!({"users": [user("ann"), user("bob")], "admin": {"token": "real-admin", "inner": inner}});
        let applied = json!({"spec": spec}).to_string();
        let login = json!({"kind": "Login", "apiVersion": "example.com/v1", "spec": spec, "metadata": {
            "name": "l", "namespace": "shop", "uid": "u", "resourceVersion": "5",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}}});
        let fields = MaskedFields::parse(&["spec.users[*].token", "spec.admin"]).unwrap();
        let shown = |login: &Value, pin: VersionPin| {
            let context = context("logins", Verb::Get).with_fields(fields.clone());
            let mut revealer = Revealer::new(context, pin);
            revealer.push(login.to_string().as_bytes()).unwrap();
            let mut out = Vec::new();
            revealer.finish(&mut out).unwrap();
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        let seen = |shown: &Value| {
            let text = shown.to_string();
            assert!(!text.contains("cmVhbA"), "{text}");
            ["real-ann", "real-bob", "real-admin"].map(|value| text.matches(value).count())
        };
        assert_eq!(seen(&shown(&login, pin(&["spec.users[name=ann].token"]))), [1, 0, 0]);
        assert_eq!(seen(&shown(&login, pin(&["spec.users[*].token"]))), [1, 1, 0]);
        assert_eq!(seen(&shown(&login, pin(&["spec.admin"]))), [0, 0, 1], "but not the Secret in it");
        assert_eq!(seen(&shown(&login, pin(&["spec.admin.inner"]))), [0, 0, 0]);
        // As it is written, and nothing that can be read in two ways.
        for none in ["spec.Admin", "spec.a*", "spec.users[0].token", "spec.users.token", "metadata.annotations"] {
            assert_eq!(seen(&shown(&login, pin(&[none]))), [0, 0, 0], "{none}");
        }
        let mut other = login.clone();
        other["metadata"]["resourceVersion"] = json!("6");
        assert_eq!(seen(&shown(&other, pin(&["spec.admin"]))), [0, 0, 0], "another state");
        let list = json!({"kind": "LoginList", "apiVersion": "example.com/v1", "metadata": {"resourceVersion": "5"}, "items": [login]});
        assert_eq!(seen(&shown(&list, pin(&["items[*].spec.admin", "spec.admin"]))), [0, 0, 0], "a list");
    }

    #[test]
    fn what_is_too_long_or_no_json_ends_the_answer() {
        let mut revealer = Revealer::new(context("secrets", Verb::Get), pin("5"));
        assert!(revealer.push(&vec![b' '; LIVE_OBJECT_BYTES + 1]).is_err());
        revealer.push(b"{").unwrap();
        assert!(revealer.finish(&mut Vec::new()).is_err());
        // Short, and much in memory.
        let mut revealer = Revealer::new(context("secrets", Verb::Get), pin("5"));
        let maps = r#"{"":0},"#.repeat(shared::limits::ANSWER_TREE_BYTES / 600);
        revealer.push(format!(r#"{{"kind":"Secret","x":[{maps}0]}}"#).as_bytes()).unwrap();
        assert!(matches!(revealer.finish(&mut Vec::new()), Err(MaskError::FieldsTooMany { .. })));
    }
}
