//! What each reader takes and refuses. The cases made by Go lie in `testdata/body` (see `scripts/protobuf-table`).

mod hostile;
mod json;
pub(crate) mod protobuf;
mod yaml;

use super::{
    BodyError, BodyKind, Budget, Encoding, ParsedBody, canonical, fuzz_body, fuzz_kind, memory, of_text, parse, wire,
};
use serde_json::{Value, json};
use std::path::PathBuf;

fn folder(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(content_type: &str, bytes: impl AsRef<[u8]>) -> Result<ParsedBody, BodyError> {
    let kind = if content_type.contains("patch") { BodyKind::Patch } else { BodyKind::Object };
    parse(Some(content_type), kind, bytes.as_ref())
}

fn value(content_type: &str, bytes: impl AsRef<[u8]>) -> Value {
    read(content_type, bytes).unwrap().value
}

#[test]
fn content_types_choose_the_reader_as_the_api_server_does() {
    let object = |content_type| parse(content_type, BodyKind::Object, b"{}").map(|body| body.encoding);
    assert_eq!(object(None), Ok(Encoding::Json));
    assert_eq!(object(Some("")), Ok(Encoding::Json));
    assert_eq!(object(Some("application/json; charset=utf-8")), Ok(Encoding::Json));
    assert_eq!(object(Some("Application/JSON")), Ok(Encoding::Json));
    assert_eq!(object(Some("application/yaml;a=b")), Ok(Encoding::Yaml));
    for other in
        ["text/plain", "application/cbor", "application/json, application/yaml", "*/*", "application/json-patch+json"]
    {
        assert!(matches!(object(Some(other)), Err(BodyError::MediaType { got, .. }) if got == other));
    }
    let patch = |content_type| parse(content_type, BodyKind::Patch, b"{}").map(|body| body.encoding);
    assert_eq!(patch(Some("application/merge-patch+json;charset=utf-8")), Ok(Encoding::MergePatch));
    assert_eq!(patch(Some("application/strategic-merge-patch+json")), Ok(Encoding::StrategicMergePatch));
    assert_eq!(patch(Some("application/apply-patch+yaml")), Ok(Encoding::ApplyPatch));
    // Exact bytes before `;`, as `handlers/patch.go` compares them.
    for other in [
        None,
        Some(""),
        Some("application/json"),
        Some("Application/merge-patch+json"),
        Some(" application/merge-patch+json"),
    ] {
        assert!(matches!(patch(other), Err(BodyError::MediaType { .. })), "{other:?}");
    }
    assert!(matches!(patch(Some("application/json-patch+json")), Err(BodyError::Shape { .. })));
}

#[test]
fn the_size_of_a_body_is_bounded() {
    assert_eq!(read("application/json", ""), Err(BodyError::Empty));
    let limit = shared::limits::REQUEST_BODY_BYTES;
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(limit));
    assert_eq!(read("application/json", &long), Err(BodyError::TooLong { limit, got: long.len() }));
    assert!(read("application/json", format!("{{\"a\":\"{}\"}}", "x".repeat(limit - 8))).is_ok());
}

#[test]
fn canonical_json_has_one_form_per_value() {
    let one =
        value("application/json", r#"{"b":[1,2.50,-0,1e30,null],"a":{"\u00e9":"\u2028\u0007\"","é2":true},"":0}"#);
    let form = "{\"\":0,\"a\":{\"é\":\"\u{2028}\\u0007\\\"\",\"é2\":true},\"b\":[1,2.5,0,1e+30,null]}";
    assert_eq!(String::from_utf8(canonical(&one)).unwrap(), form);
    // RFC 8785 §3.2.3: keys in the order of their UTF-16 code units, so an astral character stands before U+FB33.
    let keys = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
    let sorted = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
    assert_eq!(String::from_utf8(canonical(&keys)).unwrap(), sorted);
    for (text, form) in [
        ("1.0", "1.0"),
        ("1e3", "1000.0"),
        ("333333333.3333333", "333333333.3333333"),
        ("1e-7", "1e-7"),
        ("0.000001", "0.000001"),
        ("1e21", "1e+21"),
        ("-1.5e-10", "-1.5e-10"),
        ("9223372036854775807", "9223372036854775807"),
        ("18446744073709551615", "18446744073709551615"),
    ] {
        let body = value("application/json", format!("{{\"a\":{text}}}"));
        assert_eq!(String::from_utf8(canonical(&body)).unwrap(), format!("{{\"a\":{form}}}"));
    }
}

#[test]
fn what_is_forwarded_reads_the_same_as_json_and_as_yaml() {
    let text = "{\"a\":\"\\u0085\\u2028\\u2029\\ufeff\\u007f\\u0000\\ud83d\\ude00 é\\\\ \\/\",\"\\u2029\":1.5}";
    let body = value("application/json", text);
    let written = wire(&body);
    assert_eq!(value("application/json", &written), body);
    assert_eq!(value("application/apply-patch+yaml", &written), body);
    assert_eq!(value("application/yaml", &written), body);
}

/// Runs every input of the fuzzer's corpus, so that the target keeps working without a fuzzer. Files named `ok-…` must be read, or the
/// corpus has rotted.
#[test]
fn the_corpus_of_the_fuzzer_passes() {
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder("fuzz/corpus/body")).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        fuzz_body(&data);
        let (content_type, kind) = fuzz_kind(data[0]);
        let read = parse(Some(content_type), kind, &data[1..]);
        let ok = path.file_name().unwrap().to_string_lossy().starts_with("ok-");
        assert_eq!(read.is_ok(), ok, "{}: {read:?}", path.display());
        inputs += 1;
    }
    assert!(inputs >= 15, "{inputs} inputs");
}
