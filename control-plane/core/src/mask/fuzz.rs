//! What must hold for any bytes whatever; run by the fuzz target and, over its corpus, by an ordinary test.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde_json::Value;

use super::release::{self, Payload};
use super::{
    AnswerMaskError, AnswerMasker, Format, MaskContext, MaskError, Masker, PlaceholderKey, PlaceholderKeys,
    is_placeholder, mask_value,
};
use crate::body::{self, BodyKind};
use crate::request_info::{RequestInfo, Verb};

/// See [`super::fuzz_mask`].
pub(super) fn fuzz(data: &[u8]) {
    for (resource, verb) in [
        ("secrets", Verb::Get),
        ("pods", Verb::List),
        ("secrets", Verb::Watch),
        ("configmaps", Verb::Watch),
        ("events", Verb::List),
    ] {
        let context = context(resource, verb);
        alike(data, &context);
        let whole = run(&context, std::iter::once(data));
        for size in [1, 7] {
            let pieces = run(&context, data.chunks(size));
            assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok(), "chunks of {size}");
        }
        let Ok(output) = whole else {
            continue;
        };
        // (A top-level array is a JSON Patch to the reference.)
        if let Ok(value) = serde_json::from_slice::<Value>(data)
            && !value.is_array()
            && says_what_it_is(&value)
        {
            assert!(serde_json::from_slice::<Value>(&output).is_ok(), "JSON in, JSON out");
            nothing_left(&value, data, &output, &context);
        }
    }
}

/// A list of what is like it, which is compared instead of read where an object is seen whole, comes out as one that is read byte by byte.
fn alike(object: &[u8], context: &MaskContext) {
    let other = |by: u8| {
        // Digits but for those of versions, and letters that few names have that matter; some become two, or none.
        let mut before = 0;
        let changed = move |byte: &u8| {
            let version = matches!(std::mem::replace(&mut before, *byte), b'v' | b'V');
            let (byte, times) = match byte {
                b'0'..=b'9' if !version => (b'0' + (byte - b'0' + by) % 10, 1),
                b'q' | b'w' => (byte - by % 2, 1),
                b'x' | b'z' => (*byte, usize::from(by) % 3),
                byte => (*byte, 1),
            };
            std::iter::repeat_n(byte, times)
        };
        object.iter().flat_map(changed).collect::<Vec<_>>()
    };
    let objects = [0, 1, 2, 3, 0].map(other).join(b",".as_slice());
    let list = |start: &str, middle: &str| {
        let middle = if middle.is_empty() { Vec::new() } else { [middle.as_bytes(), &objects].concat() };
        [start.as_bytes(), &objects, &middle, b"]}"].concat()
    };
    for list in [
        list(r#"{"kind":"List","apiVersion":"v1","items":["#, ""),
        list(r#"{"metadata":{"name":"list"},"items":["#, ""),
        // The same ones in a list within, of which other things are presumed.
        list(r#"{"kind":"List","apiVersion":"v1","items":[{"kind":"MapList","apiVersion":"v1","items":["#, "]},"),
    ] {
        let whole = run(context, std::iter::once(list.as_slice()));
        let pieces = run(context, list.chunks(1));
        assert_eq!(whole, pieces, "objects that are alike");
    }
}

/// See [`super::fuzz_mask_answer`].
pub(super) fn fuzz_answer(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let format = match choice % 3 {
        0 => Format::Protobuf,
        1 => Format::ProtobufWatch,
        _ => Format::Json,
    };
    let gzip = choice % 6 >= 3;
    for (resource, verb) in [("secrets", Verb::Get), ("pods", Verb::Watch)] {
        let context = context(resource, verb);
        let whole = run_answer(&context, format, gzip, std::iter::once(bytes));
        for size in [1, 7] {
            let pieces = run_answer(&context, format, gzip, bytes.chunks(size));
            assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok(), "chunks of {size}");
        }
        let Ok(masked) = whole else { continue };
        if format == Format::Json {
            continue;
        }
        // A placeholder is made of places alone, so nothing is left to mask. (Raw JSON in which something was masked is written with
        // its members sorted, so that a name or kind may come later than before: placeholders of one length, or too late.)
        if let Ok(again) = run_answer(&context, format, false, std::iter::once(masked.as_slice())) {
            assert_eq!(again.len(), masked.len(), "masked twice");
        }
        if format == Format::Protobuf && !gzip {
            values_are_gone(bytes, &masked);
        }
    }
}

/// See [`super::fuzz_mask_release`].
pub(super) fn fuzz_release(data: &[u8]) {
    let context = context("secrets", Verb::Get);
    let Some(Payload { document: mut masked, .. }) = Payload::open_bytes(STANDARD.encode(data).as_bytes()) else {
        return;
    };
    if release::mask_document(&mut masked, &context, "default", "sh.helm.release.v1.web.v1").is_none() {
        return;
    }
    for pointer in release::manifests(&masked) {
        let manifest = masked.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
        let pieces = release::pieces(manifest);
        assert!(pieces.is_some(), "what was written can't be read: {manifest}");
        let mut secrets = Vec::new();
        let documents: Vec<_> = pieces.into_iter().flatten().filter_map(|piece| piece.document).collect();
        documents.iter().for_each(|document| release::secrets(document, String::new(), &mut secrets));
        for field in secrets.iter().flat_map(|(_, secret)| release::fields(secret, "")) {
            let masked = field.value.is_null() || field.value.as_str().is_some_and(is_placeholder);
            assert!(masked, "{field:?}");
        }
    }
}

/// What policy could read before can be read still, and holds no value.
fn values_are_gone(before: &[u8], masked: &[u8]) {
    let read = |bytes| body::parse(Some("application/vnd.kubernetes.protobuf"), BodyKind::Object, bytes);
    if read(before).is_ok()
        && let Ok(object) = read(masked).map(|body| body.value)
        && object.get("kind").and_then(Value::as_str) == Some("Secret")
    {
        for section in ["data", "stringData"] {
            let values =
                object.get(section).and_then(Value::as_object).into_iter().flat_map(|section| section.values());
            assert!(values.into_iter().all(|value| value.as_str().is_some_and(is_placeholder)), "{object}");
        }
    }
}

fn run_answer<'a>(
    context: &MaskContext,
    format: Format,
    gzip: bool,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, AnswerMaskError> {
    let masker = AnswerMasker::new(context.clone(), format);
    let mut masker = if gzip { masker.inflating() } else { masker };
    let mut output = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut output)?;
    }
    masker.finish(&mut output)?;
    Ok(output)
}

