//! README.md, after the installation: an approver with a token of an OIDC issuer, and the first call that people approve.

use serde_json::json;

use super::installed::{Installed, readme};

/// What README.md has people type, in the node's network, where no other test has the port 8443. What stands for something of theirs is
/// put in: namespace, image, id. A person sees when a line has had its effect; between lines this waits for what he would see.
#[test]
fn the_first_call_that_people_approve_goes_as_the_readme_says() {
    let Some(on) = Installed::get() else { return };
    let _unchanged = on.unchanged();
    let (node, namespace) = (on.node, on.node.namespace("readme"));
    let folder = on.folder();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("the folder takes files");
    };
    let approver = json!({"aud": "sallyport", "sub": "ann", "groups": ["sallyport-approvers"]});
    write("token", &on.people.token(&approver));
    let (before, after) = readme();
    let [forward, run, ready, asked, list, approve] = after.as_slice() else { panic!("six lines: {after:?}") };
    let authority = before.last().expect("the last one fetches the certificate");
    let ours = |line: &str| {
        let line = line.replace(" -n ci ", &format!(" -n {} ", &*namespace));
        let line = line.replace("IMAGE", tests::node::RUNNER).replace(" ID ", r#" "$ID" "#);
        line.split(" #").next().unwrap_or_default().trim_end().to_owned()
    };
    let script = format!(
        r#"
set -euxo pipefail
trap 'kill $(jobs -p) || :' EXIT
{authority}
{forward}
until (exec 3<>/dev/tcp/127.0.0.1/8443); do sleep 0.2; done
{run}
{ready}
{asked}
HELD=$!
until {list} >listed && grep {namespace} listed; do sleep 0.2; done
read -r ID _ < <(grep {namespace} listed)
{approve}
wait "$HELD"
"#,
        authority = ours(authority),
        forward = ours(forward),
        run = ours(run),
        ready = ours(ready),
        asked = ours(asked),
        list = ours(list),
        approve = ours(approve),
        namespace = &*namespace,
    );
    write("script", &script);
    let (facts, place) = (node.facts(), folder.path().display());
    let path = format!("PATH={place}/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let config = format!("KUBECONFIG={}", facts.admin_kubeconfig.display());
    let enter = format!("cd {place} && exec timeout 240 bash script");
    let said = node.enter(&["env", "-i", &path, &config, &format!("HOME={place}"), "bash", "-c", &enter]);
    assert!(said.code == Some(0) && said.stdout.contains("serviceaccount/bot created"), "{said:?}");
    node.admin(&["-n", &namespace, "get", "serviceaccount", "bot"]);
    let holds = on.json(&["approvals", "list", "--all"]).to_string();
    assert!(holds.contains("ann") && holds.contains(on.people.url()), "it is on record whose vote it was: {holds}");
}
