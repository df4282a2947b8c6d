//! What the kubelet quotes of a container is left out in protobuf as in JSON (SECURITY.md M7).

use super::*;
use crate::mask::mask_value;
use crate::mask::printed::PRINTED;
use crate::request_info::RequestInfo;

/// By itself and in a watch; it comes out as the reference has it.
fn shown(info: &RequestInfo, bytes: &[u8]) -> (Value, u64) {
    let of = |verb| {
        let info = RequestInfo { verb, ..info.clone() };
        MaskContext::response(crate::mask::tests::keys(), "prod", &info)
    };
    let (out, summary) = mask(&of(Verb::Get), Format::Protobuf, bytes).unwrap();
    let mut expected = read(bytes);
    mask_value(&mut expected, &of(Verb::Get));
    assert_eq!(read(&out), expected);
    let (watched, _) = mask(&of(Verb::Watch), Format::ProtobufWatch, &frame("ADDED", bytes)).unwrap();
    assert_eq!(contains(&watched, CANARY.as_bytes()), contains(&out, CANARY.as_bytes()));
    (expected, summary.masked)
}

#[test]
fn m7_what_a_probe_printed_in_protobuf() {
    let refused = "dial tcp 10.0.0.1:80: connect: connection refused";
    for (group, version, number, member) in
        [("", "v1", 4, "message"), ("events.k8s.io", "events.k8s.io/v1", 10, "note")]
    {
        let info = RequestInfo { api_group: group.to_owned(), ..crate::mask::tests::info("events", Verb::Get) };
        let event = |printed: &str| {
            let said = format!("Liveness probe failed: {printed}");
            [field(1, &metadata(&[])), field(number, said.as_bytes())].concat()
        };
        let one = |printed: &str| shown(&info, &whole(version, "Event", &event(printed)));
        let (object, masked) = one(CANARY);
        assert_eq!((&object[member], masked), (&json!(format!("Liveness probe failed: {PRINTED}")), 1));
        let (object, masked) = one(refused);
        assert_eq!((&object[member], masked), (&json!(format!("Liveness probe failed: {refused}")), 0));
        let items = [refused, CANARY, CANARY].map(|printed| field(2, &event(printed))).concat();
        let (list, masked) = shown(&info, &whole(version, "EventList", &[field(1, b""), items].concat()));
        assert_eq!(masked, 2, "{list}");
        assert!(!list.to_string().contains(CANARY));
    }
}

#[test]
fn m7_what_a_hook_printed_in_protobuf() {
    let info = crate::mask::tests::info("pods", Verb::Get);
    let secret = field(1, &field(1, b"s"));
    // PodSpec.containers, Container.env, EnvVar.valueFrom, EnvVarSource.secretKeyRef.
    let spec = field(2, &[field(1, b"c"), field(7, &[field(1, b"A"), field(3, &field(4, &secret))].concat())].concat());
    for (reason, words) in [("PostStartHookError", PRINTED), ("CrashLoopBackOff", CANARY)] {
        let waiting = [field(1, reason.as_bytes()), field(2, CANARY.as_bytes())].concat();
        let status = field(8, &[field(1, b"c"), field(2, &field(1, &waiting))].concat());
        let raw = [field(1, &metadata(&[])), field(2, &spec), field(3, &status)].concat();
        let (pod, _) = shown(&info, &whole("v1", "Pod", &raw));
        assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"], words, "{pod}");
    }
}
