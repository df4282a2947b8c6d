//! Whatever a value could stand in on its way out.

use serde_json::json;

use super::{Told, world};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Reads of his that go through, masked.
async fn reads(paths: &[&str], accept: &str) -> Vec<Told> {
    let world = world();
    let mut told = Vec::new();
    for rest in paths {
        told.push(world.get(&world.secrets(rest), accept).await.ok());
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_the_object_in_json() {
    reads(&["/target", "/target?pretty=true", "", "?limit=1", "?resourceVersion=0"], "application/json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a02_the_object_in_protobuf() {
    let told = reads(&["/target"], PROTOBUF).await;
    assert!(told[0].body.starts_with(b"k8s\0"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_the_object_in_yaml() {
    reads(&["/target", ""], "application/yaml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a04_the_object_in_cbor() {
    let world = world();
    for accept in ["application/cbor", "application/cbor-seq", "application/cbor, application/json;q=0.1"] {
        let told = world.get(&world.secrets("/target"), accept).await;
        assert!([200, 403, 406].contains(&told.status) && !told.head.contains("cbor"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a05_compressed() {
    let world = world();
    for coding in ["gzip", "deflate", "br", "gzip;q=1.0, *;q=0.5"] {
        let header = format!("Accept-Encoding: {coding}");
        let told = world.call("GET", &world.secrets(""), &[&header, "Accept: application/json"], "").await.ok();
        assert!(told.text().contains("SecretList"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_rows_of_a_table() {
    for object in ["None", "Metadata", "Object"] {
        reads(&[&format!("?includeObject={object}"), &format!("/target?includeObject={object}")], TABLE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a07_the_annotation_of_an_apply_as_metadata_alone() {
    for kind in ["PartialObjectMetadata", "PartialObjectMetadataList"] {
        let rest = if kind.ends_with("List") { "" } else { "/target" };
        for media in ["application/json", PROTOBUF] {
            let told = &reads(&[rest], &format!("{media};as={kind};v=v1;g=meta.k8s.io")).await[0];
            assert!(told.text().contains("last-applied-configuration"), "{told:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_a_watch() {
    let watches = [
        "?watch=1&resourceVersion=0&timeoutSeconds=1",
        "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1",
        "?watch=1&fieldSelector=metadata.name%3Dtarget&timeoutSeconds=1",
    ];
    for accept in ["application/json", "application/vnd.kubernetes.protobuf;stream=watch", TABLE] {
        for told in reads(&watches, accept).await {
            assert!(!told.body.is_empty(), "{told:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a09_the_old_path_of_a_watch() {
    let world = world();
    let path = world.secrets("/target?timeoutSeconds=1").replace("/api/v1/", "/api/v1/watch/");
    let told = world.get(&path, "application/json").await;
    assert_eq!(told.status, 400, "a path that may be read in two ways is not passed on: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_an_older_version_of_the_list() {
    let world = world();
    let list = world.get(&world.secrets(""), "application/json").await.ok().json();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = format!("?resourceVersion={version}&resourceVersionMatch=Exact");
    world.get(&world.secrets(&exact), "application/json").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_a_path_that_is_spelt_otherwise() {
    let world = world();
    let own = world.secrets("/target");
    for path in [
        own.replace("secrets", "%73ecrets"),
        own.replace("/secrets", "//secrets"),
        own.replace("/secrets", "/./secrets"),
        own.replace("/secrets", "/pods/../secrets"),
        own.replace("secrets", "secrets%2f"),
        own.replace("secrets", "Secrets"),
        own.replace("/target", "/target/"),
        own.replace("/target", "/target%00"),
        own.replace("/api/v1", "/api/v1;x=y"),
    ] {
        // Read as the API server reads it and masked, or refused; found is nothing.
        let told = world.get(&path, "application/json").await;
        assert!([200, 301, 400, 403, 404].contains(&told.status), "{path}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_part_of_the_answer() {
    let world = world();
    for range in ["bytes=0-200", "bytes=-100", "bytes=150-151,160-400"] {
        let told = world.call("GET", &world.secrets("/target"), &[&format!("Range: {range}")], "").await;
        assert!([200, 400, 403].contains(&told.status), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_another_persons_name() {
    let world = world();
    for header in ["Impersonate-User: system:admin", "impersonate-group: system:masters", "X-Remote-User: system:admin"]
    {
        let told = world.call("GET", &world.secrets("/target"), &[header], "").await;
        assert!([200, 400, 403].contains(&told.status), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_round_through_a_proxy_of_the_api_servers() {
    let world = world();
    let secrets = world.secrets("/target");
    for path in [
        format!("/api/v1/namespaces/default/services/https:kubernetes:443/proxy{secrets}"),
        format!("/api/v1/proxy/namespaces/default/services/https:kubernetes:443{secrets}"),
        format!("/api/v1/nodes/x/proxy{secrets}"),
    ] {
        let told = world.get(&path, "application/json").await;
        assert!(told.status >= 400, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_another_verb_by_a_header() {
    let world = world();
    for header in ["X-HTTP-Method-Override: GET", "X-Method-Override: GET", "_method: GET"] {
        let told = world.call("DELETE", &world.secrets("/none"), &[header], "").await;
        assert!(told.status >= 400, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a16_the_answer_to_a_deletion() {
    let world = world();
    for rest in ["/target?dryRun=All", "?dryRun=All", "?dryRun=All&fieldSelector=metadata.name%3Dtarget"] {
        world.call("DELETE", &world.secrets(rest), &[], "").await;
    }
    // With a finalizer what is deleted stays, and is shown.
    let kept = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kept", "finalizers": ["example.com/stay"]},
        "stringData": {"password": super::PASSWORD}});
    world.post(&world.secrets(""), &kept).await.ok();
    let told = world.call("DELETE", &world.secrets("/kept"), &[], "").await.ok();
    assert!(told.text().contains("deletionTimestamp"), "{told:?}");
    world.0.namespace().admin(&[
        "patch",
        "secret",
        "kept",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    world.assert_unchanged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_what_the_api_server_complains_of() {
    let world = world();
    let path = world.secrets("/target");
    for (kind, body) in [
        ("merge-patch+json", json!({"data": "text"})),
        ("merge-patch+json", json!({"data": {"more": "no base64!"}})),
        ("merge-patch+json", json!({"type": "kubernetes.io/tls"})),
        ("merge-patch+json", json!({"metadata": {"name": "other"}})),
        ("merge-patch+json", json!({"metadata": {"labels": {"a b": "c d"}}})),
        ("strategic-merge-patch+json", json!({"data": ["list"]})),
        ("strategic-merge-patch+json", json!({"data": {"$patch": "unknown"}})),
        ("json-patch+json", json!([{"op": "add", "path": "/data/more/deeper", "value": "x"}])),
        ("json-patch+json", json!([{"op": "replace", "path": "/data", "value": 5}])),
        ("json-patch+json", json!([{"op": "remove", "path": "/metadata/none"}])),
    ] {
        let told = world.patch(&path, kind, &body).await;
        assert!(told.status >= 400, "{body}: {told:?}");
    }
    world.assert_unchanged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a18_the_reply_to_a_change_beside_it() {
    let world = world();
    let path = world.secrets("/same");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    for kind in ["merge-patch+json", "strategic-merge-patch+json"] {
        world.patch(&path, kind, &label).await.ok();
    }
    let add = json!([{"op": "add", "path": "/metadata/labels/c", "value": "d"}]);
    world.patch(&path, "json-patch+json", &add).await.ok();
    let apply = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "same", "labels": {"e": "f"}}});
    let told = world.patch(&format!("{path}?fieldManager=x&force=true"), "apply-patch+yaml", &apply).await.ok();
    assert!(told.text().contains("managedFields"), "{told:?}");
}
