//! The files that an installation would write.

use std::ffi::OsString;
use std::net::SocketAddr;

use super::{Setup, Stack, write_file};
use crate::cluster::Cluster;

/// The built-in rules, with what makes one vote over the local socket enough.
const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
";

/// Tokens, pinned keys and the control plane's configuration.
pub(super) fn write(stack: &Stack, cluster: &Cluster, setup: &Setup<'_>) {
    write_file(&stack.path("runner/token"), &runner_token(stack, "runner"));
    write_file(&stack.path("agent/token"), &cluster.token("sallyport", "sallyport-agent", None, None));
    let shown = cluster.token("sallyport", "sallyport-agent", Some("sallyport-agent"), None);
    write_file(&stack.path("agent/control-plane-token"), &shown);
    if let Some(guarded) = &setup.guarded {
        write_file(&stack.path("agent/guarded.json"), guarded);
    }
    write_file(&stack.path("agent/placeholder.key"), "0123456789abcdef0123456789abcdef");
    write_file(&stack.path("control-plane/keys.json"), &cluster.admin(&["get", "--raw", "/openid/v1/jwks"]));
    write_file(&stack.path("control-plane/policy.yaml"), setup.policy.unwrap_or(POLICY));
    let (at, uid, issuer) = (stack.addresses, cluster_uid(cluster), &cluster.facts().issuer);
    let own_uid = std::os::unix::fs::MetadataExt::uid(&stack.folder.path().metadata().expect("our own folder"));
    let own = format!(
        "- {{name: test, uid: {uid}, issuer: '{issuer}', keys: keys.json, agent: sallyport/sallyport-agent, requireCi: {}}}\n",
        setup.require_ci
    );
    let clusters = format!("{}{}", if setup.enrolled { "" } else { &own }, setup.clusters);
    let clusters = if clusters.is_empty() { " []\n".to_owned() } else { format!("\n{clusters}") };
    let config = format!(
        "data: data
listen: {{quic: '{}', web: '{}', admin: '{}'}}
policy: policy.yaml
clusters:{clusters}localSocket: {{path: ../socket, uids: [{own_uid}], groups: [sallyport-approvers], dangerSingleLocalVote: {}}}
{}",
        at.quic, at.web, at.admin, !setup.earnest, setup.issuers
    );
    write_file(&stack.path("control-plane/config.yaml"), &config);
}

/// What a sidecar of this pod shows.
pub(super) fn runner_token(stack: &Stack, pod: &str) -> String {
    stack.namespace().cluster().token(stack.namespace(), "default", Some("sallyport"), Some(pod))
}

/// The agent's configuration. It needs the pin, so the control plane comes first.
pub(super) fn write_agent(stack: &Stack, cluster: &Cluster, name: &str, admin: SocketAddr) {
    let path = |name: &str| stack.path("agent").join(name).display().to_string();
    let guarded = stack.path("agent/guarded.json");
    let guarded = if guarded.exists() { format!("guarded: '{}'\n", guarded.display()) } else { String::new() };
    let revealed = stack.revealed.iter().map(|name| format!("revealed: ['{}/{name}']\n", &*stack.namespace));
    let revealed: String = revealed.collect();
    let folder = stack.path("agent/enrolment");
    let enrolment = if folder.exists() { format!("enrolment: '{}'\n", folder.display()) } else { String::new() };
    let config = format!(
        "cluster: test
clusterUid: {}
controlPlane: {{address: '{}', pin: '{}'}}
tokenFile: '{}'
placeholderKeys: {{current: '{}'}}
apiServer: {{url: '{}', caFile: '{}', tokenFile: '{}'}}
listen: '{}'
log: {{format: json}}
{guarded}{revealed}{enrolment}",
        cluster_uid(cluster),
        stack.agent_dials(),
        stack.pin,
        path("control-plane-token"),
        path("placeholder.key"),
        stack.api_server.url,
        stack.api_server.ca.display(),
        path("token"),
        admin,
    );
    write_file(&stack.agent_config(name), &config);
}

/// The sidecar's environment, as the webhook writes it.
pub(super) fn sidecar(stack: &Stack) -> Vec<(&'static str, OsString)> {
    let ci_token = stack.path("runner/ci-token");
    let ci = ci_token.exists().then(|| ("SALLYPORT_CI_TOKEN_FILE", ci_token.into_os_string()));
    let mut variables = vec![
        ("SALLYPORT_CONTROL_PLANE", stack.sidecar_dials().to_string().into()),
        ("SALLYPORT_CONTROL_PLANE_PIN", stack.pin.clone().into()),
        ("SALLYPORT_LISTEN", stack.addresses.sidecar.to_string().into()),
        ("SALLYPORT_POD_TOKEN_FILE", stack.path("runner/token").into()),
        ("SALLYPORT_SERVE_DIR", stack.path("runner/serve").into()),
        ("SALLYPORT_KUBECONFIG", stack.path("runner/kubeconfig").into()),
        ("POD_NAMESPACE", OsString::from(&**stack.namespace())),
    ];
    variables.extend(ci);
    variables
}

fn cluster_uid(cluster: &Cluster) -> String {
    cluster.admin(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"])
}
