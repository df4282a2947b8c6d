//! Long names: whatever is computed of one is computed once, and not for each value below it. With the contrary these tests take minutes.

use super::*;
use crate::mask::value::mask_all;

const NAME: usize = 1_000_000;
const VALUES: usize = 100_000;

fn values() -> Value {
    json!(vec![0; VALUES])
}

#[test]
fn m7_a_long_name_above_many_values() {
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Login", "metadata": {"name": "l"},
        "spec": {"n".repeat(NAME): values()}});
    let context = masking("logins", Verb::Get, &["spec"]);
    let out = run(&context, Format::Json, &[text(&widget).as_bytes()]).unwrap();
    assert!(out.len() > VALUES * 100);
}

/// SECURITY.md P12: what is sent is masked before anybody has looked at it, so names in it can be of any length.
#[test]
fn m8_a_long_name_of_an_object_with_many_values() {
    let name = "n".repeat(NAME);
    let metadata = json!({"name": name, "namespace": name});
    let mut config =
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"password": values()}});
    let context_of_configs = masking("configmaps", Verb::Create, &["data.*password*"]);
    assert_eq!(mask_all(&mut config, &context_of_configs, &mut Room::endless()), VALUES);

    let data: Map<_, _> = (0..VALUES).map(|n| (n.to_string(), json!("eA=="))).collect();
    let maps: Vec<_> = (0..VALUES).map(|n| json!({"a": n})).collect();
    let mut secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": data, "maps": maps});
    assert_eq!(mask_all(&mut secret, &context("secrets", Verb::Create), &mut Room::endless()), VALUES);
}
