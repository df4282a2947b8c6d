//! `sallyport install`: its three forms, its mistakes, its life in a real cluster, and whether our processes take what it renders.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod enrolment;
mod forms;
mod life;
mod mistakes;
mod ports;
mod processes;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use control_plane::install::{self, Endpoints, Installation, Settings};
use serde_json::{Value, json};
use shared::time::Timestamp;

/// Kind, namespace and name.
type Name = (String, String, String);

/// A cluster as its administrator would find it, without one.
fn cluster(minor: u32) -> install::Cluster {
    install::Cluster {
        uid: "0b8d7c1e-6a5f-4a3e-9b1c-2f6d8e4a7c90".to_owned(),
        issuer: "https://kubernetes.default.svc".to_owned(),
        keys: r#"{"keys":[{"kty":"EC","kid":"one"}]}"#.to_owned(),
        minor,
        api_server: Endpoints {
            addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))],
            services: Vec::new(),
            ports: vec![6443],
        },
        secrets: BTreeMap::new(),
        installed: None,
    }
}

const NOW: Timestamp = Timestamp(1_795_000_000_000);

fn installation(values: Value, cluster: &install::Cluster) -> Installation {
    let settings = Settings::parse(values).unwrap();
    Installation::new(&settings, cluster, None, NOW).unwrap()
}

/// The smallest file of values, and what is under test.
fn values(more: Value) -> Value {
    let mut values = json!({"cluster": "production"});
    for (key, value) in more.as_object().unwrap() {
        values[key] = value.clone();
    }
    values
}

/// The objects of a text, by name.
fn objects(text: &str) -> BTreeMap<Name, Value> {
    let all: Vec<Option<Value>> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    by_name(all.into_iter().flatten())
}

fn by_name(all: impl IntoIterator<Item = Value>) -> BTreeMap<Name, Value> {
    let mut found = BTreeMap::new();
    for object in all {
        let at = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = (at("/kind"), at("/metadata/namespace"), at("/metadata/name"));
        assert!(found.insert(name.clone(), object).is_none(), "{name:?} is there twice");
    }
    found
}

fn names(objects: &BTreeMap<Name, Value>) -> BTreeSet<&Name> {
    objects.keys().collect()
}
