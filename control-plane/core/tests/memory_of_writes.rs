//! What one write takes of memory whose object has fields that policy masks: that is there as it is and as it is shown, and the write itself
//! twice. Counted by the allocator, so this test has a process to itself.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;

use control_plane_core::finish::{Reads, finish};
use control_plane_core::mask::{MaskContext, MaskedFields, PlaceholderKey, PlaceholderKeys};
use control_plane_core::request::Request;
use control_plane_core::restore::{Carried, ReadError, ReadObject, WriteRoom};
use control_plane_core::version_pin::VersionPin;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};
use shared::limits::WRITE_TREE_BYTES;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const PATH: &str = "/apis/e.com/v1/namespaces/d/widgets/a";
const MIB: usize = 1024 * 1024;

fn request(method: &Method, content_type: &str, body: String) -> Request {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    }
    Request::parse(method, &PATH.parse().unwrap(), &headers, body.into()).unwrap()
}

fn context() -> MaskContext {
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), Some(PlaceholderKey::new([8; 32])));
    let get = request(&Method::GET, "", String::new());
    let fields = MaskedFields::parse(&["spec.password", "spec.users[name=*admin*].token"]).unwrap();
    MaskContext::response(Arc::new(keys), "test", get.info()).with_fields(fields)
}

/// An object with so many maps in it, and with as much text as a request with them has to have.
fn widget(maps: usize) -> Value {
    let maps: Vec<Value> = (0..maps).map(|_| json!({"": 0})).collect();
    json!({"apiVersion": "e.com/v1", "kind": "Widget", "spec": {"a": maps, "long": "x".repeat(16 * maps.len()), "password": "CANARY"},
        "metadata": {"name": "a", "namespace": "d", "uid": "u", "resourceVersion": "5"}})
}

/// What came of a write, and the most bytes that it took, with what was read for it.
fn written(method: &Method, content_type: &str, body: String, live: &str) -> (Result<bool, ReadError>, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let request = request(method, content_type, body);
    let carried = Carried::of(&request).unwrap();
    let mask = context();
    let read =
        WriteRoom::of(&request, &carried).and_then(|mut room| ReadObject::within(live.as_bytes(), &mask, &mut room));
    let done = read.map(|live| {
        let reads = Reads { live: Some(&live), more: &[] };
        let done = finish(request.wire().clone(), request.body(), &carried, &VersionPin::None, reads, &mask).unwrap();
        memchr::memmem::find(done.request.body(), b"CANARY").is_some()
    });
    (done, MEMORY.peak_usage().saturating_sub(before))
}

#[test]
fn p12_a_write_takes_no_more_memory_than_there_is() {
    for (maps, fits) in [(1000, true), (20_000, true), (45_000, false)] {
        let live = widget(maps).to_string();
        let shown = ReadObject::new(live.as_bytes(), &context()).unwrap().masked().clone();
        let code = shown["spec"]["password"].as_str().unwrap().to_owned();
        let put = shown.to_string();
        drop(shown);
        let merge = json!({"spec": {"password": code}}).to_string();
        let patch = json!([{"op": "replace", "path": "/spec/password", "value": code}]).to_string();
        for (method, content_type, body) in [
            (Method::PUT, "application/json", put),
            (Method::PATCH, "application/merge-patch+json", merge),
            (Method::PATCH, "application/json-patch+json", patch),
        ] {
            // The texts: what came, what is sent, and what is written of what is read.
            let texts = 3 * (body.len() + live.len());
            let (done, peak) = written(&method, content_type, body, &live);
            let most = WRITE_TREE_BYTES + texts + 2 * MIB;
            let told = if fits { Ok(true) } else { Err(ReadError::Memory) };
            assert_eq!(done, told, "{content_type}, {maps} maps");
            assert!(peak <= most, "{content_type}, {maps} maps: {} MiB", peak / MIB);
        }
    }
}
