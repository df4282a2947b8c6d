//! helm's releases in protobuf, which helm speaks since 3.17.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::mask::release::tests::{clean, field as release_field, opened, secret_named};

#[test]
fn m7_a_release_in_protobuf_is_what_it_is_in_json() {
    const NAME: &str = "sh.helm.release.v1.web.v1";
    let manifest = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\ndata: {{p: {CANARY}}}\n");
    let document = json!({"name": "web", "version": 1, "namespace": "default", "manifest": manifest, "config": {"p": "CANARY-value"}});
    for (payload, whole_) in [(release_field(&document), false), (STANDARD.encode("CANARY no release"), true)] {
        let bytes = STANDARD.decode(&payload).unwrap();
        let metadata = [field(1, NAME.as_bytes()), field(3, b"default")].concat();
        let object = whole(
            "v1",
            "Secret",
            &[field(1, &metadata), entry(2, "other", VALUE), entry(2, "release", &bytes)].concat(),
        );
        let text = secret_named(NAME, &payload);
        let (expected, _) = run_json(&context("secrets", Verb::Get), &[text.as_bytes()]).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let (out, _) = run(&context("secrets", Verb::Get), Format::Protobuf, &[&object]).unwrap();
        let out = read(&out);
        assert!(is_placeholder(out["data"]["other"].as_str().unwrap()));
        if whole_ {
            assert_eq!(out["data"]["release"], expected["data"]["release"]);
        } else {
            clean(&opened(&out), "CANARY-value");
            assert_eq!(opened(&out), opened(&expected));
        }
        let (events, _) =
            run(&context("secrets", Verb::Watch), Format::ProtobufWatch, &[&frame("ADDED", &object)]).unwrap();
        assert!(!contains(&events, b"CANARY"));
    }
}
