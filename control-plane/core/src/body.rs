//! The body of a request, read once for policy: JSON, YAML or Kubernetes protobuf, as one [`Value`].
//!
//! Invariant: the value is what the API server understands by those bytes. Where two readers could differ (a key twice, a number that
//! no `f64` holds, a YAML alias, a protobuf field that Go would merge) the body is refused, never guessed. Nothing here keeps a
//! plain scalar of the body in an error: it may be a secret, and errors reach the record and the client.
//!
//! Called by the attribute stage with the method's kind of body. Content types follow the API server
//! (k8s.io/apiserver `pkg/endpoints/handlers/negotiation` and `handlers/patch.go`): absent means JSON, except for PATCH.

mod budget;
mod canonical;
mod error;
pub(crate) mod json;
mod number;
mod patch;
mod protobuf;
mod yaml;

#[cfg(test)]
pub(crate) mod tests;

pub use crate::protobuf::ProtobufProblem;
pub use canonical::{canonical, wire};
pub use error::{BodyError, ScalarProblem};

pub(crate) use budget::{Budget, memory, of_text};
use serde_json::Value;
use shared::limits;

/// How a body was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`, or no content type.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`; forwarded as the exact bytes that were judged.
    Protobuf,
    /// `application/json-patch+json`, RFC 6902: a list of operations.
    JsonPatch,
    /// `application/merge-patch+json`, RFC 7386.
    MergePatch,
    /// `application/strategic-merge-patch+json`: a merge patch with `$patch` and other directives.
    StrategicMergePatch,
    /// `application/apply-patch+yaml`: server-side apply; YAML, though nearly every client writes JSON.
    ApplyPatch,
}

/// Which content types a request may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// POST, PUT and DELETE: an object.
    Object,
    /// PATCH: one of the four patch types.
    Patch,
}

/// A body that policy can look at.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedBody {
    /// How the client wrote it.
    pub encoding: Encoding,
    /// What it says. An object, except for [`Encoding::JsonPatch`], which is an array of operations.
    pub value: Value,
}

/// Reads a whole body. An empty body is an error: callers ask only where the API server would read one.
///
/// # Errors
/// [`BodyError`]: the API server would refuse the body, or might read it otherwise than we do.
pub fn parse(content_type: Option<&str>, kind: BodyKind, bytes: &[u8]) -> Result<ParsedBody, BodyError> {
    let encoding = match kind {
        BodyKind::Object => Encoding::of_object(content_type)?,
        BodyKind::Patch => Encoding::of_patch(content_type)?,
    };
    if bytes.is_empty() {
        return Err(BodyError::Empty);
    }
    if bytes.len() > limits::REQUEST_BODY_BYTES {
        return Err(BodyError::TooLong { limit: limits::REQUEST_BODY_BYTES, got: bytes.len() });
    }
    let mut budget = Budget::of_request(bytes.len());
    let value = match encoding {
        Encoding::Json | Encoding::JsonPatch | Encoding::MergePatch | Encoding::StrategicMergePatch => {
            json::read(bytes, &mut budget)?
        }
        Encoding::Yaml | Encoding::ApplyPatch => yaml::read(bytes, &mut budget)?,
        Encoding::Protobuf => protobuf::read(bytes, &mut budget)?,
    };
    match encoding {
        Encoding::JsonPatch => patch::check_operations(&value)?,
        Encoding::ApplyPatch => patch::check_apply(&value)?,
        Encoding::Json | Encoding::Yaml | Encoding::Protobuf | Encoding::MergePatch | Encoding::StrategicMergePatch => {
            patch::check_object(&value)?
        }
    }
    Ok(ParsedBody { encoding, value })
}

/// A text in YAML inside something else, as the API server would read it; `None`: there is nothing but comments.
pub(crate) fn read_yaml(text: &str, budget: &mut Budget) -> Result<Option<Value>, BodyError> {
    match yaml::read(text.as_bytes(), budget) {
        Ok(value) => Ok(Some(value)),
        Err(BodyError::Empty) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Encoding {
    const OBJECT: &'static str = "application/json, application/yaml or application/vnd.kubernetes.protobuf";
    const PATCH: &'static str = "application/json-patch+json, application/merge-patch+json, \
        application/strategic-merge-patch+json or application/apply-patch+yaml";

    /// The API server parses the header (case doesn't count, parameters are dropped); we take no more than one plain type before `;`.
    fn of_object(content_type: Option<&str>) -> Result<Self, BodyError> {
        let Some(text) = content_type.filter(|text| !text.is_empty()) else {
            return Ok(Self::Json);
        };
        match essence(text).trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/yaml" => Ok(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Ok(Self::Protobuf),
            _ => Err(BodyError::MediaType { expected: Self::OBJECT, got: text.to_owned() }),
        }
    }

    /// For a PATCH the API server compares the exact bytes before `;`.
    fn of_patch(content_type: Option<&str>) -> Result<Self, BodyError> {
        let text = content_type.unwrap_or_default();
        match essence(text) {
            "application/json-patch+json" => Ok(Self::JsonPatch),
            "application/merge-patch+json" => Ok(Self::MergePatch),
            "application/strategic-merge-patch+json" => Ok(Self::StrategicMergePatch),
            "application/apply-patch+yaml" => Ok(Self::ApplyPatch),
            _ => Err(BodyError::MediaType { expected: Self::PATCH, got: text.to_owned() }),
        }
    }
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default()
}

/// Entry point for a fuzzer: the first byte chooses the content type, the rest is the body. A body that is read must come out the same
/// when it is written for the wire and read again.
#[doc(hidden)]
pub fn fuzz_body(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let (content_type, kind) = fuzz_kind(*choice);
    let Ok(body) = parse(Some(content_type), kind, bytes) else {
        return;
    };
    // A protobuf body is forwarded as it came; its value is compared as JSON.
    let again = if body.encoding == Encoding::Protobuf { "application/json" } else { content_type };
    let written = wire(&body.value);
    if written.len() <= limits::REQUEST_BODY_BYTES {
        let read = parse(Some(again), kind, &written).map(|again| canonical(&again.value));
        assert_eq!(read, Ok(canonical(&body.value)), "written and read again, the body differs");
    }
}

/// What the first byte of a fuzzer's input stands for.
fn fuzz_kind(choice: u8) -> (&'static str, BodyKind) {
    match choice % 7 {
        0 => ("application/json", BodyKind::Object),
        1 => ("application/yaml", BodyKind::Object),
        2 => ("application/vnd.kubernetes.protobuf", BodyKind::Object),
        3 => ("application/json-patch+json", BodyKind::Patch),
        4 => ("application/merge-patch+json", BodyKind::Patch),
        5 => ("application/strategic-merge-patch+json", BodyKind::Patch),
        _ => ("application/apply-patch+yaml", BodyKind::Patch),
    }
}
