//! What a small release of helm's takes of memory that stands for a large one. Counted by the allocator, so this test has a process to itself.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control_plane_core::mask::{AnswerMasker, Format, MaskContext, PlaceholderKey, PlaceholderKeys};
use control_plane_core::query::Query;
use control_plane_core::request_info::RequestInfo;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use peak_alloc::PeakAlloc;
use shared::limits::{RELEASE_DOCUMENT_BYTES, RELEASE_TREE_BYTES};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const PATH: &str = "/api/v1/namespaces/ns/secrets/sh.helm.release.v1.web.v1";

/// A Secret with a release in it: `values` stands among the user's and in a document of the manifest, beside a Secret.
fn secret(values: &str) -> String {
    let secret = r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x"},"stringData":{"p":"hunter2hunter2"}"#;
    let manifest = serde_json::Value::from(format!("{secret},\"z\":{values}}}\n"));
    let release = format!(r#"{{"name":"web","version":1,"manifest":{manifest},"config":{{"x":{values}}}}}"#);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(release.as_bytes()).unwrap();
    let payload = STANDARD.encode(STANDARD.encode(encoder.finish().unwrap()));
    format!(
        r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"sh.helm.release.v1.web.v1","namespace":"ns"}},"data":{{"release":"{payload}"}}}}"#
    )
}

/// The most memory that masking it has taken, and what is shown.
fn masked(secret: &str) -> (usize, String) {
    let info = RequestInfo::parse(&Method::GET, PATH, &Query::parse("").unwrap()).unwrap();
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    let mut masker = AnswerMasker::new(MaskContext::response(Arc::new(keys), "test", &info), Format::Json);
    let mut out = Vec::new();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    masker.push(secret.as_bytes(), &mut out).unwrap();
    masker.finish(&mut out).unwrap();
    (MEMORY.peak_usage() - before, String::from_utf8(out).unwrap())
}

#[test]
fn m5_a_small_release_takes_no_more_memory_than_a_large_one() {
    let most = 3 * RELEASE_TREE_BYTES + 2 * RELEASE_DOCUMENT_BYTES;
    // Each value is a map of its own.
    let chain = format!("{}0{}", r#"{"":"#.repeat(90), "}".repeat(90));
    let chains = |count: usize| format!("[{}]", vec![chain.as_str(); count].join(","));
    let maps = |count: usize| format!("[{}0]", r#"{"":0},"#.repeat(count));
    for values in [chains(2150), maps(99_000), chains(400), maps(20_000), format!("[{}0]", "0,".repeat(190_000))] {
        let secret = secret(&values);
        let (taken, shown) = masked(&secret);
        assert!(taken < most, "{} bytes took {} MiB", secret.len(), taken / 1024 / 1024);
        assert!(!shown.contains("hunter2") && shown.len() < 4 * secret.len());
    }
    // An ordinary one is opened, and gzip again: what is seen begins as base64 of base64 of that.
    let (_, shown) = masked(&secret("[1]"));
    assert!(shown.contains(r#""release":"SDRz"#), "{shown}");
}
