//! A malformed twin for each thing that is read: refused, and nothing of it passes.

use super::*;
use crate::protobuf::ProtobufProblem;

fn refused(resource: &str, format: Format, bytes: &[u8]) -> AnswerMaskError {
    let mut masker = AnswerMasker::new(context(resource, Verb::Watch), format);
    let mut out = Vec::new();
    let result = masker.push(bytes, &mut out).and_then(|()| masker.finish(&mut out));
    assert_eq!(out, b"", "nothing passes");
    result.expect_err("it must be refused")
}

fn problem(resource: &str, bytes: &[u8]) -> ProtobufProblem {
    let error = refused(resource, Format::Protobuf, bytes);
    let AnswerMaskError::Protobuf(ProtobufMaskError::Read(BodyError::Protobuf { problem, .. })) = error else {
        panic!("{error:?}");
    };
    problem
}

#[test]
fn m4_envelopes() {
    let good = secret();
    assert!(mask(&context("secrets", Verb::Get), Format::Protobuf, &good).is_ok(), "so that the rest can fail");
    for bytes in [&b"k8s"[..], b"k8s\x01", b"{}", b"K8s\0\x0a\x00", b"\0\0\0\0"] {
        assert_eq!(problem("secrets", bytes), ProtobufProblem::Envelope);
    }
    for (number, name) in [(3, "contentEncoding"), (4, "contentType")] {
        let wrapped = [&good[..good.len() - 4], &field(number, b"gzip")].concat();
        assert_eq!(problem("secrets", &wrapped), ProtobufProblem::Wrapped(name));
    }
    assert_eq!(problem("secrets", &[good.clone(), field(5, b"x")].concat()), ProtobufProblem::UnknownField(5));
    assert_eq!(problem("secrets", &[good.clone(), good.clone()].concat()), ProtobufProblem::UnknownField(13));
    for (api_version, kind) in [("v1", "secret"), ("v2", "Secret"), ("example.com/v1", "Secret"), ("v1", "Widget")] {
        let unknown = whole(api_version, kind, &entry(2, "p", VALUE));
        assert!(matches!(problem("secrets", &unknown), ProtobufProblem::UnknownKind { .. }), "{api_version} {kind}");
    }
    assert_eq!(problem("secrets", &whole("", "Secret", b"")), ProtobufProblem::Missing("apiVersion"));
    assert_eq!(refused("secrets", Format::Protobuf, b""), ProtobufMaskError::Truncated { length: 0 }.into());
    for length in 1..good.len() - 4 {
        refused("secrets", Format::Protobuf, &good[..length]);
    }
}

#[test]
fn m4_messages() {
    let twice = [entry(2, "p", VALUE), entry(2, "p", VALUE)].concat();
    assert_eq!(problem("secrets", &whole("v1", "Secret", &twice)), ProtobufProblem::Duplicate(2));
    let meta = field(1, b"");
    for (raw, expected) in [
        ([meta.clone(), meta.clone()].concat(), ProtobufProblem::Duplicate(1)),
        ([entry(2, "p", VALUE), meta].concat(), ProtobufProblem::Order(1)),
        (field(6, VALUE), ProtobufProblem::UnknownField(6)),
        (vec![0x02, 0x00], ProtobufProblem::UnknownField(0)),
        (vec![0x10, 0x01], ProtobufProblem::WireType { field: 2, expected: 2, got: 0 }),
        (vec![0x15, 1, 2, 3, 4], ProtobufProblem::WireType { field: 2, expected: 2, got: 5 }),
        (vec![0x13, 0x14], ProtobufProblem::UnknownField(2)),
        (vec![0x12, 5, b'a'], ProtobufProblem::Truncated),
        (vec![0x12, 0x80, 0x00], ProtobufProblem::Varint),
    ] {
        assert_eq!(problem("secrets", &whole("v1", "Secret", &raw)), expected, "{raw:?}");
    }
    for (resource, kind, raw) in [
        ("secrets", "Secret", field(2, &[field(1, b"k\xff"), field(2, b"x")].concat())),
        ("secrets", "Secret", field(3, b"\xff")),
        ("pods", "Pod", field(1, &entry(12, "a", b"\xff"))),
        // Also where nothing would be masked.
        ("pods", "Pod", field(2, &field(2, &field(1, b"\xff")))),
        ("pods", "Pod", field(1, &field(11, b""))),
    ] {
        assert!(matches!(problem(resource, &whole("v1", kind, &raw)), ProtobufProblem::Value { .. }), "{kind} {raw:?}");
    }
    // Two Pods one after the other, which Go would merge.
    let both = [field(2, &[0x58, 1]), field(2, &[0x58, 0])].concat();
    assert_eq!(problem("pods", &whole("v1", "Pod", &both)), ProtobufProblem::Duplicate(2));
}

