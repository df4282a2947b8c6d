use super::*;
use crate::body::ProtobufProblem;
use std::io::Read;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Objects made by Go: protobuf with envelope, and JSON.
pub(crate) fn objects() -> Vec<(Vec<u8>, Vec<u8>)> {
    let packed = std::fs::read(folder("testdata/body/objects.gz")).unwrap();
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap();
    let mut rest = plain.as_slice();
    let mut part = || {
        let (length, after) = rest.split_first_chunk()?;
        let (part, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        rest = after;
        Some(part.to_vec())
    };
    std::iter::from_fn(|| Some((part()?, part()?))).collect()
}

/// A field with bytes.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], length(bytes.len()).as_slice(), bytes].concat()
}

fn length(mut length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out
}

pub(crate) fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, raw), field(3, b""), field(4, b"")].concat()
}

fn problem(bytes: &[u8]) -> ProtobufProblem {
    match read(PROTOBUF, bytes) {
        Err(BodyError::Protobuf { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_object_reads_as_the_json_that_go_prints() {
    let objects = objects();
    assert!(objects.len() > 1300, "{}", objects.len());
    for (wire, json) in objects {
        let json = super::super::json::read(&json, &mut Default::default()).unwrap();
        let body = match read(PROTOBUF, &wire) {
            Ok(body) => body.value,
            Err(error) => panic!("{error}: {json}"),
        };
        assert_eq!(body, json, "{} {}", json["apiVersion"], json["kind"]);
    }
}

#[test]
fn quantities_are_rewritten_as_go_does_or_refused() {
    let cases = std::fs::read_to_string(folder("testdata/body/quantities.tsv")).unwrap();
    let (mut same, mut refused) = (0, Vec::new());
    for (text, theirs) in cases.lines().map(|line| line.split_once('\t').unwrap()) {
        let limits = field(1, &[field(1, b"cpu"), field(2, &field(1, text.as_bytes()))].concat());
        let pod = field(2, &field(2, &field(8, &limits)));
        let body = read(PROTOBUF, envelope("v1", "Pod", &pod)).map(|body| body.value);
        let ours = body
            .as_ref()
            .ok()
            .map(|body| body["spec"]["containers"][0]["resources"]["limits"]["cpu"].as_str().unwrap());
        match ours {
            Some(ours) => {
                assert_eq!(ours, theirs, "{text:?}");
                same += 1;
            }
            None if theirs.is_empty() => {}
            None => refused.push(format!("{text} {theirs}")),
        }
    }
    let refused_alone = refused.join(", ");
    assert!(same > 1300 && refused.len() < 400, "{same} alike, refused by us alone: {refused_alone}");
}

#[test]
fn two_concatenated_pods_are_refused() {
    let (one, other) = (field(2, &[0x58, 1]), field(2, &[0x58, 0]));
    assert_eq!(value(PROTOBUF, envelope("v1", "Pod", &one))["spec"]["hostNetwork"], json!(true));
    let both = [one, other].concat();
    assert_eq!(problem(&envelope("v1", "Pod", &both)), ProtobufProblem::Duplicate(2));
    let type_meta = field(1, &[field(1, b"v1"), field(2, b"Pod")].concat());
    let twice = [b"k8s\0".to_vec(), type_meta, field(2, b""), field(2, &field(2, &[0x58, 1]))].concat();
    assert_eq!(problem(&twice), ProtobufProblem::Duplicate(2));
}

#[test]
fn scalars_and_map_keys_come_once() {
    let name_twice = field(1, &[field(1, b"a"), field(1, b"b")].concat());
    assert_eq!(problem(&envelope("v1", "Secret", &name_twice)), ProtobufProblem::Duplicate(1));
    let entry = |value: &[u8]| field(2, &[field(1, b"k"), field(2, value)].concat());
    assert_eq!(value(PROTOBUF, envelope("v1", "Secret", &entry(b"x")))["data"], json!({"k": "eA=="}));
    assert_eq!(problem(&envelope("v1", "Secret", &[entry(b"x"), entry(b"y")].concat())), ProtobufProblem::Duplicate(2));
    let inner = field(2, &[field(1, b"k"), field(2, b"x"), field(2, b"y")].concat());
    assert_eq!(problem(&envelope("v1", "Secret", &inner)), ProtobufProblem::Duplicate(2));
    // A list in a message of its own: absent is nil, present is not.
    let verbs = |resource: &[u8]| {
        value(PROTOBUF, envelope("v1", "APIResourceList", &field(2, resource)))["resources"][0]["verbs"].clone()
    };
    assert_eq!((verbs(b""), verbs(&field(4, b""))), (Value::Null, json!([])));
    assert_eq!(verbs(&field(4, &[field(1, b"get"), field(1, b"")].concat())), json!(["get", ""]));
    // Go leaves nil bytes out of an entry; a key it always writes.
    assert_eq!(value(PROTOBUF, envelope("v1", "Secret", &field(2, &field(1, b"k"))))["data"], json!({"k": ""}));
    assert!(matches!(
        problem(&envelope("v1", "Secret", &field(2, &field(2, b"x")))),
        ProtobufProblem::Value { field: 2, .. }
    ));
}

#[test]
fn what_go_would_skip_or_cut_is_refused() {
    let pod = |spec: &[u8]| problem(&envelope("v1", "Pod", &field(2, spec)));
    assert_eq!(pod(&[0xf8, 0x3f, 1]), ProtobufProblem::UnknownField(1023));
    assert_eq!(pod(&[0x00, 1]), ProtobufProblem::UnknownField(0));
    assert_eq!(pod(&[0x0b, 0x0c]), ProtobufProblem::UnknownField(1), "a group");
    assert_eq!(pod(&field(11, b"x")), ProtobufProblem::WireType { field: 11, expected: 0, got: 2 });
    assert_eq!(pod(&[0x58, 0x81, 0x00]), ProtobufProblem::Varint, "overlong");
    assert_eq!(pod(&[0xd8, 0x00, 1]), ProtobufProblem::Varint, "overlong tag");
    assert_eq!(pod(&[&[0x58][..], &[0xff; 9], &[0x02]].concat()), ProtobufProblem::Varint, "65 bits");
    assert_eq!(pod(&[&[0x58][..], &[0x80; 10], &[0x01]].concat()), ProtobufProblem::Varint);
    assert!(matches!(pod(&[0x58, 2]), ProtobufProblem::Value { field: 11, .. }), "a boolean of 2");
    let one_more = [0xc8, 0x01, 0x80, 0x80, 0x80, 0x80, 0x08];
    assert!(matches!(pod(&one_more), ProtobufProblem::Value { field: 25, .. }), "an int32 of 2^31");
    assert!(matches!(pod(&field(3, b"\xff")), ProtobufProblem::Value { field: 3, .. }), "no UTF-8");
    assert_eq!(pod(&[0x58]), ProtobufProblem::Truncated);
    assert_eq!(pod(&[0x1a, 5, b'a']), ProtobufProblem::Truncated);
    assert_eq!(pod(&[&[0x1a][..], &[0xff; 9], &[0x01]].concat()), ProtobufProblem::Truncated, "a length of 2^64 - 1");
}

#[test]
fn the_envelope_says_what_the_object_is_and_nothing_else() {
    for bytes in [&b"k8s"[..], b"k8s\x01", b"{}", b"K8s\0\x0a\x00"] {
        assert_eq!(problem(bytes), ProtobufProblem::Envelope);
    }
    assert_eq!(problem(b"k8s\0"), ProtobufProblem::Missing("kind"));
    assert_eq!(problem(&envelope("", "Pod", b"")), ProtobufProblem::Missing("apiVersion"));
    assert_eq!(problem(&envelope("v1", "", b"")), ProtobufProblem::Missing("kind"));
    let pod = envelope("v1", "Pod", b"");
    assert_eq!(problem(&pod[..pod.len() - 6]), ProtobufProblem::Missing("object"));
    assert_eq!(value(PROTOBUF, &pod[..pod.len() - 4])["kind"], json!("Pod"), "the two empty fields may be absent");
    for (number, name) in [(3, "contentEncoding"), (4, "contentType")] {
        let wrapped = [&pod[..pod.len() - 4], &field(number, b"gzip")].concat();
        assert_eq!(problem(&wrapped), ProtobufProblem::Wrapped(name));
    }
    assert_eq!(problem(&[pod, field(5, b"x")].concat()), ProtobufProblem::UnknownField(5));
    for (api_version, kind) in
        [("v2", "Pod"), ("v1", "pod"), ("apps/v1", "Pod"), ("example.com/v1", "Widget"), ("*", "Pod")]
    {
        assert!(
            matches!(problem(&envelope(api_version, kind, b"")), ProtobufProblem::UnknownKind { .. }),
            "{api_version} {kind}"
        );
    }
    // DeleteOptions come with the version of any group.
    for api_version in ["v1", "meta.k8s.io/v1", "apps/v1", "example.com/v7"] {
        let expected = json!({"kind": "DeleteOptions", "apiVersion": api_version, "propagationPolicy": "Orphan", "dryRun": ["All"]});
        let raw = [field(4, b"Orphan"), field(5, b"All")].concat();
        assert_eq!(value(PROTOBUF, envelope(api_version, "DeleteOptions", &raw)), expected);
    }
}

#[test]
fn a_value_of_two_forms_is_refused() {
    let port = |int_or_string: &[u8]| envelope("v1", "Service", &field(2, &field(1, &field(4, int_or_string))));
    let read_port = |bytes: &[u8]| value(PROTOBUF, port(bytes))["spec"]["ports"][0]["targetPort"].clone();
    assert_eq!(read_port(&[8, 0, 16, 80, 26, 0]), json!(80));
    assert_eq!(read_port(&[8, 1, 16, 0, 26, 1, b'h']), json!("h"));
    for bytes in [&[8, 0, 16, 80, 26, 1, b'h'][..], &[8, 1, 16, 80, 26, 1, b'h'], &[8, 2, 16, 80]] {
        assert!(matches!(problem(&port(bytes)), ProtobufProblem::Value { .. }), "{bytes:?}");
    }
    let items = |either: &[u8]| {
        let schema = field(1, &[&[0xc2, 0x01, either.len() as u8], either].concat());
        let version = field(7, &[field(1, b"v1"), field(4, &schema)].concat());
        envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", &field(2, &version))
    };
    assert!(read(PROTOBUF, items(&field(1, b""))).is_ok());
    assert!(matches!(problem(&items(&[field(1, b""), field(2, b"")].concat())), ProtobufProblem::Value { .. }));
}

#[test]
fn times_are_printed_as_go_prints_them() {
    let created = |time: &[u8]| {
        read(PROTOBUF, envelope("v1", "Secret", &field(1, &field(8, time))))
            .map(|body| body.value["metadata"]["creationTimestamp"].clone())
    };
    assert_eq!(created(&[]), Ok(Value::Null));
    assert_eq!(created(&[8, 0, 16, 0]), Ok(json!("1970-01-01T00:00:00Z")));
    assert_eq!(created(&[16, 5]), Ok(json!("1970-01-01T00:00:00Z")), "nanoseconds are not in Time's JSON");
    assert_eq!(created(&[8, 0xff, 0xf1, 0xc9, 0xf6, 0x05]), Ok(json!("2020-05-30T15:17:19Z")));
    for bytes in [&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..], &[16, 0x80, 0x94, 0xeb, 0xdc, 0x03]] {
        assert!(created(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn raw_json_inside_counts_as_part_of_the_body() {
    let revision = |raw: &[u8]| read(PROTOBUF, envelope("apps/v1", "ControllerRevision", &field(2, &field(1, raw))));
    assert_eq!(revision(br#"{"a":[1]}"#).unwrap().value["data"], json!({"a": [1]}));
    assert!(matches!(revision(br#"{"a":1,"a":2}"#), Err(BodyError::DuplicateKey { .. })));
    assert!(matches!(revision(b""), Err(BodyError::Syntax { .. })));
    assert!(matches!(revision(&envelope("v1", "Secret", b"")), Err(BodyError::Syntax { .. })), "protobuf in protobuf");
    let depth = shared::limits::BODY_DEPTH - 1;
    assert!(matches!(revision(&[vec![b'['; depth], vec![b']'; depth]].concat()), Err(BodyError::Depth { .. })));
}

#[test]
fn bombs_are_refused() {
    // Each empty container costs two bytes and would be an object with several members.
    let containers = field(2, &field(2, b"").repeat(shared::limits::BODY_NODES));
    assert!(matches!(read(PROTOBUF, envelope("v1", "Pod", &containers)), Err(BodyError::Memory { .. })));
    let mut schema = Vec::new();
    for _ in 0..shared::limits::BODY_DEPTH {
        schema = field(30, &field(2, &schema));
        schema.splice(..1, [0xf2, 0x01]); // the tag of field 30 takes two bytes
    }
    let version = field(7, &field(4, &field(1, &schema)));
    let got = read(PROTOBUF, envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", &field(2, &version)));
    assert_eq!(got, Err(BodyError::Depth { limit: shared::limits::BODY_DEPTH }));
}
