//! The first half of a record: what a person would have typed, and the masked body.

use control_plane_core::attributes::Attributes;
use control_plane_core::digest::DigestKey;
use control_plane_core::intent::Intent;
use control_plane_core::request_info::{RequestInfo, Verb};
use http::Method;
use shared::ids::OperationId;

use super::Recorder;
use crate::store::{Opening, RUNNER};

/// The opening of a runner's operation.
pub(crate) fn of(attributes: &Attributes, key: &DigestKey, recorder: &Recorder) -> Opening {
    Opening { body: recorder.mask.body(attributes), ..without_body(RUNNER, attributes, key, recorder) }
}

/// The opening of an internal operation, for the operation that needs it. Its body is ours and may hold a runner's token: it is not kept.
pub(crate) fn internal(
    rule: &str,
    attributes: &Attributes,
    parent: Option<OperationId>,
    key: &DigestKey,
    recorder: &Recorder,
) -> Opening {
    Opening { parent, ..without_body(rule, attributes, key, recorder) }
}

fn without_body(kind: &str, attributes: &Attributes, key: &DigestKey, recorder: &Recorder) -> Opening {
    let request = attributes.request();
    let client = request.client();
    Opening {
        session: attributes.session(),
        id: attributes.operation(),
        cluster: attributes.cluster().to_owned(),
        issuer: attributes.identity().ci().map(|ci| ci.issuer.clone()),
        opened: recorder.clock.now(),
        kind: kind.to_owned(),
        parent: None,
        typed: typed(attributes),
        command: client.command.clone(),
        user_agent: client.user_agent.clone(),
        method: request.wire().method().to_string(),
        uri: request.wire().path_and_query().to_owned(),
        info: attributes.info().clone(),
        body: None,
        digest: Intent::of(attributes).digest(key),
        digest_key: recorder.store.seal().seal(key),
        bytes_in: request.wire().body().len() as u64,
    }
}

/// `kubectl create serviceaccounts bot -n ci`: derived by us from the request, not from what the client says of itself.
pub(crate) fn typed(attributes: &Attributes) -> String {
    let info = attributes.info();
    if !info.is_resource_request {
        let verb = if attributes.request().wire().method() == Method::GET { "get --raw" } else { info.verb.as_str() };
        return format!("kubectl {verb} {}", info.non_resource_path);
    }
    let mut text = format!("kubectl {} {}", word(info.verb), info.resource_word());
    let name = attributes.object_name();
    if !name.is_empty() {
        text.push(' ');
        text.push_str(name);
    } else if !attributes.request().generate_name().is_empty() {
        text.push(' ');
        text.push_str(attributes.request().generate_name());
        text.push('…');
    }
    text.push_str(&place(info));
    if attributes.dry_run() {
        text.push_str(" --dry-run=server");
    }
    text
}

const fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::List => "get",
        Verb::Watch => "get --watch",
        Verb::Update => "replace",
        Verb::DeleteCollection => "delete --all",
        Verb::Get | Verb::Create | Verb::Patch | Verb::Delete | Verb::Post | Verb::Put | Verb::Head | Verb::Options => {
            verb.as_str()
        }
    }
}

fn place(info: &RequestInfo) -> String {
    match (info.namespace.as_str(), info.verb) {
        ("", Verb::List | Verb::Watch) => " --all-namespaces".to_owned(),
        ("", _) => String::new(),
        (namespace, _) if info.resource == "namespaces" && info.name == namespace => String::new(),
        (namespace, _) => format!(" -n {namespace}"),
    }
}
