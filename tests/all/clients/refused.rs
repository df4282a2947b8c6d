//! What this version does not carry: a clear refusal at once, and nothing half open.

use std::time::Duration;

use super::{each, stack, told};

#[tokio::test(flavor = "multi_thread")]
async fn streams_into_a_pod_are_refused_at_once_with_what_helps() {
    let stack = stack();
    // A pod that kubectl takes for running; nothing runs it.
    stack.namespace().pod("streamed");
    let running = r#"{"status":{"phase":"Running"}}"#;
    stack.namespace().admin(&["patch", "pod", "streamed", "--subresource=status", "-p", running]);
    let stack = &stack;
    each(stack, async |version, _, kubectl| {
        let kubectl = kubectl.within(Duration::from_secs(10));
        for words in [
            &["exec", "streamed", "--", "id"][..],
            &["exec", "-i", "streamed", "--", "sh"],
            &["attach", "streamed"],
            &["port-forward", "pod/streamed", "0:80"],
            &["cp", "streamed:/etc/passwd", "passwd"],
        ] {
            let got = kubectl.run(words).await;
            let all = format!("{}{}", got.stderr, got.stdout);
            assert!(all.contains("not carried by this version of Sallyport"), "{version:?} {words:?}: {all}");
            // The newest port-forward goes on listening; it is refused when somebody connects.
            assert!(got.code.is_some_and(|code| code != 0), "{version:?} {words:?}: {all}");
        }
        let path = format!("/api/v1/namespaces/{}/pods/streamed/proxy/", &**stack.namespace());
        let refused = kubectl.run(&["get", "--raw", &path]).await.refused();
        assert!(refused.contains("exec, attach, port-forward and proxy are refused"), "{version:?}: {refused}");
    })
    .await;
    let told = told(stack, "streamed");
    assert!(told.iter().all(|what| what == "get pods as sallyport:read"), "{told:?}");
}

/// Names by which somebody could become whom nobody may become. Nothing is asked of approvers, and nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn identities_of_the_cluster_cannot_be_had() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let name = format!("become-{word}");
        let refused = kubectl
            .run(&["create", "clusterrole", &name, "--verb=impersonate", "--resource=users,groups"])
            .await
            .refused();
        assert!(refused.contains("can't be had through Sallyport"), "{version:?}: {refused}");
        let csr =
            super::file(&kubectl, "csr.yaml", &super::pods::certificate_request(&name, "/O=sallyport:approved/CN=x"));
        let refused = kubectl.run(&["create", "-f", &csr]).await.refused();
        assert!(refused.contains("can't be had through Sallyport"), "{version:?}: {refused}");
        assert!(told(stack, &name).is_empty());
        // Whoever is nobody special may ask.
        let csr = super::file(&kubectl, "csr.yaml", &super::pods::certificate_request(&name, "/O=team/CN=jane"));
        let made = kubectl.run(&["create", "-f", &csr]).await.ok();
        assert_eq!(made, format!("certificatesigningrequest.certificates.k8s.io/{name} created\n"), "{version:?}");
        kubectl.run(&["delete", "csr", &name]).await.ok();
    })
    .await;
}

/// An approval of a certificate request is judged by whose names it gives away, whoever made it.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_approved_by_people_and_never_for_reserved_names() {
    let stack = stack();
    let cluster = stack.namespace().cluster();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let (jane, ours) = (format!("jane-{word}"), format!("ours-{word}"));
        cluster.apply(&super::pods::certificate_request(&jane, "/O=team/CN=jane"));
        cluster.apply(&super::pods::certificate_request(&ours, "/O=sallyport:approved/CN=x"));
        let asked = kubectl.spawn(&["certificate", "approve", &jane], "").await;
        let said = super::approved(stack, asked, &jane).await.ok();
        assert!(said.contains(&format!("{jane} approved")), "{version:?}: {said}");
        let refused = kubectl.run(&["certificate", "approve", &ours]).await.refused();
        assert!(refused.contains("can't be had through Sallyport"), "{version:?}: {refused}");
        let conditions =
            |name: &str| cluster.admin(&["get", "csr", name, "-o", "jsonpath={.status.conditions[*].type}"]);
        assert_eq!((conditions(&jane).as_str(), conditions(&ours).as_str()), ("Approved", ""));
        cluster.admin(&["delete", "csr", &jane, &ours]);
    })
    .await;
}
