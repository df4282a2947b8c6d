//! Properties over Pods that nobody would write.

use proptest::prelude::*;

use super::*;

fn pick(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

fn maybe(name: &'static str, value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(String, Value)>> {
    prop::option::of(value).prop_map(move |value| value.map(|value| (name.to_owned(), value)).into_iter().collect())
}

fn container() -> impl Strategy<Value = Value> {
    let names = pick(&["job", "helper", "svc-0", "sallyport", "mesh"]);
    let env = prop::collection::vec(
        (
            pick(&["A", "KUBERNETES_SERVICE_HOST", "NO_PROXY", "no_proxy", "KUBERNETES_PORT"]),
            pick(&["", "x", "127.0.0.1", "a,b"]),
        )
            .prop_map(|(name, value)| json!({"name": name, "value": value})),
        0..4,
    );
    let mounts = prop::collection::vec(
        (
            pick(&["kube-api-access-a", "work", "sallyport-service-account", "sallyport-identity", "own-token"]),
            pick(&[CREDENTIALS, "/build", "/run/secrets/kubernetes.io/serviceaccount", "/"]),
            any::<bool>(),
        )
            .prop_map(|(name, path, read_only)| json!({"name": name, "mountPath": path, "readOnly": read_only})),
        0..3,
    );
    let images = pick(&["job", "localhost/sallyport/sidecar:0.1.0"]);
    (
        names,
        images,
        maybe("env", env.prop_map(Value::from)),
        maybe("volumeMounts", mounts.prop_map(Value::from)),
        maybe("envFrom", Just(json!([{"configMapRef": {"name": "x"}}]))),
        maybe("resources", Just(json!({"limits": {"cpu": "1"}}))),
    )
        .prop_map(|(name, image, env, mounts, from, resources)| {
            let mut container = json!({"name": name, "image": image});
            for (key, value) in [env, mounts, from, resources].into_iter().flatten() {
                container[key] = value;
            }
            container
        })
}

fn volume() -> impl Strategy<Value = Value> {
    let token = |audience: &str| json!({"sources": [{"serviceAccountToken": {"audience": audience, "path": "token"}}]});
    let contents = prop::sample::select(vec![
        ("emptyDir", json!({})),
        ("emptyDir", json!({})),
        ("secret", json!({"secretName": "x"})),
        ("projected", token("")),
        ("projected", token("sallyport")),
        ("projected", token("other")),
    ]);
    let names = pick(&[
        "kube-api-access-a",
        "kube-api-access-b",
        "work",
        "sallyport-service-account",
        "sallyport-identity",
        "own-token",
    ]);
    (names, contents).prop_map(|(name, (kind, content))| {
        let mut volume = json!({"name": name});
        volume[kind] = content;
        volume
    })
}

fn pods() -> impl Strategy<Value = Value> {
    let annotations = prop::collection::btree_map(
        pick(&[
            "sallyport.dev/inject",
            "sallyport.dev/inject",
            "sallyport.dev/port",
            "sallyport.dev/ci-token-file",
            "a/b",
        ]),
        pick(&["true", "true", "true", "false", "7000", "/build/token"]),
        0..3,
    );
    (
        annotations,
        prop::collection::vec(container(), 0..3),
        prop::collection::vec(container(), 0..3),
        prop::collection::vec(volume(), 0..4),
        maybe("automountServiceAccountToken", any::<bool>().prop_map(Value::from)),
    )
        .prop_map(|(annotations, init, containers, volumes, automount)| {
            let mut pod = json!({"metadata": {"annotations": annotations}, "spec": {
                "initContainers": init, "containers": containers, "volumes": volumes,
            }});
            for (key, value) in automount {
                pod["spec"][key] = value;
            }
            pod
        })
}

/// Who has a credential, and who is led to the sidecar.
fn is_protected(pod: &Value, port: &str) {
    let spec = &pod["spec"];
    let all: Vec<&Value> = read::containers(spec).collect();
    assert_eq!(all.first().map(|first| text(first, "name")), Some(SIDECAR));
    assert_eq!(all.iter().filter(|container| text(container, "name") == SIDECAR).count(), 1);
    assert_eq!(spec["automountServiceAccountToken"], false);
    let tokens: Vec<&str> = read::entries(spec, "volumes")
        .iter()
        .filter(|volume| volume.to_string().contains("serviceAccountToken"))
        .inspect(|volume| {
            assert_eq!(volume.pointer("/projected/sources/0/serviceAccountToken/audience"), Some(&json!("sallyport")));
        })
        .map(|volume| text(volume, "name"))
        .collect();
    assert_eq!(tokens, ["sallyport-identity"]);
    for container in all.iter().skip(1) {
        let mounts = read::entries(container, "volumeMounts");
        assert!(mounts.iter().all(|mount| !tokens.contains(&text(mount, "name"))));
        let home: Vec<_> = mounts.iter().filter(|mount| paths::hides_credentials(text(mount, "mountPath"))).collect();
        assert_eq!(home, [&volumes::served_mount()]);
        let value = |name: &str| {
            let mut named = read::entries(container, "env").iter().filter(|entry| text(entry, "name") == name);
            let value = named.next_back().map(|entry| text(entry, "value"));
            assert!(named.next().is_none() || name.eq_ignore_ascii_case("no_proxy"));
            value
        };
        assert_eq!(value("KUBERNETES_SERVICE_HOST"), Some("127.0.0.1"));
        assert_eq!(value("KUBERNETES_SERVICE_PORT"), Some(port));
        assert!(value("NO_PROXY").is_some_and(|list| list.split(',').any(|item| item == "127.0.0.1")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Either it is refused, or left, or protected; and then nothing is left to do.
    #[test]
    fn every_pod_settles(pod in pods(), required in any::<bool>(), added in container()) {
        let config = Config::example();
        let scope = if required { Scope::Required } else { Scope::Annotated };
        let port = |pod: &Value| pod["metadata"]["annotations"].get("sallyport.dev/port").map_or("6443", |_| "7000").to_owned();
        match inject(&pod, &config, scope) {
            Err(wrong) => prop_assert!(!wrong.is_empty()),
            Ok(None) => prop_assert!(!required && pod["metadata"]["annotations"].get(INJECT) != Some(&json!("true"))),
            Ok(Some(finished)) => {
                is_protected(&finished, &port(&pod));
                prop_assert_eq!(inject(&finished, &config, scope), Ok(Some(finished.clone())));
                prop_assert_eq!(apply(pod.clone(), &difference(&pod, &finished)), Some(finished.clone()));
                // Another webhook adds a container: it is refused or protected too.
                let mut more = finished;
                more["spec"]["containers"].as_array_mut().unwrap().push(added);
                if let Ok(more) = inject(&more, &config, scope) {
                    is_protected(&more.unwrap(), &port(&pod));
                }
            }
        }
    }
}
