//! What becomes of Pods: of those that people write, and of generated ones.

mod generated;

use serde_json::{Value, json};

use super::*;
use crate::injector::pod::patch::{apply, difference};

/// As an API server sends it: the automatic token is mounted already.
pub(in crate::injector) fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "job", "namespace": "ci", "annotations": {"sallyport.dev/inject": "true"}},
        "spec": {
            "serviceAccountName": "default",
            "containers": [{
                "name": "job",
                "image": "registry.example/kubectl",
                "volumeMounts": [{"name": "kube-api-access-x2x4z", "mountPath": CREDENTIALS, "readOnly": true}],
            }],
            "volumes": [{"name": "kube-api-access-x2x4z", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
            ]}}],
        },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = pod();
    change(&mut pod);
    pod
}

fn annotated(name: &str, value: &str) -> Value {
    with(|pod| pod["metadata"]["annotations"][name] = json!(value))
}

#[track_caller]
fn finished(pod: &Value) -> Value {
    let config = Config::example();
    let finished =
        inject(pod, &config, Scope::Annotated).unwrap_or_else(|wrong| panic!("{}", wrong.message())).unwrap();
    assert_eq!(inject(&finished, &config, Scope::Annotated), Ok(Some(finished.clone())), "the same again");
    assert_eq!(apply(pod.clone(), &difference(pod, &finished)), Some(finished.clone()), "the patch says it");
    finished
}

#[track_caller]
fn refusal(pod: &Value) -> String {
    inject(pod, &Config::example(), Scope::Annotated).unwrap_err().message()
}

