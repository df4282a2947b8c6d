//! An `AdmissionReview` in, one out: which webhook was called, for what, and what it says. Pure.
//!
//! Whatever is no review of something that the webhooks ask for is refused as a whole, and so, under failurePolicy Fail, is the request
//! behind it.
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::Config;
use super::pod::{self, Objections, Reason, Scope, patch};

/// What is asked, by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// Put the sidecar in.
    Mutate,
    /// Look at the Pod that would be stored, and at what is done to it later.
    Validate,
    /// Tell whoever writes a template what would become of its Pods.
    Warn,
}

impl Webhook {
    /// The paths of `manifests/injector/webhooks.yaml`.
    pub fn from_path(path: &str) -> Option<(Self, Scope)> {
        let (name, scope) = match path.strip_suffix("/required") {
            Some(name) => (name, Scope::Required),
            None => (path, Scope::Annotated),
        };
        let webhook = match name {
            "/mutate" => Self::Mutate,
            "/validate" => Self::Validate,
            "/warn" => Self::Warn,
            _ => return None,
        };
        Some((webhook, scope))
    }

    /// For metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
            Self::Warn => "warn",
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReviewError {
    /// Not JSON, or not of the shape.
    #[error("this is no AdmissionReview: {0}")]
    Garbage(String),
    /// Another version.
    #[error("expected apiVersion admission.k8s.io/v1 and kind AdmissionReview, got {0}")]
    Version(String),
    /// Not what the webhooks are registered for.
    #[error(
        "{webhook} does not answer for {what}: the webhooks must be registered as manifests/injector/webhooks.yaml has them"
    )]
    Foreign {
        /// The webhook.
        webhook: &'static str,
        /// Operation and kind.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    kind: Kind,
    #[serde(default)]
    sub_resource: String,
    operation: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    group: String,
    #[serde(default)]
    version: String,
    kind: String,
}

/// What was decided.
#[derive(Debug)]
struct Verdict {
    result: &'static str,
    patch: Vec<Value>,
    warnings: Vec<String>,
    refused: Option<Objections>,
}

impl Verdict {
    const ALLOWED: Self = Self { result: "allowed", patch: Vec::new(), warnings: Vec::new(), refused: None };
}

/// An answer, and one word on it.
#[derive(Debug)]
pub struct Answer {
    /// patched | allowed | refused.
    pub result: &'static str,
    /// The review to send back.
    pub body: Vec<u8>,
}

/// Answers.
///
/// # Errors
/// It can't be answered.
pub fn answer(config: &Config, webhook: Webhook, scope: Scope, body: &[u8]) -> Result<Answer, ReviewError> {
    let review: Review = serde_json::from_slice(body).map_err(|error| ReviewError::Garbage(error.to_string()))?;
    if (review.api_version.as_str(), review.kind.as_str()) != ("admission.k8s.io/v1", "AdmissionReview") {
        let got = format!("{} {}", review.api_version, review.kind);
        return Err(ReviewError::Version(control_plane_core::risk::shown(&got)));
    }
    let Some(request) = review.request else { return Err(ReviewError::Garbage("it has no request".to_owned())) };
    // Should the selectors ever let our own Pods through, we must not be what keeps us from starting.
    let verdict = if config.own_namespaces.contains(&request.namespace) {
        Verdict::ALLOWED
    } else {
        match webhook {
            Webhook::Mutate => mutate(config, scope, &request),
            Webhook::Validate => validate(config, scope, &request),
            Webhook::Warn => warn(config, scope, &request),
        }
        .ok_or_else(|| foreign(webhook, &request))?
    };
    let body = serde_json::to_vec(&json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response(&request.uid, &verdict),
    }));
    let body = body.map_err(|error| ReviewError::Garbage(error.to_string()))?;
    Ok(Answer { result: verdict.result, body })
}

fn response(uid: &str, verdict: &Verdict) -> Value {
    let mut response = json!({"uid": uid, "allowed": verdict.refused.is_none()});
    let Some(members) = response.as_object_mut() else { return response };
    if let Some(objections) = &verdict.refused {
        let (code, reason) = match objections.reason() {
            Reason::Mistake => (400, "BadRequest"),
            Reason::Changed | Reason::Bypass => (403, "Forbidden"),
        };
        let status = json!({"status": "Failure", "code": code, "reason": reason, "message": objections.message()});
        members.insert("status".to_owned(), status);
    } else if !verdict.patch.is_empty() {
        members.insert("patchType".to_owned(), json!("JSONPatch"));
        members.insert("patch".to_owned(), json!(STANDARD.encode(Value::from(verdict.patch.clone()).to_string())));
    }
    if !verdict.warnings.is_empty() {
        members.insert("warnings".to_owned(), json!(verdict.warnings));
    }
    members.insert("auditAnnotations".to_owned(), json!({"result": verdict.result}));
    response
}

fn refused(objections: Objections) -> Verdict {
    Verdict { result: "refused", refused: Some(objections), ..Verdict::ALLOWED }
}

