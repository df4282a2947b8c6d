//! The body of a request, read once for policy. JSON only until the reader of all three encodings is merged.

use serde_json::Value;

/// How a body was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Protobuf.
    Protobuf,
    /// RFC 6902.
    JsonPatch,
    /// RFC 7386.
    MergePatch,
    /// Strategic.
    StrategicMergePatch,
    /// Server-side apply.
    ApplyPatch,
}

/// Which content types a request may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// POST, PUT and DELETE.
    Object,
    /// PATCH.
    Patch,
}

/// A body that policy can look at.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedBody {
    /// How the client wrote it.
    pub encoding: Encoding,
    /// What it says.
    pub value: Value,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing.
    #[error("the request has no body where the API server reads one")]
    Empty,
    /// Too long.
    #[error("body of {got} bytes, at most {limit} are read")]
    TooLong {
        /// Limit.
        limit: usize,
        /// Got.
        got: usize,
    },
    /// Not judged here.
    #[error("content type {got:?} can't be judged here; expected {expected}")]
    MediaType {
        /// Expected.
        expected: &'static str,
        /// Got.
        got: String,
    },
    /// Not JSON.
    #[error("not valid {expected:?}: {got}")]
    Syntax {
        /// Expected.
        expected: Encoding,
        /// Got.
        got: String,
    },
}

/// Reads a whole body.
///
/// # Errors
/// What can't be read.
pub fn parse(content_type: Option<&str>, kind: BodyKind, bytes: &[u8]) -> Result<ParsedBody, BodyError> {
    let text = content_type.unwrap_or_default();
    let encoding = match (kind, text.split(';').next().unwrap_or_default()) {
        (BodyKind::Object, "" | "application/json") => Encoding::Json,
        (BodyKind::Patch, "application/json-patch+json") => Encoding::JsonPatch,
        (BodyKind::Patch, "application/merge-patch+json") => Encoding::MergePatch,
        (BodyKind::Patch, "application/strategic-merge-patch+json") => Encoding::StrategicMergePatch,
        (BodyKind::Patch, "application/apply-patch+yaml") => Encoding::ApplyPatch,
        _ => {
            return Err(BodyError::MediaType { expected: "JSON", got: text.to_owned() });
        }
    };
    if bytes.is_empty() {
        return Err(BodyError::Empty);
    }
    let value =
        serde_json::from_slice(bytes).map_err(|_| BodyError::Syntax { expected: encoding, got: String::new() })?;
    Ok(ParsedBody { encoding, value })
}

/// For digests.
pub fn canonical(value: &Value) -> Vec<u8> {
    wire(value)
}

/// For the wire.
pub fn wire(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
