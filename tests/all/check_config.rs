//! Every program tells all mistakes of its configuration in one round, starts nothing, and exits with 64.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Command;

use tests::cluster::program;

struct Said {
    code: Option<i32>,
    stderr: String,
}

fn run(folder: &Path, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command = Command::new(program(name));
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(folder);
    let output = command.output().unwrap();
    Said { code: output.status.code(), stderr: String::from_utf8(output.stderr).unwrap() }
}

impl Said {
    #[track_caller]
    fn assert_mistakes(&self, keys: &[&str]) {
        assert_eq!(self.code, Some(64), "{}", self.stderr);
        for key in keys {
            assert!(self.stderr.contains(&format!("  {key}: ")), "{key} is not among the mistakes:\n{}", self.stderr);
        }
        assert!(self.stderr.contains(&format!("{} mistake(s)", keys.len())), "{}", self.stderr);
    }
}

#[test]
fn sallyport_says_all_of_configuration_keys_and_policy() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let config = |quic: &str, more: &str| {
        format!(
            "data: data
policy: policy.yaml
listen: {{quic: '{quic}', web: '127.0.0.1:0', admin: '127.0.0.1:0'}}
clusters: [{{name: a, uid: u, issuer: i, keys: keys.json, agent: sallyport/sallyport-agent}}]
localSocket: {{path: socket, uids: [0], groups: [g]}}
{more}"
        )
    };
    write(
        "config.yaml",
        &config("nowhere", "ca: none\napproverIssuers: [{issuer: 'https://x', audience: a, ca: roots.pem}]\n"),
    );
    write("keys.json", "{}");
    write(
        "policy.yaml",
        "apiVersion: sallyport.dev/v1alpha1\nkind: Policy\nthresholds: {holdAt: 400, twoPeopleAt: 100, denyAt: 100}\n",
    );
    let keys = ["listen.quic", "approverIssuers[0].groups", "clusters[a].keys", "approverIssuers", "ca", "policy"];
    run(folder.path(), "sallyport", &["check-config", "config.yaml"], &[]).assert_mistakes(&keys);
    // With a wrong policy it would start, and refuse everything; nothing else is forgiven, and all of that is said at once.
    let started = run(folder.path(), "sallyport", &["serve", "--config", "config.yaml"], &[]);
    started.assert_mistakes(keys.split_last().unwrap().1);
    assert!(!folder.path().join("data").exists(), "nothing was made");

    let key = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    write("keys.json", key);
    write("config.yaml", &config("127.0.0.1:0", ""));
    run(folder.path(), "sallyport", &["check-config", "config.yaml"], &[]).assert_mistakes(&["policy"]);
    write(
        "policy.yaml",
        "apiVersion: sallyport.dev/v1alpha1\nkind: Policy\nthresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}\n",
    );
    let right = run(folder.path(), "sallyport", &["check-config", "config.yaml"], &[]);
    assert_eq!((right.code, right.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_agent_says_all() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), "cluster: A\nlisten: here\nlog: {format: loud}\n").unwrap();
    let keys = [
        "cluster",
        "clusterUid",
        "controlPlane.address",
        "controlPlane.pin",
        "tokenFile",
        "placeholderKeys.current",
        "apiServer",
        "listen",
        "log.format",
    ];
    for arguments in [&["check-config", "config.yaml"][..], &["config.yaml"]] {
        run(folder.path(), "sallyport-agent", arguments, &[]).assert_mistakes(&keys);
    }
    let in_environment = [("SALLYPORT_AGENT_CONFIG", "config.yaml")];
    run(folder.path(), "sallyport-agent", &["check-config"], &in_environment).assert_mistakes(&keys);
    run(folder.path(), "sallyport-agent", &["check-config"], &[]).assert_mistakes(&["arguments"]);
    run(folder.path(), "sallyport-agent", &["check-config", "none.yaml"], &[]).assert_mistakes(&["none.yaml"]);
}

#[test]
fn the_sidecar_says_all() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = [
        ("SALLYPORT_CONTROL_PLANE", "nowhere"),
        ("SALLYPORT_CONTROL_PLANE_PIN", "short"),
        ("SALLYPORT_LISTEN", "0.0.0.0:1"),
    ];
    for arguments in [&["check-config"][..], &[]] {
        let said = run(folder.path(), "sallyport-sidecar", arguments, &wrong);
        assert_eq!(said.code, Some(64), "{}", said.stderr);
        for (name, _) in wrong {
            assert!(said.stderr.contains(name), "{name} is not among the mistakes:\n{}", said.stderr);
        }
    }
}

#[test]
fn the_injector_says_all() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), "listen: here\nunknown: 1\n").unwrap();
    for arguments in [&["inject", "--config", "config.yaml"][..], &["inject", "--check", "--config", "config.yaml"]] {
        let said = run(folder.path(), "sallyport", arguments, &[]);
        assert_eq!(said.code, Some(64), "{}", said.stderr);
        assert!(said.stderr.contains("config.yaml: "), "{}", said.stderr);
    }
}
