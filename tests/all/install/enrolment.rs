//! `sallyport install --enrol`: where the token goes, and where not.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control_plane::install::{self, Installation, Settings};
use serde_json::{Value, json};
use shared_net::enrolment::EnrolmentToken;
use shared_net::pki::KeyPin;
use tests::cluster::program;

use super::rotation::applied;
use super::{NOW, cluster, values};

fn install(cluster: &install::Cluster, token: Option<&EnrolmentToken>) -> Installation {
    let pin = KeyPin::of_spki(b"key").to_string();
    let outside = json!({"controlPlane": {"address": "sallyport.example.com:7443", "pin": pin}});
    let settings = Settings::parse(values(outside)).unwrap().enrolling(token.cloned());
    Installation::new(&settings, cluster, None, NOW).unwrap()
}

fn named<'a>(installation: &'a Installation, kind: &str, name: &str) -> &'a Value {
    let fits = |one: &&Value| one["kind"] == kind && one["metadata"]["name"] == name;
    installation.objects().iter().find(fits).unwrap()
}

fn secret(installation: &Installation) -> &Value {
    named(installation, "Secret", "sallyport-enrolment")
}

fn agent_config(installation: &Installation) -> &str {
    named(installation, "ConfigMap", "sallyport-agent")["data"]["agent.yaml"].as_str().unwrap()
}

#[test]
fn a_token_is_for_the_agents_alone_and_is_kept() {
    let token = EnrolmentToken::new("production", KeyPin::of_spki(b"key"));
    let first = install(&cluster(36), Some(&token));
    let part = |name: &str| {
        String::from_utf8(STANDARD.decode(secret(&first)["data"][name].as_str().unwrap()).unwrap()).unwrap()
    };
    assert_eq!(part("token"), *token.text().expose());
    assert_eq!((part("issuer"), part("keys.json")), (cluster(36).issuer, cluster(36).keys));
    assert!(agent_config(&first).contains("enrolment: /etc/sallyport-enrolment"), "{}", agent_config(&first));
    let mounts =
        &named(&first, "Deployment", "sallyport-agent")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"];
    let place = json!({"name": "enrolment", "mountPath": "/etc/sallyport-enrolment", "readOnly": true});
    assert!(mounts.as_array().unwrap().contains(&place), "{mounts}");
    // Nowhere but in that Secret, which nobody but the agents mounts.
    let shown = [token.secret().expose().clone(), STANDARD.encode(token.text().expose())];
    for object in first.objects() {
        let text = object.to_string();
        assert!(object == secret(&first) || !shown.iter().any(|secret| text.contains(secret)), "{text}");
        let mounts = text.contains("\"secretName\":\"sallyport-enrolment\"");
        assert_eq!(mounts, object["kind"] == "Deployment" && object["metadata"]["name"] == "sallyport-agent", "{text}");
    }
    let notes = first.notes().join("\n");
    assert!(notes.contains("enrol this cluster as production") && !notes.contains("clusters:"), "{notes}");
    assert!(!notes.contains(&shown[0]), "{notes}");

    // Again, with it and without: the same. Another token starts the agents anew.
    for again in [Some(&token), None] {
        assert_eq!(install(&applied(&first), again).objects(), first.objects());
    }
    let other = install(&applied(&first), Some(&EnrolmentToken::new("production", token.pin())));
    let deployment = |installation| named(installation, "Deployment", "sallyport-agent").clone();
    assert_ne!(deployment(&other), deployment(&first));

    // Under another key of the control plane's authority, whatever was waiting waits on.
    let pin = KeyPin::of_spki(b"next");
    let moved = json!({"controlPlane": {"address": "sallyport.example.com:7443", "pin": pin.to_string()}});
    let moved = super::installation(values(moved), &applied(&first));
    let kept = STANDARD.decode(secret(&moved)["data"]["token"].as_str().unwrap()).unwrap();
    let kept: EnrolmentToken = String::from_utf8(kept).unwrap().parse().unwrap();
    assert_eq!((kept.pin(), kept.hash()), (pin, token.hash()));

    // Without one there is nothing to show, and the entry is told.
    let none = install(&cluster(36), None);
    assert_eq!(secret(&none)["data"], json!({"none": ""}));
    assert!(!agent_config(&none).contains("enrolment:"));
    assert!(none.notes().join("\n").contains("clusters:"), "{:?}", none.notes());
    let inside = super::installation(values(json!({})), &applied(&first));
    assert_eq!(secret(&inside)["data"], json!({"none": ""}));
}

#[test]
fn more_keys_than_an_agent_can_show_are_refused() {
    let mut large = cluster(36);
    large.keys = "x".repeat(40_000);
    let pin = KeyPin::of_spki(b"key");
    let outside = json!({"controlPlane": {"address": "sallyport.example.com:7443", "pin": pin.to_string()}});
    let settings = Settings::parse(values(outside)).unwrap().enrolling(Some(EnrolmentToken::new("production", pin)));
    let error = Installation::new(&settings, &large, None, NOW).unwrap_err();
    assert!(error.to_string().contains("40000 bytes of issuer keys"), "{error}");
}

/// What the token says is said once; said otherwise it is a mistake, and the token is in no message.
#[test]
fn what_contradicts_the_token_is_a_mistake() {
    let token = EnrolmentToken::new("production", KeyPin::of_spki(b"key"));
    let other = KeyPin::of_spki(b"other").to_string();
    let run = |token: &str, more: &[&str]| {
        let arguments =
            ["install", "--kubectl", "/nonexistent", "--agent-only", "--control-plane", "x:1", "--enrol", token];
        let output = Command::new(program("sallyport")).args(arguments).args(more).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains(token), "{said}");
        (output.status.code(), said)
    };
    let text = token.text();
    let (code, said) = run(text.expose(), &["--cluster", "staging", "--pin", &other]);
    assert_eq!(code, Some(64), "{said}");
    for words in ["cluster: \"staging\" is said, and the enrolment token is for \"production\"", "controlPlane.pin: "] {
        assert!(said.contains(words), "{said}");
    }
    let (code, said) = run("a-word", &["--cluster", "staging", "--pin", &other]);
    assert!(code == Some(64) && said.contains("--enrol: not an enrolment token"), "{said}");
    // Right, and said twice: then the cluster is asked.
    let pin = token.pin().to_string();
    for more in [&[][..], &["--cluster", "production", "--pin", &pin]] {
        let (code, said) = run(text.expose(), more);
        assert!(code == Some(1) && said.contains("the cluster can't be read"), "{said}");
    }
}
