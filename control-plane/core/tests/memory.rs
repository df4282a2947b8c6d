//! What masking takes of memory beside what goes through it: bounded, and the same for a list of any length. Counted by the allocator, so
//! this test has a process to itself.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;

use control_plane_core::mask::{AnswerMasker, Format, MaskContext, PlaceholderKey, PlaceholderKeys};
use control_plane_core::query::Query;
use control_plane_core::request_info::RequestInfo;
use http::Method;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of a piece, as a connection delivers them.
const PIECE: usize = 16 * 1024;
const EXTRA: usize = 256 * 1024;

fn context(path: &str, query: &str) -> MaskContext {
    let info = RequestInfo::parse(&Method::GET, path, &Query::parse(query).unwrap()).unwrap();
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    MaskContext::response(Arc::new(keys), "test", &info)
}

/// The most bytes that masking held at once: `first`, `again` so many times, `last`.
fn most(context: MaskContext, [first, again, last]: [&str; 3], times: usize) -> usize {
    let mut out = Vec::with_capacity(16 * PIECE);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut masker = AnswerMasker::new(context, Format::Json);
    let mut push = |text: &str| {
        for piece in text.as_bytes().chunks(PIECE) {
            out.clear();
            masker.push(piece, &mut out).unwrap();
            assert!(out.len() <= 16 * PIECE, "the caller's buffer has grown");
        }
    };
    push(first);
    (0..times).for_each(|_| push(again));
    push(last);
    masker.finish(&mut out).unwrap();
    MEMORY.peak_usage().saturating_sub(before)
}

fn secret(value: usize) -> String {
    let value = "QUJD".repeat(value / 3);
    format!(
        r#"{{"metadata":{{"name":"a","namespace":"b","annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{{\"kind\":\"Secret\",\"data\":{{\"password\":\"{value}\"}}}}"}},"managedFields":[{{"fieldsV1":{{"f:data":{{"f:password":{{}}}}}}}}]}},"data":{{"password":"{value}","user":"{value}"}}}}"#
    )
}

/// As long as one can be that is seen whole in most pieces.
fn with_texts(kind: usize) -> String {
    let texts: Vec<_> = (0..300).map(|text| format!(r#""text-{kind:02}-{text:03}":"x""#)).collect();
    format!(r#"{{"metadata":{{"name":"a","namespace":"b"}},"spec":{{{}}}}}"#, texts.join(","))
}

#[test]
fn memory_does_not_grow_with_the_list() {
    let pod = r#"{"metadata":{"name":"a","namespace":"b"},"spec":{"containers":[{"name":"c","env":[{"name":"PASSWORD","value":"hunter2"}]}]}}"#;
    let list = |kind: &str| format!(r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{}},"items":["#);
    let event = |object: &str| {
        format!(r#"{{"type":"ADDED","object":{{"kind":"Secret","apiVersion":"v1",{}}}"#, object.trim_start_matches('{'))
            + "\n"
    };
    let last = |object: &str| format!("{object}]}}");
    let objects = |object: &str| format!("{object},").repeat(100);
    let mut cases = Vec::new();
    for bytes in [32, 1024] {
        let secret = secret(bytes);
        cases.push(("/api/v1/secrets", "", [list("SecretList"), objects(&secret), last(&secret)]));
        cases.push(("/api/v1/secrets", "watch=true", [event(&secret), event(&secret).repeat(100), event(&secret)]));
    }
    cases.push(("/api/v1/pods", "", [list("PodList"), objects(pod), last(pod)]));
    // Many kinds of objects with many texts, which are remembered to find those that are like them.
    let many: Vec<_> = (0..100).map(|index| with_texts(index % 20)).collect();
    cases.push(("/api/v1/pods", "", [list("PodList"), many.join(",") + ",", last(pod)]));
    for (path, query, texts) in cases {
        let texts = texts.each_ref().map(String::as_str);
        let [short, long] = [5, 50].map(|times| most(context(path, query), texts, times));
        let what = format!("{path}?{query}, {} bytes at a time", texts[1].len());
        assert!(long <= EXTRA, "{what}: {long} bytes");
        assert!(long <= short, "{what}: {short} bytes for a short one, {long} for one ten times as long");
    }
}
