//! What a pod prints: through the real API server, from a kubelet that shows what it is told to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::kubelet::Kubelet;

use super::{PASSWORD, assert_sent, each, stack, without_password};

const IMAGE: &str = "registry.example/c:1";

#[tokio::test(flavor = "multi_thread")]
async fn a_log_shows_no_value_of_the_pods_secrets() {
    let stack = stack();
    let stack = &stack;
    let (namespace, cluster) = (stack.namespace().to_string(), stack.namespace().cluster());
    let kubelet = Kubelet::start(cluster, "prints").await;
    for (name, value) in [("own", PASSWORD), ("unused", "other-canary-value")] {
        stack.namespace().admin(&["create", "secret", "generic", name, &format!("--from-literal=k={value}")]);
    }
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: prints, namespace: {namespace}}}, spec: {{nodeName: {}, \
         containers: [{{name: c, image: '{IMAGE}', env: [{{name: P, valueFrom: {{secretKeyRef: {{name: own, key: k}}}}}}]}}]}}}}",
        kubelet.node()
    ));
    let (start, end) = PASSWORD.split_at(7);
    let pieces = [
        "2026-11-28 starting\nlogin with ",
        start,
        end,
        "\nencoded ",
        &STANDARD.encode(PASSWORD),
        "\nand other-canary-value stays, for no Secret of this pod says it",
    ];
    kubelet.print(&namespace, "prints", pieces.map(str::to_owned).to_vec());
    each(stack, async |version, _, kubectl| {
        for more in [&[][..], &["-f"], &["--previous"], &["--timestamps", "--tail=10", "-c", "c"]] {
            let log = kubectl.run(&[&["logs", "prints"], more].concat()).await;
            without_password(&log);
            assert_eq!(
                log.ok(),
                "2026-11-28 starting\nlogin with (masked by sallyport)\nencoded (masked by sallyport)\n\
                 and other-canary-value stays, for no Secret of this pod says it",
                "{version:?} {more:?}"
            );
        }
    })
    .await;
    // The agent read what the pod uses, once for each log, and nothing else.
    assert_sent(stack, "own", "get secrets as sallyport:read", 12);
    assert_sent(stack, "unused", "get secrets as sallyport:read", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_secrets_are_too_many_is_refused() {
    let stack = stack();
    let namespace = stack.namespace().to_string();
    let kubelet = Kubelet::start(stack.namespace().cluster(), "crowded").await;
    let volumes: Vec<String> = (0..65)
        .map(|number| format!("{{name: v{number}, secret: {{secretName: s{number}, optional: true}}}}"))
        .collect();
    stack.namespace().cluster().apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: crowded, namespace: {namespace}}}, spec: {{nodeName: {}, \
         volumes: [{}], containers: [{{name: c, image: '{IMAGE}'}}]}}}}",
        kubelet.node(),
        volumes.join(", ")
    ));
    kubelet.print(&namespace, "crowded", vec!["a line\n".to_owned()]);
    let said = stack.kubectl(tests::kubectl::Version::Newest).run(&["logs", "crowded"]).await.refused();
    assert!(said.contains("more than 64") && said.contains("Secrets that the pod uses"), "{said}");
    assert_sent(&stack, "crowded", "get pods/log as sallyport:read", 0);
}
