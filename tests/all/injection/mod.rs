//! The injector in front of the real API server: what becomes of Pods, and what a person sees who would go round it.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests fail as tests do")]

mod bypasses;
mod failures;
mod pods;
mod port;

use serde_json::{Value, json};
use tests::injector::Injector;

/// A Pod that asks for the sidecar.
fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"sallyport.dev/inject": "true"}},
        "spec": {"containers": [{"name": "job", "image": "registry.invalid/kubectl"}], "restartPolicy": "Never"},
    })
}

/// Creates an object; fails with kubectl's words.
#[track_caller]
fn create(injector: &Injector, object: &Value) -> String {
    let (done, said) = injector.try_create(&object.to_string(), &[]);
    assert!(done, "{said}");
    said
}

/// What kubectl says to an object that must not come to be.
#[track_caller]
fn refused(injector: &Injector, object: &Value) -> String {
    let (done, said) = injector.try_create(&object.to_string(), &[]);
    assert!(!done, "it was created: {said}");
    said
}

/// A Pod as it is stored.
fn stored(injector: &Injector, name: &str) -> Value {
    injector.namespace.cluster().get_json(&["-n", &*injector.namespace, "pod", name])
}

/// Tries again until there is a result, for what the API server learns a moment later.
#[track_caller]
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..100 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("it did not happen within ten seconds");
}

/// What must hold of every Pod that was injected.
#[track_caller]
fn assert_protected(pod: &Value, port: &str) {
    let spec = &pod["spec"];
    assert_eq!(pod["metadata"]["labels"]["sallyport.dev/injected"], "true");
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["initContainers"][0]["name"], "sallyport");
    assert_eq!(spec["initContainers"][0]["restartPolicy"], "Always");
    let tokens: Vec<_> = spec["volumes"]
        .as_array()
        .expect("volumes")
        .iter()
        .filter(|volume| volume.to_string().contains("serviceAccountToken"))
        .map(|volume| (&volume["name"], &volume["projected"]["sources"][0]["serviceAccountToken"]["audience"]))
        .collect();
    assert_eq!(tokens, [(&json!("sallyport-identity"), &json!("sallyport"))], "one token, and it is ours");
    let others = ["initContainers", "containers"]
        .iter()
        .flat_map(|kind| spec[kind].as_array().into_iter().flatten())
        .filter(|container| container["name"] != "sallyport");
    for container in others {
        let mounts = container["volumeMounts"].as_array().expect("mounts");
        assert!(mounts.iter().all(|mount| mount["name"] != "sallyport-identity"), "{container}");
        let path = "/var/run/secrets/kubernetes.io/serviceaccount";
        let home: Vec<_> = mounts.iter().filter(|mount| mount["mountPath"] == path).collect();
        assert_eq!(home, [&json!({"name": "sallyport-service-account", "mountPath": path, "readOnly": true})]);
        let env = |name: &str| {
            container["env"]
                .as_array()
                .expect("env")
                .iter()
                .find(|entry| entry["name"] == name)
                .map(|e| e["value"].clone())
        };
        assert_eq!(env("KUBERNETES_SERVICE_HOST"), Some(json!("127.0.0.1")));
        assert_eq!(env("KUBERNETES_SERVICE_PORT"), Some(json!(port)));
    }
}
