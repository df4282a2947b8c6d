//! The injector is away, late or wrong: what a person sees, and that no Pod starts unprotected.

use serde_json::{Value, json};
use tests::injector::{Injector, Setup};

use super::{assert_protected, create, eventually, pod, refused, stored};

fn plain(name: &str) -> Value {
    let mut plain = pod(name);
    plain["metadata"]["annotations"] = Value::Null;
    plain
}

#[test]
fn while_it_is_down_only_our_pods_wait() {
    let mut injector = Injector::start("down", &Setup::default());
    create(&injector, &pod("before"));
    injector.kill();
    let said = refused(&injector, &pod("job"));
    assert!(said.contains("failed calling webhook \"annotated.inject.sallyport.dev\""), "{said}");
    create(&injector, &plain("plain"));
    // Whoever has to write an injected Pod can do so, as long as he leaves alone what is ours.
    injector.namespace.admin(&["label", "pod", "before", "team=a"]);
    let taken = injector
        .namespace
        .cluster()
        .try_admin(&["-n", &*injector.namespace, "label", "pod", "before", "sallyport.dev/injected-"], "");
    assert!(String::from_utf8_lossy(&taken.stderr).contains("failed calling webhook \"kept.validate.sallyport.dev\""));
    injector.namespace.admin(&["delete", "pod", "before", "--timeout=30s"]);
    injector.run();
    create(&injector, &pod("job"));
    assert_protected(&stored(&injector, "job"), "6443");
}

#[test]
fn a_mandatory_namespace_waits_as_a_whole() {
    let mut injector =
        Injector::start("down", &Setup { labels: &["sallyport.dev/inject=required"], ..Setup::default() });
    injector.kill();
    let said = refused(&injector, &plain("plain"));
    assert!(said.contains("failed calling webhook \"required.inject.sallyport.dev\""), "{said}");
    injector.run();
    create(&injector, &plain("plain"));
    assert_protected(&stored(&injector, "plain"), "6443");
}

/// A rolling update: who is asked to go answers until nobody asks any more, and ends in order.
#[test]
fn it_ends_in_order() {
    let mut injector = Injector::start("ends", &Setup::default());
    create(&injector, &pod("job"));
    injector.stop();
    injector.log().assert_quiet(&[]);
    injector.log().assert_contains("draining");
}

#[test]
fn an_expired_certificate_is_named_and_a_new_one_is_taken() {
    let injector = Injector::start("expired", &Setup { expired: true, ..Setup::default() });
    let said = refused(&injector, &pod("job"));
    assert!(said.contains("certificate has expired"), "{said}");
    injector.log().assert_contains("the webhook's certificate ends");
    injector.certify(false);
    eventually(|| injector.try_create(&pod("job").to_string(), &[]).0.then_some(()));
    assert_protected(&stored(&injector, "job"), "6443");
}

/// Two installations in one cluster: neither takes the other's sidecar for its own.
#[test]
fn two_installations_are_told_apart() {
    let first = Injector::start("two", &Setup::default());
    create(&first, &pod("job"));
    let mut theirs = stored(&first, "job");
    theirs["metadata"] = json!({"name": "theirs", "labels": theirs["metadata"]["labels"], "annotations": theirs["metadata"]["annotations"]});
    theirs["status"] = Value::Null;
    theirs["spec"]["initContainers"][0]["image"] = json!("registry.example/other/sidecar:1");
    let said = refused(&first, &theirs);
    assert!(
        said.contains("is not the sidecar of this installation, whose image is localhost/sallyport/sidecar:test"),
        "{said}"
    );
}

#[test]
fn a_namespace_that_is_going_takes_no_pod() {
    let injector = Injector::start("going", &Setup::default());
    // It stays as long as something in it has a finalizer.
    let holder = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "holder", "finalizers": ["example.com/hold"]}});
    create(&injector, &holder);
    injector.namespace.cluster().admin(&["delete", "namespace", &*injector.namespace, "--wait=false"]);
    let said = refused(&injector, &pod("job"));
    assert!(said.contains("is being terminated"), "{said}");
    injector.namespace.admin(&[
        "patch",
        "configmap",
        "holder",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
}

#[test]
fn a_broken_configuration_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("injector.yaml");
    std::fs::write(
        &path,
        "tls: {certFile: a, keyFile: b}\nimage: ''\ncluster: Test\ncontrolPlane: {address: x, pin: y}\n",
    )
    .unwrap();
    let output = std::process::Command::new(tests::cluster::program("sallyport"))
        .args(["inject", "--config"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    for key in ["image", "cluster", "controlPlane.address", "controlPlane.pin"] {
        assert!(said.contains(&format!("  {key}: ")), "{said}");
    }
}
