//! Set up as a pod's container is: two variables, three files at the path where client libraries look, and no word of ours.

use std::path::Path;
use std::process::Command;

use tests::cluster::root;
use tests::kubectl::{Kubectl, Version};

use super::{PASSWORD, approved, assert_sent, stack, without_password};

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_its_way_as_in_a_pod() {
    let stack = stack();
    for version in Version::ALL {
        let kubectl = Kubectl::new(version).in_pod(&stack.service_account(), stack.sidecar());
        // The namespace is the pod's own, by the third file.
        assert!(kubectl.run(&["get", "pods"]).await.ok().contains("runner"), "{version:?}");
        let name = format!("in-pod-{version:?}").to_lowercase();
        let made = kubectl.run(&["create", "configmap", &name]).await.ok();
        assert_eq!(made, format!("configmap/{name} created\n"));
        assert_sent(&stack, &name, "create configmaps as sallyport:write", 1);
        // client-go's own switch: the same over HTTP/1.1.
        let kubectl = kubectl.env("DISABLE_HTTP2", "true");
        assert!(kubectl.run(&["get", "configmap", &name, "-o", "name"]).await.ok().contains(&name), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_spoken() {
    let stack = stack();
    let folder = stack.service_account();
    let token = std::fs::read_to_string(folder.join("token")).unwrap();
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let url = format!("https://{}/api/v1/namespaces/{}/pods", stack.sidecar(), &**stack.namespace());
        let output = Command::new("curl")
            .args(["-s", option, "--max-time", "20", "-w", "\n%{http_version} %{http_code}", "--cacert"])
            .arg(folder.join("ca.crt"))
            .args(["-H", &format!("Authorization: Bearer {}", token.trim()), &url])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with(&format!("\n{version} 200")) && text.contains("\"PodList\""), "{text}");
    }
}

/// The script is what the client's own documentation shows; every line that it prints is checked here.
#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_unchanged() {
    let stack = stack();
    let literal = format!("--from-literal=password={PASSWORD}");
    stack.namespace().admin(&["create", "secret", "generic", "of-python", &literal]);
    let python = Command::new(root().join("scripts/cluster")).arg("python").output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let python = String::from_utf8(python.stdout).unwrap();
    let client =
        Kubectl::new(Version::Old).program(Path::new(python.trim())).in_pod(&stack.service_account(), stack.sidecar());
    let script = root().join("tests/all/clients/story.py").display().to_string();
    let running = client.spawn(&[script.as_str(), &**stack.namespace()], "").await;
    let done = approved(&stack, running, "by-python-bot").await;
    without_password(&done);
    let expected = "created by-python
listed by-python
got a=1
watched ADDED by-python
patched a=2
replaced a=3
secret is masked
refused 403 Forbidden
held and made by-python-bot
deleted by-python
gone 404
";
    assert_eq!((done.stdout.as_str(), done.code), (expected, Some(0)), "{}", done.stderr);
    for (name, what) in [
        ("by-python", "patch configmaps as sallyport:write"),
        ("by-python", "update configmaps as sallyport:write"),
        ("by-python", "delete configmaps as sallyport:write"),
        ("by-python-bot", "create serviceaccounts as sallyport:approved"),
    ] {
        assert_sent(&stack, name, what, 1);
    }
}

/// A real CertificateSigningRequest for a subject as openssl writes it: `/O=…/CN=…`.
pub(super) fn certificate_request(name: &str, subject: &str) -> String {
    let output = Command::new("openssl")
        .args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-subj", subject])
        .output()
        .expect("openssl starts");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    let request = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, output.stdout);
    format!(
        "apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: {name}}}
spec: {{request: {request}, signerName: example.com/none, usages: [client auth]}}
"
    )
}
