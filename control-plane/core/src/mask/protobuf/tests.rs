//! Protobuf is masked as its JSON is (SECURITY.md M1, M4, M5).

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::body::tests::protobuf::{envelope as whole, field, objects};
use crate::body::{self, BodyKind};
use crate::mask::tests::{CANARY, context, run as run_json};
use crate::mask::{AnswerMaskError, AnswerMasker, Format, LAST_APPLIED, is_placeholder};
use crate::request_info::Verb;

mod malformed;
mod pods;
mod release;
mod said;

/// As bytes what [`CANARY`] is in base64.
pub(super) const VALUE: &[u8] = b"CANARY-value";

pub(super) fn run(
    context: &MaskContext,
    format: Format,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, MaskSummary), AnswerMaskError> {
    let mut masker = AnswerMasker::new(context.clone(), format);
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out)?;
    }
    let summary = masker.finish(&mut out)?;
    Ok((out, summary))
}

/// Masks in one piece, in single bytes and cut in two at every place, and shows that all give the same.
pub(super) fn mask(
    context: &MaskContext,
    format: Format,
    bytes: &[u8],
) -> Result<(Vec<u8>, MaskSummary), AnswerMaskError> {
    let one = run(context, format, &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(run(context, format, &single).ok(), one.as_ref().ok().cloned());
    for at in 0..bytes.len().min(2000) {
        let (start, end) = bytes.split_at(at);
        assert_eq!(run(context, format, &[start, end]).ok(), one.as_ref().ok().cloned(), "cut at {at}");
    }
    one
}

pub(super) fn read(bytes: &[u8]) -> Value {
    body::parse(Some("application/vnd.kubernetes.protobuf"), BodyKind::Object, bytes).unwrap().value
}

pub(super) fn frame(kind: &str, object: &[u8]) -> Vec<u8> {
    let event = [field(1, kind.as_bytes()), field(2, &field(1, object))].concat();
    [&u32::try_from(event.len()).unwrap().to_be_bytes()[..], &event].concat()
}

pub(super) fn entry(number: u8, key: &str, value: &[u8]) -> Vec<u8> {
    field(number, &[field(1, key.as_bytes()), field(2, value)].concat())
}

pub(super) fn metadata(annotations: &[(&str, &str)]) -> Vec<u8> {
    let mut metadata = [field(1, b"db"), field(3, b"default")].concat();
    for (key, value) in annotations {
        metadata.extend(entry(12, key, value.as_bytes()));
    }
    metadata
}

pub(super) fn secret() -> Vec<u8> {
    whole("v1", "Secret", &[field(1, &metadata(&[])), entry(2, "p", VALUE), field(3, b"Opaque")].concat())
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}

/// The corpus: every built-in kind, filled with arbitrary values by Go, in protobuf and in Go's JSON.
#[test]
fn m4_every_object_is_masked_as_its_json_is() {
    let (mut same, mut refused, mut masked) = (0, 0, 0);
    for (wire, text) in objects() {
        for (resource, verb) in [("secrets", Verb::Get), ("pods", Verb::Get), ("configmaps", Verb::Watch)] {
            let context = context(resource, verb);
            let what = || String::from_utf8_lossy(&text).into_owned();
            let ours = run(&context, Format::Protobuf, &[&wire]);
            let Ok((expected, summary)) = run_json(&context, &[&text]) else {
                refused += 1;
                continue;
            };
            let (ours, our_summary) = ours.unwrap_or_else(|error| panic!("{error:?}: {}", what()));
            let expected = json::read(expected.as_bytes(), &mut Budget::default()).unwrap();
            assert_eq!(first_difference(&read(&ours), &expected), None, "{}", what());
            assert_eq!(our_summary.masked, summary.masked, "{}", what());
            if summary.masked == 0 {
                assert_eq!(ours, wire, "what isn't masked is copied");
            }
            masked += u32::from(summary.masked > 0);
            same += 1;
        }
    }
    assert!(
        same > 3000 && refused < 100 && masked > 20,
        "{same} alike, {refused} refused, {masked} with something masked"
    );
}

/// Where two documents differ, and what stands there: whole ones are too long to read.
fn first_difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            let mut pairs = one.iter().zip(other.values());
            pairs.find_map(|((name, one), other)| Some(format!("/{name}{}", first_difference(one, other)?)))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(at, (one, other))| Some(format!("/{at}{}", first_difference(one, other)?)))
        }
        _ => (one != other).then(|| format!(": {one} and {other}")),
    }
}