#[test]
fn an_ordinary_pod_gets_its_sidecar_and_loses_its_token() {
    let finished = finished(&pod());
    let spec = &finished["spec"];
    let hosts = json!({"name": "SALLYPORT_NODE_ADDRESSES", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.hostIPs"}}});
    assert!(spec["initContainers"][0]["env"].as_array().unwrap().contains(&hosts));
    assert_eq!(finished["metadata"]["labels"][INJECTED], "true");
    assert_eq!(spec["automountServiceAccountToken"], false);
    let sidecar = &spec["initContainers"][0];
    assert_eq!((&sidecar["name"], &sidecar["restartPolicy"]), (&json!("sallyport"), &json!("Always")));
    assert_eq!(sidecar["lifecycle"]["postStart"]["exec"]["command"], json!(["/sallyport-sidecar", "wait"]));
    assert_eq!(sidecar["startupProbe"], Value::Null);
    assert_eq!(sidecar["securityContext"]["runAsNonRoot"], true);
    let volumes: Vec<_> = spec["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    assert_eq!(volumes, ["sallyport-service-account", "sallyport-identity"]);
    let job = &spec["containers"][0];
    assert_eq!(
        job["volumeMounts"],
        json!([{"name": "sallyport-service-account", "mountPath": CREDENTIALS, "readOnly": true}])
    );
    let env: Vec<_> =
        job["env"].as_array().unwrap().iter().map(|e| format!("{}={}", text(e, "name"), text(e, "value"))).collect();
    assert_eq!(
        env,
        [
            "KUBERNETES_SERVICE_HOST=127.0.0.1",
            "KUBERNETES_SERVICE_PORT=6443",
            "KUBERNETES_SERVICE_PORT_HTTPS=6443",
            "KUBERNETES_PORT=tcp://127.0.0.1:6443",
            "KUBERNETES_PORT_443_TCP=tcp://127.0.0.1:6443",
            "KUBERNETES_PORT_443_TCP_PROTO=tcp",
            "KUBERNETES_PORT_443_TCP_ADDR=127.0.0.1",
            "KUBERNETES_PORT_443_TCP_PORT=6443",
            "NO_PROXY=127.0.0.1",
            "no_proxy=127.0.0.1",
        ]
    );
}

#[test]
fn who_is_none_of_ours_stays_as_it_is() {
    let config = Config::example();
    for annotations in [json!({}), Value::Null, json!({"sallyport.dev/inject": "false"}), json!({"example.com/a": "b"})]
    {
        let plain = with(|pod| {
            pod["metadata"]["annotations"] = annotations.clone();
            pod["spec"]["hostNetwork"] = json!(true);
        });
        assert_eq!(inject(&plain, &config, Scope::Annotated), Ok(None), "{annotations}");
        let refused = inject(&plain, &config, Scope::Required).unwrap_err().message();
        assert!(refused.contains("spec.hostNetwork shares the node's network"), "{refused}");
    }
    // In a mandatory namespace nothing needs to be asked for.
    let silent = with(|pod| pod["metadata"]["annotations"] = Value::Null);
    assert!(inject(&silent, &config, Scope::Required).unwrap().is_some());
}

#[test]
fn annotations_are_taken() {
    let finished = finished(&with(|pod| {
        pod["metadata"]["annotations"] = json!({
            "sallyport.dev/inject": "true",
            "sallyport.dev/port": "7000",
            "sallyport.dev/cluster": "test",
            "sallyport.dev/ci-token-file": "/builds/tokens/oidc",
            "sallyport.dev/start-without-control-plane": "false",
            "sallyport.dev/sidecar-cpu-request": "50m",
            "sallyport.dev/sidecar-cpu-limit": "1",
            "sallyport.dev/sidecar-memory-request": "24Mi",
            "sallyport.dev/sidecar-memory-limit": "128Mi",
        });
        pod["spec"]["volumes"].as_array_mut().unwrap().push(json!({"name": "builds", "emptyDir": {}}));
        let mount = json!({"name": "builds", "mountPath": "/builds/", "subPath": "job"});
        pod["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(mount);
    }));
    let sidecar = &finished["spec"]["initContainers"][0];
    let env =
        |name: &str| sidecar["env"].as_array().unwrap().iter().find(|e| e["name"] == name).map(|e| text(e, "value"));
    assert_eq!(env("SALLYPORT_LISTEN"), Some("127.0.0.1:7000"));
    // It may wait for long, and must be deletable meanwhile.
    assert_eq!(sidecar["startupProbe"]["exec"]["command"], json!(["/sallyport-sidecar", "ready"]));
    assert_eq!(sidecar["lifecycle"], Value::Null);
    assert_eq!(env("SALLYPORT_CI_TOKEN_FILE"), Some("/var/run/sallyport/ci/tokens/oidc"));
    assert_eq!(env("SALLYPORT_START_WITHOUT_CONTROL_PLANE"), Some("false"));
    let mount = json!({"name": "builds", "mountPath": "/var/run/sallyport/ci", "readOnly": true, "subPath": "job"});
    assert!(sidecar["volumeMounts"].as_array().unwrap().contains(&mount));
    assert_eq!(
        sidecar["resources"],
        json!({"requests": {"cpu": "50m", "memory": "24Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}})
    );
    assert_eq!(finished["spec"]["containers"][0]["env"][1]["value"], "7000");
    let secret = self::finished(&annotated("sallyport.dev/ci-token-secret", "ci-oidc/token"));
    let volume = json!({"name": "sallyport-ci", "secret": {
        "secretName": "ci-oidc", "defaultMode": 420, "items": [{"key": "token", "path": "token"}],
    }});
    assert!(secret["spec"]["volumes"].as_array().unwrap().contains(&volume));
}

#[test]
fn broken_annotations_are_refused_with_what_would_be_right() {
    let cases = [
        ("sallyport.dev/injct", "true", "did you mean sallyport.dev/inject?"),
        ("sallyport.dev/Inject", "true", "did you mean sallyport.dev/inject?"),
        ("sallyport.io/inject", "true", "did you mean sallyport.dev/inject?"),
        ("Sallyport.dev/prot", "1", "did you mean sallyport.dev/port?"),
        ("sallyport.dev/memory-limit", "1", "did you mean sallyport.dev/sidecar-memory-limit?"),
        ("sallyport.dev/fire", "1", "there are sallyport.dev/inject, sallyport.dev/port,"),
        ("sallyport.dev/inject", "yes", "annotation sallyport.dev/inject is \"yes\"; write \"true\", in quotes"),
        ("sallyport.dev/inject", "True", "write \"true\", in quotes"),
        ("sallyport.dev/inject", "\u{1b}[2J", "annotation sallyport.dev/inject is \"\\u{1b}[2J\""),
        ("sallyport.dev/port", "80", "write a port from 1024 to 65535"),
        ("sallyport.dev/port", "8080", "not 8001 or 8080"),
        ("sallyport.dev/port", "70000", "write a port from 1024 to 65535"),
        ("sallyport.dev/cluster", "production", "and this is the cluster \"test\""),
        ("sallyport.dev/start-without-control-plane", "no", "\"false\" (it waits)"),
        ("sallyport.dev/sidecar-cpu-request", "a lot", "write for example 50m"),
        ("sallyport.dev/sidecar-memory-limit", "8MB", "write for example 64Mi"),
        ("sallyport.dev/sidecar-memory-request", "1Gi", "memory request is over its memory limit"),
        ("sallyport.dev/ci-token-file", "token", "write the absolute path of a file"),
        ("sallyport.dev/ci-token-file", "/builds/token", "no container mounts a volume over that path"),
        (
            "sallyport.dev/ci-token-file",
            "/run/secrets/kubernetes.io/serviceaccount/token",
            "where Sallyport's own files are",
        ),
        ("sallyport.dev/ci-token-secret", "oidc", "name/key"),
        ("inject.sallyport.dev/inject", "true", "did you mean sallyport.dev/inject?"),
        ("sallyport/inject", "true", "did you mean sallyport.dev/inject?"),
    ];
    for (name, value, expected) in cases {
        let refused = refusal(&annotated(name, value));
        assert!(refused.contains(expected), "{name}: {value}: {refused}");
    }
    // Without the annotation itself, the others are a mistake rather than nothing.
    let lonely = with(|pod| pod["metadata"]["annotations"] = json!({"sallyport.dev/port": "7000"}));
    assert!(refusal(&lonely).contains("sallyport.dev/port does nothing without sallyport.dev/inject: \"true\""));
    let label = with(|pod| pod["metadata"]["labels"] = json!({"sallyport.dev/inject": "true"}));
    assert!(refusal(&label).contains("sallyport.dev/inject is a label here; it is an annotation"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let wrong = with(|pod| {
        pod["metadata"]["annotations"]["sallyport.dev/port"] = json!("1");
        pod["spec"]["hostPID"] = json!(true);
        pod["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    });
    let refused = refusal(&wrong);
    for part in ["sallyport.dev/port", "spec.hostPID", "container \"job\" is privileged"] {
        assert!(refused.contains(part), "{refused}");
    }
}

/// One field of a Pod, and what is said to it.
#[test]
fn what_would_go_round_us_is_refused() {
    let spec: [(&str, Value, &str); 8] = [
        ("/hostNetwork", json!(true), "spec.hostNetwork"),
        ("/hostNetwork", json!("true"), "spec.hostNetwork"),
        ("/hostPID", json!(true), "spec.hostPID"),
        ("/hostIPC", json!(true), "spec.hostIPC"),
        ("/shareProcessNamespace", json!(true), "spec.shareProcessNamespace"),
        ("/os", json!({"name": "windows"}), "for Windows"),
        ("/securityContext", json!({"windowsOptions": {"hostProcess": true}}), "for Windows"),
        ("/ephemeralContainers", json!([{"name": "debugger"}]), "ephemeral containers"),
    ];
    for (path, value, expected) in spec {
        let refused = refusal(&with(|pod| pod["spec"][path.trim_start_matches('/')] = value.clone()));
        assert!(refused.contains(expected), "{path}: {refused}");
    }
    let container: [(&str, Value, &str); 12] = [
        ("securityContext", json!({"privileged": true}), "is privileged"),
        ("securityContext", json!({"capabilities": {"add": ["SYS_PTRACE"]}}), "capability SYS_PTRACE"),
        ("securityContext", json!({"capabilities": {"add": ["CHOWN", "CAP_NET_ADMIN"]}}), "capability CAP_NET_ADMIN"),
        ("securityContext", json!({"capabilities": {"add": ["NET_RAW"]}}), "capability NET_RAW"),
        ("securityContext", json!({"capabilities": {"add": ["ALL"]}}), "capability ALL"),
        ("securityContext", json!({"procMount": "Unmasked"}), "procMount"),
        ("securityContext", json!({"windowsOptions": {"hostProcess": true}}), "process of the node"),
        ("livenessProbe", json!({"httpGet": {"host": "10.96.0.1", "port": 443}}), "host in livenessProbe.httpGet"),
        (
            "lifecycle",
            json!({"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 6443}}}),
            "host in preStop.tcpSocket",
        ),
        ("ports", json!([{"containerPort": 6443}]), "listens on port 6443, which is the sidecar's"),
        ("name", json!("sallyport"), "is not the sidecar of this installation"),
        (
            "volumeMounts",
            json!([{"name": "sallyport-identity", "mountPath": "/t"}]),
            "whose token is the sidecar's alone",
        ),
    ];
    for (key, value, expected) in container {
        for list in ["containers", "initContainers"] {
            let refused = refusal(&with(|pod| {
                let mut container = pod["spec"]["containers"][0].clone();
                container[key] = value.clone();
                pod["spec"][list] = json!([container]);
            }));
            assert!(refused.contains(expected), "{list}: {key}: {refused}");
        }
    }
    for allowed in
        [json!({"capabilities": {"add": ["CHOWN", "CAP_KILL", "net_bind_service"]}}), json!({"procMount": "Default"})]
    {
        finished(&with(|pod| pod["spec"]["containers"][0]["securityContext"] = allowed.clone()));
    }
}

#[test]
fn volumes_that_hold_another_credential_are_refused() {
    let volume = |content: Value| {
        with(|pod| {
            let mut volume = content;
            volume["name"] = json!("own");
            pod["spec"]["volumes"].as_array_mut().unwrap().push(volume);
        })
    };
    let token = |audience: &str| json!({"projected": {"sources": [{"serviceAccountToken": {"audience": audience, "path": "t"}}]}});
    let cases = [
        (json!({"hostPath": {"path": "/"}}), "volume \"own\" is a hostPath"),
        (json!({"flexVolume": {"driver": "x/y"}}), "of the kind flexVolume"),
        (json!({"iscsi": {}}), "of the kind iscsi"),
        (token(""), "a token of its own for the API server"),
        (token("sallyport"), "a token of its own for \"sallyport\""),
        (token("https://kubernetes.default.svc"), "a token of its own for"),
        (
            json!({"projected": {"sources": [{"configMap": {}}, {"podCertificate": {"signerName": "a/b"}}]}}),
            "holds a podCertificate",
        ),
    ];
    for (content, expected) in cases {
        let refused = refusal(&volume(content));
        assert!(refused.contains(expected), "{refused}");
    }
    let mut config = Config::example();
    config.token_audiences = vec!["sts.amazonaws.com".to_owned()];
    assert!(inject(&volume(token("sts.amazonaws.com")), &config, Scope::Annotated).unwrap().is_some());
    assert!(inject(&volume(token("sts.amazonaws.co")), &config, Scope::Annotated).is_err());
    for harmless in [
        json!({"emptyDir": {}}),
        json!({"secret": {"secretName": "s"}}),
        json!({"persistentVolumeClaim": {"claimName": "c"}}),
    ] {
        finished(&volume(harmless));
    }
}

/// The name that the API server gives to its own volume proves nothing by itself.
#[test]
fn the_automatic_token_is_known_by_where_it_is_mounted() {
    let elsewhere = with(|pod| {
        let mount = json!({"name": "kube-api-access-x2x4z", "mountPath": "/tmp/token"});
        pod["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(mount);
    });
    assert!(refusal(&elsewhere).contains("holds a token of its own for the API server"));
    for path in [
        CREDENTIALS,
        "/run/secrets/kubernetes.io/serviceaccount/",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ] {
        let hidden = with(|pod| {
            pod["spec"]["volumes"]
                .as_array_mut()
                .unwrap()
                .push(json!({"name": "own", "secret": {"secretName": "token"}}));
            pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": path}]);
        });
        assert!(refusal(&hidden).contains("where clients find what Sallyport gives them"), "{path}");
    }
    let writable = with(|pod| {
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "sallyport-service-account", "mountPath": CREDENTIALS}]);
    });
    assert!(refusal(&writable).contains("otherwise than Sallyport does"));
}

#[test]
fn proxies_are_not_asked_for_loopback() {
    let env = |env: Value, from: Value| {
        let finished = finished(&with(|pod| {
            pod["spec"]["containers"][0]["env"] = env;
            pod["spec"]["containers"][0]["envFrom"] = from;
        }));
        let env = finished["spec"]["containers"][0]["env"].as_array().unwrap().clone();
        let found = env.iter().find(|entry| entry["name"] == "NO_PROXY").unwrap().clone();
        found.get("value").map_or_else(|| "elsewhere".to_owned(), |value| value.as_str().unwrap().to_owned())
    };
    assert_eq!(env(json!([{"name": "NO_PROXY", "value": ".internal"}]), Value::Null), ".internal,127.0.0.1");
    assert_eq!(env(json!([{"name": "NO_PROXY", "value": "a, 127.0.0.1 ,b"}]), Value::Null), "a, 127.0.0.1 ,b");
    assert_eq!(env(json!([{"name": "NO_PROXY", "value": "*"}]), Value::Null), "*");
    assert_eq!(env(json!([{"name": "NO_PROXY"}]), Value::Null), "127.0.0.1");
    assert_eq!(env(json!([]), json!([{"configMapRef": {"name": "proxies"}}])), "$(NO_PROXY),127.0.0.1");
    let from_key = json!([{"name": "NO_PROXY", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]);
    assert_eq!(env(from_key, Value::Null), "elsewhere");
}

#[test]
fn a_hard_coded_address_is_replaced() {
    let finished = finished(&with(|pod| {
        pod["spec"]["containers"][0]["env"] = json!([
            {"name": "FIRST", "value": "1"},
            {"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"},
            {"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.2"},
        ]);
    }));
    let env = finished["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    let hosts: Vec<_> = env.iter().filter(|entry| entry["name"] == "KUBERNETES_SERVICE_HOST").collect();
    assert_eq!(hosts, [&json!({"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"})]);
    assert!(env.contains(&json!({"name": "FIRST", "value": "1"})));
}

/// What other webhooks do to an injected Pod: some of it is left, some is mended.
#[test]
fn other_webhooks_may_come_after_us() {
    let first = finished(&pod());
    let mut changed = first.clone();
    let spec = &mut changed["spec"];
    // A mesh adds its own containers in front, and a variable everywhere.
    let own = json!({"name": "mesh", "image": "mesh", "restartPolicy": "Always"});
    spec["initContainers"].as_array_mut().unwrap().insert(0, own);
    spec["containers"].as_array_mut().unwrap().push(json!({"name": "proxy", "image": "proxy"}));
    for container in ["initContainers", "containers"] {
        for container in spec[container].as_array_mut().unwrap() {
            list(container.as_object_mut().unwrap(), "env")
                .unwrap()
                .insert(0, json!({"name": "AGENT_HOST", "value": "x"}));
        }
    }
    // And another one behind.
    spec["initContainers"][1]["env"].as_array_mut().unwrap().push(json!({"name": "TRACE", "value": "y"}));
    spec["initContainers"][1]["resources"] = json!({"limits": {"cpu": "1"}});
    spec["initContainers"][1]["imagePullPolicy"] = json!("Always");
    spec["volumes"].as_array_mut().unwrap().push(json!({"name": "mesh", "emptyDir": {}}));
    let again = finished(&changed);
    assert_eq!(again["spec"]["initContainers"][0]["name"], "sallyport");
    assert_eq!(again["spec"]["initContainers"][0]["resources"], json!({"limits": {"cpu": "1"}}));
    assert_eq!(again["spec"]["initContainers"][0]["imagePullPolicy"], "Always");
    assert_eq!(again["spec"]["initContainers"][0]["env"], changed["spec"]["initContainers"][1]["env"]);
    assert_eq!(again["spec"]["containers"][1]["volumeMounts"][0]["mountPath"], CREDENTIALS);
    assert_eq!(again["spec"]["initContainers"][1]["volumeMounts"][0]["mountPath"], CREDENTIALS);
    // And what would change who has the token.
    for (path, value) in [
        ("/spec/initContainers/0/command", json!(["/bin/sh"])),
        ("/spec/initContainers/0/env/0/value", json!("evil.example:7443")),
        ("/spec/initContainers/0/securityContext/runAsUser", json!(0)),
        ("/spec/initContainers/0/volumeMounts/0/mountPath", json!("/sallyport-sidecar")),
        ("/spec/volumes/1/projected/sources/0/serviceAccountToken/audience", json!("other")),
        ("/spec/automountServiceAccountToken", json!(true)),
    ] {
        let mut changed = first.clone();
        match changed.pointer_mut(path) {
            Some(place) => *place = value,
            None => changed["spec"]["initContainers"][0]["command"] = value,
        }
        assert_ne!(changed, first);
        assert_eq!(finished(&changed), first, "{path}");
    }
    let mut replaced = first;
    replaced["spec"]["initContainers"][0]["image"] = json!("mirror.example/sidecar");
    assert!(refusal(&replaced).contains("let no other webhook change ours"));
}

#[test]
fn what_is_not_a_pod_is_refused() {
    for wrong in [json!(null), json!([]), json!({}), json!({"metadata": {}}), json!({"metadata": [], "spec": {}})] {
        assert!(inject(&wrong, &Config::example(), Scope::Required).is_err(), "{wrong}");
    }
    for (path, value) in [("containers", json!({})), ("volumes", json!(["a"])), ("initContainers", json!([1]))] {
        assert!(refusal(&with(|pod| pod["spec"][path] = value.clone())).contains("is not a list of objects"));
    }
    assert!(refusal(&with(|pod| pod["metadata"]["labels"] = json!({"a": 1}))).contains("not a map of strings"));
}

#[test]
fn what_may_be_done_to_a_running_pod() {
    let old = finished(&pod());
    let said = |change: fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        update(&old, &new).err().map(|wrong| wrong.message())
    };
    assert_eq!(said(|_| {}), None);
    assert_eq!(said(|pod| pod["metadata"]["labels"]["other"] = json!("x")), None);
    assert_eq!(said(|pod| pod["spec"]["containers"][0]["image"] = json!("x")), None);
    let refused = "annotation sallyport.dev/inject can't be changed or removed";
    assert!(said(|pod| pod["metadata"]["annotations"] = json!({})).unwrap().contains(refused));
    assert!(
        said(|pod| pod["metadata"]["annotations"]["sallyport.dev/port"] = json!("1"))
            .unwrap()
            .contains("sallyport.dev/port can't")
    );
    assert!(
        said(|pod| pod["metadata"]["labels"] = json!(null)).unwrap().contains("label sallyport.dev/injected can't")
    );
    assert!(said(|pod| pod["spec"]["initContainers"][0]["image"] = json!("x")).unwrap().contains("image of container"));

    let plain = with(|pod| pod["metadata"]["annotations"] = json!({}));
    let mut late = plain.clone();
    late["metadata"]["annotations"]["sallyport.dev/inject"] = json!("true");
    assert!(update(&plain, &late).unwrap_err().message().contains("comes too late"));
    let mut forged = plain.clone();
    forged["metadata"]["labels"] = json!({INJECTED: "true"});
    assert!(update(&plain, &forged).unwrap_err().message().contains("set by Sallyport alone"));
    assert!(
        inject(&forged, &Config::example(), Scope::Annotated).unwrap_err().message().contains("set by Sallyport alone")
    );

    let mut debugged = old.clone();
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "debugger"}]);
    assert!(
        ephemeral(&old, &debugged, Scope::Annotated).unwrap_err().message().contains("could read the sidecar's token")
    );
    assert!(ephemeral(&debugged, &debugged, Scope::Annotated).is_ok());
    assert!(ephemeral(&plain, &debugged, Scope::Annotated).is_ok());
    assert!(ephemeral(&plain, &debugged, Scope::Required).is_err());
    assert!(binding(&json!({"metadata": {"labels": {INJECTED: "true"}}})).is_err());
    assert!(binding(&json!({"metadata": {"annotations": {"a": "b"}}})).is_ok());
}