#[test]
fn m4_raw_json_is_one_value() {
    let revision = |raw: &[u8]| whole("apps/v1", "ControllerRevision", &field(2, &field(1, raw)));
    for raw in [
        &br#"1},"x":{"kind":"Secret""#[..],
        br#"{"a":1},"b":{}"#,
        b"",
        b"{",
        br#"{"data":{"p":"x"},"data":{"p":"y"}}"#,
        b"\"\xff\"",
    ] {
        refused("controllerrevisions", Format::Protobuf, &revision(raw));
    }
    refused("controllerrevisions", Format::Protobuf, &revision(&secret()));
    let mut managed = Vec::new();
    put(17, &field(7, &field(1, br#"{"f:data":{"v:\"CANARY\"":{}}}"#)), &mut managed);
    let values = field(1, &managed);
    refused("secrets", Format::Protobuf, &whole("v1", "Secret", &values));
}

#[test]
fn m4_events() {
    let good = frame("ADDED", &secret());
    let watch = |bytes: &[u8]| refused("secrets", Format::ProtobufWatch, bytes);
    for length in 1..good.len() {
        assert!(matches!(
            watch(&good[..length]),
            AnswerMaskError::Protobuf(ProtobufMaskError::Truncated { length: held }) if held == length
        ));
    }
    let framed = |event: &[u8]| [&u32::try_from(event.len()).unwrap().to_be_bytes()[..], event].concat();
    let object = field(2, &field(1, &secret()));
    for event in [
        vec![],
        field(1, b"ADDED"),
        object.clone(),
        [field(1, b"ADDED"), field(2, b"")].concat(),
        [field(1, b"ADDED"), object.clone(), object.clone()].concat(),
        [field(1, b"ADDED"), object.clone(), field(3, b"x")].concat(),
        [field(1, b"\xff"), object].concat(),
        [field(1, b"ADDED"), field(2, &field(1, br#"{"kind":"Secret"}"#))].concat(),
        [field(1, b"ADDED"), field(2, &[field(1, &secret()), field(2, b"x")].concat())].concat(),
        // An object without its event, or with a length more or less.
        secret(),
        good[4..good.len() - 1].to_vec(),
        good[3..].to_vec(),
    ] {
        watch(&framed(&event));
    }
    // Each form under the other's name.
    watch(&secret());
    refused("secrets", Format::Protobuf, &good);
    watch(br#"{"type":"ADDED","object":{"kind":"Secret"}}"#);
}

#[test]
fn m4_what_is_too_long_is_refused_before_it_is_read() {
    let limit = MASK_PROTOBUF_BYTES;
    let expected = AnswerMaskError::from(ProtobufMaskError::TooLong { limit });
    let length = u32::try_from(limit + 1).unwrap().to_be_bytes();
    assert_eq!(refused("secrets", Format::ProtobufWatch, &length), expected);
    assert_eq!(refused("secrets", Format::ProtobufWatch, &[0xff; 4]), expected);
    assert_eq!(refused("secrets", Format::Protobuf, &vec![b'k'; limit + 1]), expected);
    let mut masker = AnswerMasker::new(context("secrets", Verb::Get), Format::Protobuf);
    masker.push(&vec![b'k'; limit], &mut Vec::new()).unwrap();
    assert_eq!(masker.push(b"k", &mut Vec::new()), Err(expected.clone()));
    assert_eq!(masker.push(b"", &mut Vec::new()), Err(expected), "and it stays so");
    // Bombs: what a few bytes would become is counted.
    let items = field(2, b"").repeat(shared::limits::BODY_NODES + 1);
    refused("secrets", Format::Protobuf, &whole("v1", "SecretList", &items));
}