#[test]
fn m5_the_same_placeholder_in_both_encodings() {
    let (out, summary) = mask(&context("secrets", Verb::Get), Format::Protobuf, &secret()).unwrap();
    assert_eq!(summary, MaskSummary { masked: 1, documents: 1 });
    assert!(!contains(&out, VALUE));
    let text = format!(
        r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"db","namespace":"default"}},"data":{{"p":"{CANARY}"}},"type":"Opaque"}}"#
    );
    let (expected, _) = run_json(&context("secrets", Verb::Get), &[text.as_bytes()]).unwrap();
    assert_eq!(read(&out), serde_json::from_str::<Value>(&expected).unwrap());
    assert!(is_placeholder(read(&out)["data"]["p"].as_str().unwrap()));
}

#[test]
fn m1_each_event_of_a_watch() {
    let bookmark = whole("v1", "Secret", &field(1, &field(6, b"12")));
    let status =
        whole("v1", "Status", &[field(2, b"Failure"), field(3, br#"Secret "db" is invalid: CANARY-value"#)].concat());
    let pod = whole("v1", "Pod", &[field(1, &metadata(&[("a", "b")])), field(2, &field(2, &field(1, b"c")))].concat());
    let events = [
        frame("ADDED", &secret()),
        frame("BOOKMARK", &bookmark),
        frame("MODIFIED", &pod),
        frame("DELETED", &secret()),
        frame("ERROR", &status),
    ];
    for resource in ["secrets", "pods"] {
        let (out, summary) = mask(&context(resource, Verb::Watch), Format::ProtobufWatch, &events.concat()).unwrap();
        assert_eq!(summary, MaskSummary { masked: 3, documents: 5 });
        assert!(!contains(&out, b"CANARY"));
        for same in [&events[1], &events[2]] {
            assert!(contains(&out, same), "byte for byte");
        }
        let (first, _) = run(&context(resource, Verb::Get), Format::Protobuf, &[&secret()]).unwrap();
        assert!(out.starts_with(&frame("ADDED", &first)) && contains(&out, &frame("DELETED", &first)));
    }
    let nothing = mask(&context("pods", Verb::Watch), Format::ProtobufWatch, b"").unwrap();
    assert_eq!(nothing, (Vec::new(), MaskSummary::default()));
}

/// An event is out when its last byte was in.
#[test]
fn m1_no_event_waits_for_the_next() {
    let mut masker = AnswerMasker::new(context("secrets", Verb::Watch), Format::ProtobufWatch);
    let event = frame("ADDED", &secret());
    let mut out = Vec::new();
    for round in 1..4 {
        let (start, end) = event.split_at(event.len() - 1);
        let before = out.len();
        masker.push(start, &mut out).unwrap();
        assert_eq!(out.len(), before);
        masker.push(end, &mut out).unwrap();
        assert_eq!(out.len() % round, 0);
        assert!(out.len() > before);
    }
}

#[test]
fn m2_documents_in_annotations_of_every_kind() {
    let applied = format!(
        "{{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{{\"name\":\"db\"}},\"data\":{{\"p\":\"{CANARY}\"}}}}\n"
    );
    let annotations = field(1, &metadata(&[("note", "plain [text"), (LAST_APPLIED, &applied), ("other", &applied)]));
    let template = field(2, &field(3, &field(1, &entry(12, "x", applied.as_bytes()))));
    for (object, count) in [
        (whole("v1", "Secret", &annotations), 2),
        (whole("v1", "ConfigMap", &annotations), 2),
        (whole("apps/v1", "Deployment", &[annotations.clone(), template].concat()), 3),
        (whole("meta.k8s.io/v1", "PartialObjectMetadata", &annotations), 2),
        (whole("v1", "SecretList", &field(2, &annotations)), 2),
        (whole("v1", "PodList", &[field(2, b""), field(2, &annotations)].concat()), 2),
    ] {
        let (out, summary) = run(&context("widgets", Verb::Get), Format::Protobuf, &[&object]).unwrap();
        let object = read(&out);
        assert_eq!(summary.masked, count, "{object}");
        let text = object.to_string();
        assert!(!text.contains(CANARY) && text.contains("plain [text"), "{text}");
        // The text around the value stays as it was, to the line break.
        assert!(text.contains(
            r#"{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"db\"},\"data\":{\"p\":\""#
        ));
        assert!(text.contains("\\\"}}\\n"), "{text}");
    }
}

#[test]
fn m3_status_and_m7_tokens() {
    let quoting = br#"Secret "db" is invalid: data[p]: Invalid value: "CANARY-value""#;
    let cause = field(4, &[field(1, b"FieldValueInvalid"), field(2, quoting)].concat());
    let status = |message: &[u8]| {
        whole("v1", "Status", &[field(3, message), field(5, &[field(3, b"secrets"), cause.clone()].concat())].concat())
    };
    let (out, summary) = mask(&context("secrets", Verb::Update), Format::Protobuf, &status(quoting)).unwrap();
    assert!(!contains(&out, b"CANARY") && summary.masked == 2, "{}", read(&out));
    let harmless = whole("v1", "Status", &field(3, br#"secrets "db" not found"#));
    assert_eq!(run(&context("secrets", Verb::Get), Format::Protobuf, &[&harmless]).unwrap().0, harmless);

    let token = whole(
        "authentication.k8s.io/v1",
        "TokenRequest",
        &[field(2, &field(1, b"aud")), field(3, &field(1, VALUE))].concat(),
    );
    let review = whole("authentication.k8s.io/v1", "TokenReview", &field(2, &field(1, VALUE)));
    for object in [token, review] {
        let (out, summary) = mask(&context("serviceaccounts", Verb::Create), Format::Protobuf, &object).unwrap();
        assert!(!contains(&out, VALUE) && summary.masked == 1, "{}", read(&out));
    }
}

#[test]
fn m1_raw_json_inside() {
    let applied = format!(r#"{{"kind":"Secret","apiVersion":"v1","data":{{"p":"{CANARY}"}}}}"#);
    let revision = whole(
        "apps/v1",
        "ControllerRevision",
        &[field(1, &metadata(&[])), field(2, &field(1, applied.as_bytes()))].concat(),
    );
    let (out, _) = mask(&context("controllerrevisions", Verb::Get), Format::Protobuf, &revision).unwrap();
    assert!(!read(&out).to_string().contains(CANARY));
    let harmless = whole("apps/v1", "ControllerRevision", &field(2, &field(1, br#" {"b" : 1.5,"a":[]} "#)));
    assert_eq!(run(&context("controllerrevisions", Verb::Get), Format::Protobuf, &[&harmless]).unwrap().0, harmless);
    let list = whole("v1", "List", &field(2, &field(1, applied.as_bytes())));
    let (out, _) = mask(&context("widgets", Verb::Get), Format::Protobuf, &list).unwrap();
    assert!(!contains(&out, CANARY.as_bytes()));
}

#[test]
fn m4_fields_of_a_newer_api() {
    let unknown = |bytes: &[u8]| field(15, bytes);
    let pod = |more: &[u8]| whole("v1", "Pod", &[field(1, &metadata(&[])), more.to_vec()].concat());
    let asked = |resource, object: &[u8]| run(&context(resource, Verb::Get), Format::Protobuf, &[object]);
    for harmless in [unknown(b"text"), vec![0x78, 1], unknown(&field(1, b"nested"))] {
        let pod = pod(&harmless);
        assert_eq!(asked("pods", &pod).unwrap().0, pod);
        assert!(asked("secrets", &pod).is_err());
        assert!(asked("pods", &whole("v1", "Secret", &harmless)).is_err());
    }
    for other in [b"{\"kind\":\"Secret\"}".as_slice(), b"[1]", LAST_APPLIED.as_bytes(), b"k8s\0"] {
        assert!(asked("pods", &pod(&unknown(other))).is_err());
        assert!(asked("pods", &pod(&unknown(&field(1, other)))).is_err());
    }
}

/// A Secret that is filled in any way, in both encodings.
#[derive(Clone, Debug)]
struct Filled {
    wire: Vec<u8>,
    json: String,
}

fn pairs(values: &'static str) -> impl Strategy<Value = Vec<(String, String)>> {
    let pairs = prop::collection::btree_map("[a-z\"\\\\é.]{1,6}", values, 0..4);
    pairs.prop_map(|pairs| pairs.into_iter().collect())
}

fn filled() -> impl Strategy<Value = Filled> {
    let name = prop_oneof![Just(""), Just("db"), Just("other")];
    let namespace = prop_oneof![Just(""), Just("default"), Just("é")];
    let kind = prop_oneof![3 => Just("Secret"), 1 => Just("ConfigMap")];
    let values = "(CANARY-value|[a-zA-Z0-9{\\[\"\\\\ é]{0,12})";
    (name, namespace, kind, pairs(values), pairs(values), pairs(values), any::<bool>()).prop_map(
        |(name, namespace, kind, data, texts, annotations, applied)| {
            let mut annotations = annotations;
            if applied {
                let text = json!({"kind": kind, "apiVersion": "v1", "data": {"p": CANARY}, "stringData": {"q": "CANARY-value"}});
                annotations.push((LAST_APPLIED.to_owned(), text.to_string()));
            }
            build(name, namespace, kind, &data, &texts, &annotations)
        },
    )
}

fn build(
    name: &str,
    namespace: &str,
    kind: &str,
    data: &[(String, String)],
    texts: &[(String, String)],
    annotations: &[(String, String)],
) -> Filled {
    use base64::Engine as _;
    let mut meta = Vec::new();
    let mut members = Vec::new();
    for (number, key, text) in [(1, "name", name), (3, "namespace", namespace)] {
        if !text.is_empty() {
            meta.extend(field(number, text.as_bytes()));
            members.push(format!("{}:{}", json!(key), json!(text)));
        }
    }
    let object = |pairs: &[(String, String)], value: &dyn Fn(&str) -> Value| {
        let members: Vec<_> = pairs.iter().map(|(key, text)| format!("{}:{}", json!(key), value(text))).collect();
        format!("{{{}}}", members.join(","))
    };
    annotations.iter().for_each(|(key, text)| meta.extend(entry(12, key, text.as_bytes())));
    if !annotations.is_empty() {
        members.push(format!("\"annotations\":{}", object(annotations, &|text| json!(text))));
    }
    let mut raw = field(1, &meta);
    data.iter().for_each(|(key, text)| raw.extend(entry(2, key, text.as_bytes())));
    let base64 = |text: &str| json!(base64::engine::general_purpose::STANDARD.encode(text));
    let is_secret = kind == "Secret";
    let mut json = format!(r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{{}}}"#, members.join(","));
    // Go leaves empty maps out.
    if !data.is_empty() {
        json += &format!(",\"data\":{}", object(data, &|text| if is_secret { base64(text) } else { json!(text) }));
    }
    if is_secret && !texts.is_empty() {
        texts.iter().for_each(|(key, text)| raw.extend(entry(4, key, text.as_bytes())));
        json += &format!(",\"stringData\":{}", object(texts, &|text| json!(text)));
    }
    Filled { wire: whole("v1", kind, &raw), json: json + "}" }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn m1_any_secret_is_masked_as_its_json_is(
        filled in filled(),
        resource in prop::sample::select(vec!["secrets", "configmaps"]),
        size in 1_usize..40,
    ) {
        let context = context(resource, Verb::Get);
        let (expected, summary) = run_json(&context, &[filled.json.as_bytes()]).unwrap();
        let pieces: Vec<_> = filled.wire.chunks(size).collect();
        let (ours, our_summary) = run(&context, Format::Protobuf, &pieces).unwrap();
        prop_assert_eq!(read(&ours), serde_json::from_str::<Value>(&expected).unwrap());
        prop_assert_eq!(our_summary.masked, summary.masked);
        prop_assert!(!contains(&ours, b"CANARY-value") || expected.contains("CANARY-value"));
        // And as an event.
        let events = [frame("ADDED", &filled.wire), frame("MODIFIED", &filled.wire)].concat();
        let pieces: Vec<_> = events.chunks(size).collect();
        let (masked, _) = run(&context, Format::ProtobufWatch, &pieces).unwrap();
        prop_assert_eq!(masked, [frame("ADDED", &ours), frame("MODIFIED", &ours)].concat());
    }

    #[test]
    fn m4_any_change_of_a_byte_is_masked_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = secret();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        for (format, bytes) in [(Format::Protobuf, bytes.clone()), (Format::ProtobufWatch, frame("ADDED", &bytes))] {
            if let Ok((out, _)) = run(&context("secrets", Verb::Watch), format, &[&bytes]) {
                prop_assert!(!contains(&out, b"CANARY"));
            }
        }
    }
}
