//! `auth can-i` is answered from policy: it is policy that decides, not the rights of `sallyport:runner`.

use std::sync::Arc;

use control_plane_core::attributes::Attributes;
use control_plane_core::lifecycle::Outcome;
use control_plane_core::policy::{Access, AccessQuestion};
use control_plane_core::request_info::Verb;
use http::header::{CONTENT_TYPE, WARNING};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use shared::limits;
use shared_net::body::{self, BoxBody};

use super::Gateway;
use super::refusal::Refusal;
use super::serve::Refused;
use crate::records::OperationLog;
use crate::sessions::Session;

/// An answer that needs no API server.
pub(super) struct Answer {
    body: Value,
    warning: Option<String>,
}

impl Gateway {
    /// The answer to a SelfSubjectAccessReview or SelfSubjectRulesReview; `None` for everything else.
    pub(super) fn answer_review(&self, session: &Arc<Session>, attributes: &Attributes) -> Option<Answer> {
        let info = attributes.info();
        if info.api_group != "authorization.k8s.io" || info.verb != Verb::Create || !info.subresource.is_empty() {
            return None;
        }
        match info.resource.as_str() {
            "selfsubjectaccessreviews" => self.access_review(session, attributes),
            "selfsubjectrulesreviews" => Some(rules_review(attributes)),
            _ => None,
        }
    }

    fn access_review(&self, session: &Arc<Session>, attributes: &Attributes) -> Option<Answer> {
        let body = attributes.body()?;
        let spec = body.get("spec")?;
        let text =
            |parent: &'static str, field: &str| spec.get(parent).and_then(|v| v.get(field)).and_then(Value::as_str);
        let resource = |field: &str| text("resourceAttributes", field).unwrap_or_default();
        let path = text("nonResourceAttributes", "path");
        let question = AccessQuestion {
            verb: path.map_or_else(|| resource("verb"), |_| text("nonResourceAttributes", "verb").unwrap_or_default()),
            group: resource("group"),
            resource: resource("resource"),
            subresource: resource("subresource"),
            namespace: resource("namespace"),
            name: resource("name"),
            path,
        };
        let facts = session.facts(self.recorder.clock.steady());
        let policy = self.policies.current();
        let started = self.recorder.clock.monotonic();
        let out_of_time = || self.recorder.clock.monotonic().saturating_sub(started) > limits::CEL_TIME;
        let review = policy.access_review(&question, attributes.identity(), attributes.cluster(), &facts, &out_of_time);
        let (rule, risk) = (&review.explanation.rule, review.explanation.risk);
        let (allowed, warning) = match review.access {
            Access::Yes => (true, None),
            Access::YesAfterApproval => {
                (true, Some(format!("yes, after approval: rule {rule} holds it (risk {risk})")))
            }
            Access::No => (false, None),
        };
        let reason = format!("rule {rule} of Sallyport's policy, risk {risk}");
        let status = json!({ "allowed": allowed, "denied": !allowed, "reason": reason });
        Some(Answer { body: reply(attributes, body, status), warning })
    }

    /// Gives a local answer, recorded like any other: its outcome is on disk before the client has it.
    pub(super) async fn local_answer(
        &self,
        answer: Answer,
        mut log: OperationLog,
    ) -> Result<Response<BoxBody>, Refused> {
        let bytes = answer.body.to_string().into_bytes();
        log.answered_here(StatusCode::CREATED.as_u16(), "application/json");
        log.append(&bytes);
        let mut response = Response::new(body::full(bytes));
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let warning = answer.warning.and_then(|text| HeaderValue::from_str(&format!("299 sallyport \"{text}\"")).ok());
        if let Some(warning) = warning {
            response.headers_mut().insert(WARNING, warning);
        }
        let created = StatusCode::CREATED.as_u16();
        log.close(Outcome::of_status(created), created, Some("answered from policy".to_owned()))
            .await
            .map_err(|error| Refused { refusal: Refusal::Record(error), log: None })?;
        Ok(response)
    }
}

/// `auth can-i --list`: a list can't say "after approval", nor what depends on a body, so it is marked incomplete.
fn rules_review(attributes: &Attributes) -> Answer {
    let status = json!({
        "resourceRules": [
            { "verbs": ["get", "list", "watch"], "apiGroups": ["*"], "resources": ["*"] },
        ],
        "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/version", "/healthz", "/livez", "/readyz"] }],
        "incomplete": true,
        "evaluationError": "Sallyport judges each operation by what it does; ask `kubectl auth can-i VERB RESOURCE`",
    });
    let body = attributes.body().cloned().unwrap_or_else(|| json!({}));
    Answer { body: reply(attributes, &body, status), warning: None }
}

fn reply(attributes: &Attributes, request: &Value, status: Value) -> Value {
    let info = attributes.info();
    let kind =
        if info.resource == "selfsubjectaccessreviews" { "SelfSubjectAccessReview" } else { "SelfSubjectRulesReview" };
    json!({
        "kind": kind,
        "apiVersion": format!("{}/{}", info.api_group, info.api_version),
        "metadata": { "creationTimestamp": null },
        "spec": request.get("spec").cloned().unwrap_or_else(|| json!({})),
        "status": status,
    })
}