/// Whether each `kind` and `apiVersion` is a string. Of several the reference sees the last, which may then say nothing.
fn says_what_it_is(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(says_what_it_is),
        Value::Object(members) => members.iter().all(|(name, value)| {
            says_what_it_is(value) && (value.is_string() || name != "kind" && name != "apiVersion")
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Every value that the reference masks, and that stands nowhere else in the input, is gone.
fn nothing_left(value: &Value, input: &[u8], output: &[u8], context: &MaskContext) {
    let mut masked = value.clone();
    mask_value(&mut masked, context);
    let mut values = Vec::new();
    differences(value, &masked, &mut values);
    for value in values {
        // As it would be written inside a string.
        let text = Value::String(value).to_string();
        let text = text.trim_matches('"').as_bytes();
        if text.len() >= 6 && memmem::find_iter(input, text).count() == 1 {
            assert!(memmem::find(output, text).is_none(), "{}", String::from_utf8_lossy(text));
        }
    }
}

fn differences(before: &Value, after: &Value, values: &mut Vec<String>) {
    match (before, after) {
        (Value::String(before), Value::String(after)) if is_placeholder(after) => values.push(before.clone()),
        (Value::Array(before), Value::Array(after)) => {
            before.iter().zip(after).for_each(|(before, after)| differences(before, after, values));
        }
        (Value::Object(before), Value::Object(after)) => {
            for (name, before) in before {
                // Where a token stands is judged as it comes (typed objects say their kind first), and an annotation that
                // serde_json can't read is replaced whole by the reference alone. `data` among metadata, which no object has, is
                // known where the object has said before that it is one.
                let Some(after) = after.get(name).filter(|_| name != "token" && name != "annotations") else {
                    continue;
                };
                if let Some(metadata) = before.as_object().filter(|_| name == "metadata") {
                    let known = |(name, _): &(&String, &Value)| name != &"data" && name != &"stringData";
                    let metadata = metadata.iter().filter(known).map(|(name, value)| (name.clone(), value.clone()));
                    differences(&Value::Object(metadata.collect()), after, values);
                } else {
                    differences(before, after, values);
                }
            }
        }
        _ => {}
    }
}

fn run<'a>(context: &MaskContext, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, MaskError> {
    let mut masker = Masker::new(context.clone());
    let mut output = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut output)?;
    }
    masker.finish()?;
    Ok(output)
}

fn context(resource: &str, verb: Verb) -> MaskContext {
    let info = RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb,
        api_group: String::new(),
        api_version: "v1".to_owned(),
        namespace: "default".to_owned(),
        resource: resource.to_owned(),
        subresource: String::new(),
        name: "db".to_owned(),
        proxy_path: String::new(),
    };
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    MaskContext::response(Arc::new(keys), "prod", &info)
}
