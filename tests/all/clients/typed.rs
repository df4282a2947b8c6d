//! A Go program on client-go's typed clients, which speak protobuf: what it reads is masked in that encoding, what it writes arrives as
//! it was, and it is told so by the content types of its answers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::cluster::root;
use tests::kubectl::{Kubectl, Output, Version};
use tests::stack::Stack;

use super::{PASSWORD, approved, assert_sent, stack, without_password};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn program() -> PathBuf {
    let output = Command::new(root().join("scripts/cluster")).arg("client-go").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The client, set up as a runner's, and the file in which it keeps every body as it came.
fn client(stack: &Stack) -> (Kubectl, PathBuf) {
    let kubectl = stack.kubectl(Version::Newest).program(&program());
    let bodies = kubectl.home().join("bodies");
    let client = kubectl.env("BODIES", &bodies);
    (client, bodies)
}

/// What it printed, its last line as JSON.
fn object(output: Output) -> Value {
    without_password(&output);
    let text = output.ok();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// The content type of the answer to a call with this method, as the client saw it.
#[track_caller]
fn came_as(output: &Output, method: &str, content_type: &str) {
    let line = output.stderr.lines().rfind(|line| line.starts_with(method)).unwrap_or_default();
    assert!(line.ends_with(&format!(" {content_type}")), "{method}: {}", output.stderr);
}

fn password(object: &Value) -> &str {
    object["data"]["password"].as_str().unwrap()
}

fn no_value_in(bodies: &Path) {
    use base64::Engine as _;
    let bytes = std::fs::read(bodies).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(PASSWORD);
    for value in [PASSWORD, &encoded] {
        assert!(!bytes.windows(value.len()).any(|window| window == value.as_bytes()), "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_clients_read_masked_protobuf() {
    let stack = stack();
    let stack = &stack;
    let (client, bodies) = client(stack);
    let namespace = stack.namespace().to_string();
    let literal = format!("--from-literal=password={PASSWORD}");
    stack.namespace().admin(&["create", "secret", "generic", "typed", &literal]);

    let got = client.run(&["get", &namespace, "typed"]).await;
    came_as(&got, "GET", PROTOBUF);
    let got = object(got);
    assert!(password(&got).starts_with("c2FsbHlwb3J0"), "{got}");

    // A list comes as JSON, with the same placeholder.
    let listed = client.run(&["list", &namespace]).await;
    came_as(&listed, "GET", "application/json");
    let listed = object(listed);
    let item = listed["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "typed").unwrap();
    assert_eq!(password(item), password(&got));

    let watched = client.run(&["watch", &namespace, "typed"]).await;
    came_as(&watched, "GET", &format!("{PROTOBUF};stream=watch"));
    assert!(watched.stdout.starts_with("ADDED"), "{}", watched.stdout);
    assert_eq!(password(&object(watched)), password(&got));

    let informed = client.run(&["inform", &namespace, "typed"]).await;
    came_as(&informed, "GET", &format!("{PROTOBUF};stream=watch"));
    assert_eq!(password(&object(informed)), password(&got));

    let metadata = client.run(&["metadata", &namespace, "typed"]).await;
    came_as(&metadata, "GET", PROTOBUF);
    assert_eq!(object(metadata)["metadata"]["name"], "typed");

    let missing = client.run(&["get", &namespace, "no-such-typed"]).await;
    came_as(&missing, "GET", PROTOBUF);
    assert_eq!(missing.refused().lines().last().unwrap(), r#"secrets "no-such-typed" not found"#);
    no_value_in(&bodies);
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_clients_write_protobuf_and_get_it_back_masked() {
    let stack = stack();
    let stack = &stack;
    let (client, bodies) = client(stack);
    let namespace = stack.namespace().to_string();

    let made = client.run(&["create", &namespace, "typed-made", PASSWORD]).await;
    came_as(&made, "POST", PROTOBUF);
    let made = object(made);
    assert!(password(&made).starts_with("c2FsbHlwb3J0"), "{made}");
    assert_eq!(made["metadata"]["labels"]["made"], "typed");
    let real = stack.namespace().admin(&["get", "secret", "typed-made", "-o", "jsonpath={.data.password}"]);
    assert_eq!(real, base64::Engine::encode(&base64::engine::general_purpose::STANDARD, PASSWORD));

    let other = format!("{PASSWORD}-2");
    let updating = client.spawn(&["update", &namespace, "typed-made", &other], "").await;
    let updated = approved(stack, updating, "typed-made").await;
    came_as(&updated, "PUT", PROTOBUF);
    assert_eq!(password(&object(updated)), password(&made), "the same place, another value");
    let real = stack.namespace().admin(&["get", "secret", "typed-made", "-o", "jsonpath={.data.password}"]);
    assert_eq!(real, base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &other));

    let again = client.run(&["create", &namespace, "typed-made", PASSWORD]).await;
    came_as(&again, "POST", PROTOBUF);
    without_password(&again);
    assert!(again.refused().contains(r#"secrets "typed-made" already exists"#));
    assert_sent(stack, "typed-made", "update secrets as sallyport:approved", 1);
    no_value_in(&bodies);
}
