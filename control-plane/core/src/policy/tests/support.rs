//! Requests in one line, as a person would write them.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::time::Timestamp;

use super::super::{Body, Live, Policy, Question, SessionFacts, decide, needs_live};
use crate::decision::{Effect, Verdict};
use crate::identity::{CiIdentity, Identity, PodIdentity};
use crate::request_info::RequestInfo;
use crate::risk::verbs;

/// A request that owns its parts.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) info: RequestInfo,
    pub(super) query: Vec<(String, String)>,
    pub(super) content_type: &'static str,
    pub(super) body: Option<Value>,
    pub(super) unreadable: bool,
}

/// `create deployments.apps/scale default/web?dryRun=All`, or `get /metrics`. A place without `/` is a cluster-scoped name; `-` is no
/// name; `kube-system/` is a namespace without a name.
pub(super) fn request(line: &str) -> Request {
    let (line, query) = line.split_once('?').unwrap_or((line, ""));
    let query = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut words = line.split_whitespace();
    let verb = verbs::parse(words.next().unwrap()).unwrap();
    let resource = words.next().unwrap();
    let mut info = RequestInfo {
        is_resource_request: !resource.starts_with('/'),
        non_resource_path: String::new(),
        verb,
        api_group: String::new(),
        api_version: "v1".to_owned(),
        namespace: String::new(),
        resource: String::new(),
        subresource: String::new(),
        name: String::new(),
        proxy_path: String::new(),
    };
    if !info.is_resource_request {
        info.non_resource_path = resource.to_owned();
        info.api_version = String::new();
        return Request { info, query, content_type: "", body: None, unreadable: false };
    }
    let (word, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (word, group) = word.split_once('.').unwrap_or((word, ""));
    info.resource = word.to_owned();
    info.api_group = group.to_owned();
    info.subresource = subresource.to_owned();
    let place = words.next().unwrap_or("-");
    assert_eq!(words.next(), None, "{line}");
    let (namespace, name) = place.split_once('/').unwrap_or(("", place));
    info.namespace = namespace.to_owned();
    info.name = if name == "-" { String::new() } else { name.to_owned() };
    if info.resource == "namespaces" {
        info.namespace.clone_from(&info.name);
    }
    Request { info, query, content_type: "application/json", body: None, unreadable: false }
}

impl Request {
    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }

    pub(super) fn question<'a>(
        &'a self,
        identity: &'a Identity,
        session: &'a SessionFacts,
        live: Live<'a>,
    ) -> Question<'a> {
        let body = match &self.body {
            _ if self.unreadable => Body::Unreadable,
            Some(value) => Body::Read { content_type: self.content_type, value },
            None => Body::Absent,
        };
        Question { info: &self.info, identity, query: &self.query, body, live, session, cluster: "prod" }
    }

    pub(super) fn decide(&self, policy: &Policy) -> Verdict {
        self.decide_live(policy, Live::NotRead)
    }

    pub(super) fn decide_live(&self, policy: &Policy, live: Live<'_>) -> Verdict {
        decide(policy, &self.question(&person(), &SessionFacts::default(), live), &|| false)
    }

    pub(super) fn needs_live(&self, policy: &Policy) -> bool {
        needs_live(policy, &self.question(&person(), &SessionFacts::default(), Live::NotRead))
    }

    pub(super) fn effect(&self, policy: &Policy) -> Effect {
        self.decide(policy).explanation().effect
    }

    pub(super) fn risk(&self, policy: &Policy) -> u8 {
        self.decide(policy).explanation().risk
    }
}

fn pod(account: &str) -> PodIdentity {
    PodIdentity {
        cluster: "prod".to_owned(),
        namespace: "ci".to_owned(),
        service_account: account.to_owned(),
        pod: "runner-1".to_owned(),
        pod_uid: "b0d0".to_owned(),
    }
}

/// A CI job that a known person started.
pub(super) fn person() -> Identity {
    let claims = BTreeMap::from([
        ("repository".to_owned(), "acme/app".to_owned()),
        ("repository_id".to_owned(), "42".to_owned()),
        ("ref".to_owned(), "refs/heads/main".to_owned()),
    ]);
    let ci = CiIdentity {
        issuer: "https://token.actions.example".to_owned(),
        subject: "repo:acme/app:ref:refs/heads/main".to_owned(),
        jti: "1".to_owned(),
        person: Some("7001".to_owned()),
        claims,
    };
    Identity { pod: pod("builder"), ci: Some(ci), expires: Timestamp::default() }
}

/// A CI job whose issuer names nobody.
pub(super) fn nobody() -> Identity {
    let mut identity = person();
    if let Some(ci) = &mut identity.ci {
        ci.person = None;
    }
    identity
}

/// A pod without a CI token.
pub(super) fn bare(account: &str) -> Identity {
    Identity { pod: pod(account), ci: None, expires: Timestamp::default() }
}

/// The built-in policy.
pub(super) fn built_in() -> Policy {
    Policy::built_in().unwrap()
}

/// A policy with these rules, in YAML, before the built-in ones.
pub(super) fn with_rules(rules: &str) -> Policy {
    let text = format!("apiVersion: sallyport.dev/v1alpha1\nrules:\n{rules}");
    match Policy::parse(&text) {
        Ok(policy) => policy,
        Err(mistakes) => panic!("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}
