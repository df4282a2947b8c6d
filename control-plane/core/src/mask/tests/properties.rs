//! Over arbitrary documents, in arbitrary pieces.

use proptest::prelude::*;

use super::*;

/// JSON that keeps the order of members, and their doubles.
#[derive(Clone, Debug)]
enum Json {
    Plain(Value),
    Array(Vec<Self>),
    Object(Vec<(&'static str, Self)>),
    /// A document in a string.
    Text(Box<Self>),
}

impl Json {
    /// With blanks wherever there may be some.
    fn print(&self, blank: &str, out: &mut String) {
        match self {
            Self::Plain(value) => out.push_str(&value.to_string()),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(blank);
                    item.print(blank, out);
                    out.push_str(blank);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(&format!("{blank}{}{blank}:{blank}", Value::from(*name)));
                    value.print(blank, out);
                    out.push_str(blank);
                }
                out.push('}');
            }
            Self::Text(document) => {
                let mut text = String::new();
                document.print(blank, &mut text);
                out.push_str(&Value::from(text).to_string());
            }
        }
    }

    /// As the API server writes typed objects: kind and apiVersion first (and both or none), metadata next, no doubles.
    fn typed(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Array(items) => items.iter_mut().for_each(Self::typed),
            Self::Text(document) => document.typed(),
            Self::Object(members) => {
                members.sort_by_key(|(name, _)| match *name {
                    "kind" => 0,
                    "apiVersion" => 1,
                    "metadata" => 2,
                    _ => 3,
                });
                let mut seen = Vec::new();
                members.retain(|(name, _)| {
                    !seen.contains(name) && {
                        seen.push(*name);
                        true
                    }
                });
                let kind = Self::Plain(Value::from("Widget"));
                match members.first_mut() {
                    Some(("kind", Self::Plain(Value::String(_)))) => {}
                    Some(("kind", other)) => *other = kind,
                    _ if seen.contains(&"apiVersion") => members.insert(0, ("kind", kind)),
                    _ => {}
                }
                members.iter_mut().for_each(|(_, member)| member.typed());
            }
        }
    }
}

const NAMES: &[&str] = &[
    "kind",
    "apiVersion",
    "kind",
    "apiVersion",
    "data",
    "stringData",
    "data",
    "metadata",
    "items",
    "annotations",
    "object",
    "rows",
    "name",
    "namespace",
    "spec",
    "message",
    "note",
    "cells",
    "x",
    "é",
    LAST_APPLIED,
];

fn json(names: &'static [&'static str]) -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        4 => prop::sample::select(vec!["Secret", "SecretList", "List", "ConfigMap", "v1", "apps/v1", "Table", "probe failed: x"])
            .prop_map(|text| Json::Plain(Value::from(text))),
        4 => "[a-zA-Z0-9\"\\\\ é]{6,20}".prop_map(|text| Json::Plain(Value::from(text))),
        1 => "[a-zA-Z0-9]{50,140}[\"\\\\\n é]?[a-z]{0,70}".prop_map(|text| Json::Plain(Value::from(text))),
        1 => any::<i32>().prop_map(|number| Json::Plain(Value::from(number))),
        1 => any::<Option<bool>>().prop_map(|value| Json::Plain(Value::from(value))),
    ];
    leaf.prop_recursive(7, 80, 7, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            1 => inner.clone().prop_map(|document| Json::Text(Box::new(document))),
            6 => prop::collection::vec((prop::sample::select(names), inner), 0..7).prop_map(Json::Object),
        ]
    })
}

fn printed(json: &Json) -> String {
    let mut text = String::new();
    json.print("", &mut text);
    text
}

/// Placeholders alike, documents in strings as documents: what is left to differ is what was masked.
fn leveled(value: &Value) -> Value {
    match value {
        Value::String(text) if is_placeholder(text) => Value::from("placeholder"),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            // Also one in a text in a text.
            Ok(inner) if inner.is_object() || inner.is_array() || inner.is_string() => {
                json!({"document": leveled(&inner)})
            }
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(leveled).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), leveled(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn m1_nothing_is_left_and_pieces_do_not_matter(document in json(NAMES)) {
        fuzz_mask(printed(&document).as_bytes());
    }

    #[test]
    fn m1_typed_documents_are_masked_as_the_reference_does(
        mut document in json(NAMES),
        resource in prop::sample::select(vec!["secrets", "widgets", "events"]),
    ) {
        document.typed();
        let text = printed(&document);
        let context = context(resource, Verb::Get);
        if let Ok((out, _)) = run(&context, &[text.as_bytes()]) {
            let mut expected: Value = serde_json::from_str(&text).unwrap();
            if !expected.is_array() {
                mask_value(&mut expected, &context);
                let out: Value = serde_json::from_str(&out).unwrap();
                prop_assert_eq!(leveled(&out), leveled(&expected), "{}", text);
            }
        }
    }

    #[test]
    fn m1_blanks_and_where_blocks_end_do_not_matter(
        document in json(NAMES),
        blank in prop::sample::select(vec!["", " ", "\n\t "]),
        before in 0..130_usize,
    ) {
        let mut text = " ".repeat(before);
        document.print(blank, &mut text);
        fuzz_mask(text.as_bytes());
        for resource in ["secrets", "widgets", "events"] {
            let context = context(resource, Verb::Get);
            let leveled = |text: &str| {
                run(&context, &[text.as_bytes()]).ok().map(|(out, _)| leveled(&serde_json::from_str(&out).unwrap()))
            };
            prop_assert_eq!(leveled(&text), leveled(&printed(&document)), "{}", text);
        }
    }

    #[test]
    fn m4_any_bytes(bytes in prop::collection::vec(prop::sample::select(br#"{}[]:,"\nu0e-1tal "#.to_vec()), 0..40)) {
        fuzz_mask(&bytes);
        // Whatever serde_json reads, the masker reads too, and the other way round but for lone surrogates and huge numbers.
        let serde = serde_json::from_slice::<Value>(&bytes).is_ok();
        let ours = run(&context("widgets", Verb::Get), &[&bytes]).is_ok();
        prop_assert!(!serde || ours);
        prop_assert!(!ours || serde || bytes.windows(2).any(|pair| pair == b"\\u" || pair[0] == b'e'));
    }
}
