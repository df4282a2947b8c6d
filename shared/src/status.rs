//! The Kubernetes `Status` object (meta/v1), the only shape in which a client is ever refused.
//!
//! kubectl prints `Error from server (<reason>): <message>`; AI agents read `details.causes`.
//! Source: k8s.io/apimachinery pkg/apis/meta/v1/types.go.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A failure, as an API server would say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    kind: String,
    api_version: String,
    metadata: Metadata,
    status: String,
    /// A sentence for a person.
    pub message: String,
    /// CamelCase word that clients switch on.
    pub reason: Reason,
    /// What it is about, and the machine-readable causes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The HTTP status code.
    pub code: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Metadata {}

/// The object a `Status` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object, if any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group of the resource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The *resource* (plural), as the API server fills it in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Machine-readable facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Only for refusals made before anything may have been sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One machine-readable fact: `reason` names it, `message` holds its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Name of the fact, e.g. `SallyportOperation`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field of the request it is about, if any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Cause {
    /// A fact with a name and a value.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), field: String::new() }
    }
}

/// A sentence of ours with the operation that it is about.
pub fn of_operation(sentence: &str, id: impl fmt::Display) -> String {
    format!("{sentence} [sallyport operation {id}]")
}

/// Kubernetes' own reason words, and those of ours that its vocabulary lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 409
    Conflict,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 429
    TooManyRequests,
    /// 500
    InternalError,
    /// 502: the answer could not be used, or nobody can say whether the operation ran.
    BadGateway,
    /// 503
    ServiceUnavailable,
    /// 504
    Timeout,
}

impl Reason {
    /// The HTTP status code that goes with the word.
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::Conflict => 409,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::TooManyRequests => 429,
            Self::InternalError => 500,
            Self::BadGateway => 502,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

impl Status {
    /// A failure with the code that belongs to its reason.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind: "Status".to_owned(),
            api_version: "v1".to_owned(),
            metadata: Metadata {},
            status: "Failure".to_owned(),
            message: message.into(),
            reason,
            details: None,
            code: reason.code(),
        }
    }

    /// The same with what it is about.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(details);
        self
    }

    /// The same with one more machine-readable fact.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The same with the operation that it is about: for people in the sentence, and as a fact. Of what we say ourselves, never of an API
    /// server's own words.
    #[must_use]
    pub fn of_operation(mut self, id: impl fmt::Display) -> Self {
        let id = id.to_string();
        self.message = of_operation(&self.message, &id);
        self.with_cause(Cause::new("SallyportOperation", id))
    }

    /// The JSON to send, with content type `application/json`.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of strings and numbers cannot fail to serialise; were it to, an empty object is still no success.
        serde_json::to_vec(self).unwrap_or_else(|_| b"{}".to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_its_operation_for_people_and_for_programs() {
        let status = Status::failure(Reason::Forbidden, "no").of_operation("01a2");
        assert_eq!(status.message, "no [sallyport operation 01a2]");
        assert_eq!(status.details.unwrap().causes, [Cause::new("SallyportOperation", "01a2")]);
    }

    #[test]
    fn looks_like_the_api_servers() {
        let status = Status::failure(Reason::Forbidden, "no").with_cause(Cause::new("SallyportRule", "default"));
        assert_eq!(
            String::from_utf8(status.to_json()).unwrap(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","reason":"Forbidden","details":{"causes":[{"reason":"SallyportRule","message":"default"}]},"code":403}"#
        );
    }
}
