use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

mod alike;
mod carriers;
mod inflate;
mod kept;
mod malformed;
mod placeholders;
mod properties;
mod requests;
mod status;
mod unexpected;

/// Stands for a value; must never come out.
pub(super) const CANARY: &str = "Q0FOQVJZLXZhbHVl";

pub(in crate::mask) fn keys() -> Arc<PlaceholderKeys> {
    Arc::new(PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None))
}

pub(in crate::mask) fn info(resource: &str, verb: Verb) -> RequestInfo {
    RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb,
        api_group: String::new(),
        api_version: "v1".to_owned(),
        namespace: "default".to_owned(),
        resource: resource.to_owned(),
        subresource: String::new(),
        name: String::new(),
        proxy_path: String::new(),
    }
}

pub(in crate::mask) fn context(resource: &str, verb: Verb) -> MaskContext {
    MaskContext::response(keys(), "prod", &info(resource, verb))
}

pub(in crate::mask) fn run(context: &MaskContext, pieces: &[&[u8]]) -> Result<(String, MaskSummary), MaskError> {
    let mut masker = Masker::new(context.clone());
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out)?;
    }
    let summary = masker.finish()?;
    let text = String::from_utf8(out);
    assert!(text.is_ok(), "masked output is UTF-8");
    Ok((text.unwrap_or_default(), summary))
}

/// Masks in one piece, in single bytes and cut in two at every place, and shows that all give the same.
pub(super) fn mask(context: &MaskContext, text: &str) -> Result<(String, MaskSummary), MaskError> {
    let bytes = text.as_bytes();
    let whole = run(context, &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(run(context, &single).ok(), whole.clone().ok(), "byte by byte: {text}");
    for at in 0..bytes.len().min(3000) {
        let (start, end) = bytes.split_at(at);
        assert_eq!(run(context, &[start, end]).ok(), whole.clone().ok(), "cut at {at}: {text}");
    }
    whole
}

/// The masked document, which must be free of the canary.
pub(super) fn masked(resource: &str, text: &str) -> Value {
    let (out, summary) = mask(&context(resource, Verb::Get), text).unwrap();
    assert!(!out.contains(CANARY), "{out}");
    assert!(summary.masked > 0, "{out}");
    serde_json::from_str(&out).unwrap()
}

/// Comes out as it went in.
pub(super) fn passes(resource: &str, text: &str) {
    let (out, summary) = mask(&context(resource, Verb::Get), text).unwrap();
    assert_eq!((out.as_str(), summary.masked), (text, 0));
}

pub(super) fn secret() -> Value {
    json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "db", "namespace": "default"}, "data": {"p": CANARY}})
}

/// Members in the order in which the API server writes typed objects (serde_json sorts them).
pub(super) const SECRET: &str = r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"db","namespace":"default"},"data":{"p":"Q0FOQVJZLXZhbHVl"},"type":"Opaque"}"#;

#[test]
fn corpora_of_the_fuzz_targets() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 5] = [
        ("mask", fuzz_mask),
        ("answer", fuzz_mask_answer),
        ("release", fuzz_mask_release),
        ("values", values::fuzz_values),
        ("placeholder", fuzz_placeholder),
    ];
    for (target, run) in targets {
        let mut files = 0;
        for entry in std::fs::read_dir(format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            run(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 20, "{target}: {files} files");
    }
}
