//! The harness itself: a story that stands on a broken one would prove nothing.

use tests::cluster::Cluster;
use tests::kubectl::{Kubectl, Version};

#[tokio::test]
async fn every_kubectl_reaches_the_cluster_and_the_audit_log_tells() {
    let cluster = Cluster::get();
    let namespace = cluster.namespace("harness");
    let audit = cluster.audit();
    for version in Version::ALL {
        let kubectl = Kubectl::new(version).kubeconfig(&cluster.facts().admin_kubeconfig).namespace(&namespace);
        let name = format!("made-by-{version:?}").to_lowercase();
        assert_eq!(kubectl.run(&["create", "configmap", &name]).await.ok(), format!("configmap/{name} created\n"));
        let refused = kubectl.run(&["create", "configmap", &name]).await.refused();
        assert!(refused.contains("already exists"), "{refused}");
    }
    let tried = audit.wait(6, |event| {
        let object = event.object_ref.clone().unwrap_or_default();
        event.is_complete()
            && event.verb == "create"
            && object.resource == "configmaps"
            && object.namespace == *namespace
    });
    let codes: Vec<_> = tried.iter().filter_map(|event| event.response_status.as_ref()).map(|s| s.code).collect();
    assert_eq!(codes, [201, 409, 201, 409, 201, 409]);
    assert!(tried.iter().all(|event| !event.is_runner()));
}

#[test]
fn a_pods_token_is_for_its_audience() {
    let cluster = Cluster::get();
    let namespace = cluster.namespace("harness");
    namespace.pod("runner");
    let token = cluster.token(&namespace, "default", Some("sallyport"), Some("runner"));
    let facts = cluster.facts();
    let ca = facts.ca.display().to_string();
    let as_pod =
        ["get", "pods", "--kubeconfig=/dev/null", "--server", &facts.server, "--certificate-authority", &ca, "--token"];
    let mut arguments = as_pod.to_vec();
    arguments.push(&token);
    let refused = cluster.try_admin(&arguments, "");
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && errors.contains("Unauthorized"), "useless at the API server: {errors}");
    // The same call with a token for the API server gets past authentication.
    let token = cluster.token(&namespace, "default", None, Some("runner"));
    let mut arguments = as_pod.to_vec();
    arguments.push(&token);
    let refused = cluster.try_admin(&arguments, "");
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && errors.contains("Forbidden"), "{errors}");
}
