//! Every condition is run once when the policy is loaded, on a made-up request of each kind that its rule matches: what fails there
//! would fail on every request of that kind.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::time::Timestamp;

use super::{Broken, Condition, Facts, Patterns};
use crate::identity::{CiIdentity, Identity, PodIdentity};
use crate::policy::question::{Body, Live, Question, SessionFacts};
use crate::request_info::{RequestInfo, Verb};

/// What is wrong with the condition, if anything. `resource` is one that the rule matches.
pub(in crate::policy) fn try_out(
    condition: &Condition,
    patterns: &Patterns,
    has: impl Fn(Verb) -> bool,
    (group, resource, subresource): (&str, &str, &str),
) -> Option<String> {
    let identity = identity();
    let session = SessionFacts::default();
    let object = object();
    [Verb::Get, Verb::List, Verb::Delete, Verb::Create, Verb::Update, Verb::Patch].into_iter().find_map(|verb| {
        if !has(verb) {
            return None;
        }
        let info = info(verb, group, resource, subresource);
        let writes = matches!(verb, Verb::Create | Verb::Update | Verb::Patch) && !info.is_connect();
        let body = if writes { Body::Read { content_type: "application/json", value: &object } } else { Body::Absent };
        let live = if verb == Verb::Create { Live::Absent } else { Live::Present(&object) };
        let question = Question {
            info: &info,
            identity: &identity,
            query: &[],
            body,
            live,
            session: &session,
            cluster: "cluster",
        };
        let facts = Facts::new(&question, patterns, &|| false);
        match condition.test(&facts) {
            Ok(_) => None,
            // Fields of objects and claims can't be known here.
            Err(Broken::Error(message)) if message.starts_with("there is no field") => None,
            Err(Broken::Error(message)) => Some(explain(verb, condition, &message, writes)),
            Err(broken) => Some(format!("on a {verb} request: {broken}")),
        }
    })
}

fn explain(verb: Verb, condition: &Condition, message: &str, writes: bool) -> String {
    if condition.uses_object && !writes {
        return format!(
            "on a {verb} request: {message}; such a request has no body, so `object` is null: name the verbs that have one, or ask \
             `object != null &&` first"
        );
    }
    if condition.uses_old_object && verb == Verb::Create {
        return format!(
            "on a create request: {message}; nothing is there yet, so `oldObject` is null: leave `create` out of the verbs, or ask \
             `oldObject != null &&` first"
        );
    }
    format!("on a {verb} request: {message}")
}

fn info(verb: Verb, group: &str, resource: &str, subresource: &str) -> RequestInfo {
    RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb,
        api_group: group.to_owned(),
        api_version: "v1".to_owned(),
        namespace: "namespace".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        name: if matches!(verb, Verb::Create | Verb::List) { String::new() } else { "name".to_owned() },
        proxy_path: String::new(),
    }
}

fn identity() -> Identity {
    Identity {
        pod: PodIdentity {
            cluster: "cluster".to_owned(),
            namespace: "namespace".to_owned(),
            service_account: "account".to_owned(),
            pod: "pod".to_owned(),
            pod_uid: "uid".to_owned(),
        },
        ci: Some(CiIdentity {
            issuer: "https://issuer".to_owned(),
            subject: "subject".to_owned(),
            jti: "jti".to_owned(),
            person: Some("person".to_owned()),
            claims: BTreeMap::new(),
        }),
        expires: Timestamp::default(),
    }
}

/// The fields that every object has.
fn object() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Kind",
        "metadata": {"name": "name", "namespace": "namespace", "labels": {}, "annotations": {}},
    })
}