fn foreign(webhook: Webhook, request: &Request) -> ReviewError {
    let Request { operation, kind, sub_resource, .. } = request;
    let what = format!("{operation} of {}/{} {} {sub_resource}", kind.group, kind.version, kind.kind);
    ReviewError::Foreign { webhook: webhook.word(), what: control_plane_core::risk::shown(what.trim()) }
}

/// What a review is about.
fn about(request: &Request) -> (&str, &str, &str) {
    let core = request.kind.group.is_empty() && request.kind.version == "v1";
    (request.operation.as_str(), if core { request.kind.kind.as_str() } else { "" }, request.sub_resource.as_str())
}

fn mutate(config: &Config, scope: Scope, request: &Request) -> Option<Verdict> {
    if about(request) != ("CREATE", "Pod", "") {
        return None;
    }
    Some(match pod::inject(&request.object, config, scope) {
        Err(objections) => refused(objections),
        Ok(None) => Verdict::ALLOWED,
        Ok(Some(finished)) => {
            let patch = patch::difference(&request.object, &finished);
            let result = if patch.is_empty() { "allowed" } else { "patched" };
            Verdict { result, patch, ..Verdict::ALLOWED }
        }
    })
}

fn validate(config: &Config, scope: Scope, request: &Request) -> Option<Verdict> {
    let (old, new) = (&request.old_object, &request.object);
    let result = match about(request) {
        ("CREATE", "Pod", "") => finished(config, scope, new),
        ("UPDATE", "Pod", "ephemeralcontainers") => pod::ephemeral(old, new, scope),
        ("UPDATE", "Pod", "" | "status") => pod::update(old, new),
        ("CREATE", "Binding", "binding") | ("CREATE", "Binding", "") => pod::binding(new),
        _ => return None,
    };
    Some(result.map_or_else(refused, |()| Verdict::ALLOWED))
}

/// The Pod that would be stored is what the mutating webhook makes of it.
fn finished(config: &Config, scope: Scope, pod: &Value) -> Result<(), Objections> {
    let Some(wanted) = pod::inject(pod, config, scope)? else { return Ok(()) };
    let steps = patch::difference(pod, &wanted);
    if steps.is_empty() {
        return Ok(());
    }
    let text = if pod::claims_injection(pod) {
        format!(
            "another webhook, or another Sallyport, changed what the sidecar needs ({}); this one is of {}",
            patch::places(&steps),
            config.control_plane
        )
    } else {
        "it was not given its sidecar: the mutating webhook sallyport-injector is missing, or ran before another one added the annotation".to_owned()
    };
    Err(Objections::one(Reason::Changed, text))
}

/// Never refuses: the template may be mended before a Pod comes of it, and a controller's write must not fail for us.
fn warn(config: &Config, scope: Scope, request: &Request) -> Option<Verdict> {
    let template = ["/spec/jobTemplate/spec/template", "/spec/template"]
        .into_iter()
        .find_map(|path| request.object.pointer(path))
        .filter(|_| matches!(request.operation.as_str(), "CREATE" | "UPDATE"))?;
    let mut template = template.clone();
    if let Some(template) = template.as_object_mut() {
        // `metadata: {creationTimestamp: null}` is left out where there is nothing else.
        template.entry("metadata").or_insert_with(|| json!({}));
    }
    let warnings = match pod::inject(&template, config, scope) {
        Ok(_) => Vec::new(),
        Err(objections) => vec![format!("no Pod will come of this: {}", objections.message())],
    };
    Some(Verdict { warnings, ..Verdict::ALLOWED })
}

/// Entry of the fuzz target, also run over its corpus by an ordinary test: whatever the bytes, no webhook panics, and what it patches it
/// finds in order afterwards.
#[doc(hidden)]
pub fn fuzz_admission(data: &[u8]) {
    let config = Config::example();
    for path in ["/mutate", "/mutate/required", "/validate", "/validate/required", "/warn", "/warn/required"] {
        let Some((webhook, scope)) = Webhook::from_path(path) else { continue };
        let answered = answer(&config, webhook, scope, data);
        let Ok(Answer { result: "patched", body }) = answered else { continue };
        settles(&config, scope, data, &body);
    }
}

/// Applies the patch as the API server would, and asks again.
fn settles(config: &Config, scope: Scope, data: &[u8], body: &[u8]) {
    let patched = (|| {
        let mut review: Value = serde_json::from_slice(data).ok()?;
        let answer: Value = serde_json::from_slice(body).ok()?;
        let patch = STANDARD.decode(answer.pointer("/response/patch")?.as_str()?).ok()?;
        let steps: Vec<Value> = serde_json::from_slice(&patch).ok()?;
        let object = review.pointer_mut("/request/object")?;
        *object = patch::apply(object.take(), &steps)?;
        serde_json::to_vec(&review).ok()
    })();
    let again = patched.map(|review| {
        let word = |webhook| answer(config, webhook, scope, &review).map(|answer| answer.result);
        (word(Webhook::Mutate), word(Webhook::Validate))
    });
    assert_eq!(again, Some((Ok("allowed"), Ok("allowed"))), "a patch that settles nothing");
}

#[cfg(test)]
mod tests;
