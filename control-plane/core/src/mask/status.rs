//! Texts of a `Status` about Secrets (SECURITY.md M3). Error texts of the API server may quote the object, the patch or a part of it
//! (k8s.io/apimachinery pkg/api/errors, pkg/util/validation/field), so only a few exact shapes, which hold nothing but names, are shown.
//! A webhook writes the whole `Status` of its refusal (k8s.io/apiserver pkg/admission/plugin/webhook/errors), so its words are looked at too.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the arm that names nothing is the plain or the stricter one; a new place in a document must fall into it"
)]

use super::key::Key;

/// What stands in place of a message that may quote a value. Code and reason say what happened.
pub(super) const GENERIC: &str =
    "Sallyport does not show this message, because it may quote a value that is masked; see the code and the reason";

/// The same where that the value is no base64 shows from the end of the message: of all mistakes in a Secret the most usual.
pub(super) const NO_BASE64: &str = "a value under data is not base64 (plain text goes under stringData); Sallyport does not show the rest of this \
message, because it may quote a value that is masked";

/// A text of a `Status`, by where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Message,
    /// `Success` or `Failure`.
    Outcome,
    /// Of the whole, or of a cause.
    Reason,
    /// Where in the object.
    Field,
    Kind,
    /// Names, and whatever else.
    Name,
}

impl Part {
    /// In the `Status` itself; other texts in it are no part of an error.
    pub(super) const fn of_status(key: Key) -> Option<Self> {
        match key {
            Key::Message => Some(Self::Message),
            Key::Reason => Some(Self::Reason),
            Key::Status => Some(Self::Outcome),
            _ => None,
        }
    }

    /// In its details.
    pub(super) const fn of_details(key: Key) -> Self {
        match key {
            Key::Kind => Self::Kind,
            _ => Self::Name,
        }
    }

    /// In one of its causes.
    pub(super) const fn of_cause(key: Key) -> Self {
        match key {
            Key::Message => Self::Message,
            Key::Reason => Self::Reason,
            Key::Field => Self::Field,
            _ => Self::Name,
        }
    }

    /// Whether a text holds names and known words only.
    pub(super) fn is_harmless(self, text: &str) -> bool {
        match self {
            Self::Message => is_harmless(text),
            Self::Outcome => text == "Success" || text == "Failure",
            Self::Reason => text.is_empty() || REASONS.contains(&text),
            Self::Field => text.is_empty() || is_field(text),
            Self::Kind => is_name(text) || is_kind(text),
            Self::Name => is_name(text),
        }
    }

    /// What stands in place of one that may hold more.
    pub(super) fn stand_in(self, text: &str) -> &'static str {
        match self {
            Self::Message if quotes_no_base64(text) => NO_BASE64,
            Self::Message => GENERIC,
            Self::Outcome => "Failure",
            Self::Reason => "NotShown",
            Self::Field | Self::Kind | Self::Name => "not-shown",
        }
    }
}

/// `StatusReason…` and `CauseType…` of k8s.io/apimachinery pkg/apis/meta/v1/types.go, and the causes of k8s.io/api core/v1 and policy/v1.
const REASONS: &[&str] = &[
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "AlreadyExists",
    "Conflict",
    "Gone",
    "Invalid",
    "ServerTimeout",
    "StoreReadError",
    "Timeout",
    "TooManyRequests",
    "BadRequest",
    "MethodNotAllowed",
    "NotAcceptable",
    "RequestEntityTooLarge",
    "UnsupportedMediaType",
    "InternalError",
    "Expired",
    "ServiceUnavailable",
    "FieldValueNotFound",
    "FieldValueRequired",
    "FieldValueDuplicate",
    "FieldValueInvalid",
    "FieldValueNotSupported",
    "FieldValueForbidden",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
    "UnexpectedServerResponse",
    "FieldManagerConflict",
    "ResourceVersionTooLarge",
    "NamespaceTerminating",
    "DisruptionBudget",
];

/// What a path begins with.
const FIELDS: &[&str] =
    &["apiVersion", "kind", "metadata", "data", "stringData", "binaryData", "type", "immutable", "spec", "status"];

/// Texts without any variable part.
const CONSTANT: &[&str] = &[
    "Unauthorized",
    "the server could not find the requested resource",
    "The resourceVersion for the provided watch is too old.",
    "etcdserver: request timed out",
    "etcdserver: leader changed",
    "Too many requests, please try again later.",
];

/// What may follow `<resource> "<name>" `.
const AFTER_NAME: &[&str] = &["not found", "already exists"];

const CONFLICT: &str = "the object has been modified; please apply your changes to the latest version and try again";

/// Whether a message is one of the shapes that hold names only.
pub(super) fn is_harmless(message: &str) -> bool {
    CONSTANT.contains(&message)
        || about_object(message)
        || forbidden(message).is_some()
        || conflict(message).is_some()
        || too_old(message).is_some()
        || immutable(message).is_some()
        || too_long(message).is_some()
        || unserved(message).is_some()
        || no_base64(message).is_some()
}

/// Whether a message is about a Secret although nothing else said so: it names one as its subject, or quotes one.
pub(super) fn speaks_of_secret(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let subject = lower.strip_prefix("operation cannot be fulfilled on ").unwrap_or(&lower);
    subject.starts_with("secret \"")
        || subject.starts_with("secrets \"")
        || subject.starts_with("secrets is ")
        || bare(&lower).contains(r#""kind":"secret"#)
}

/// A text without blanks and without what a quote in a text in a text has before it.
fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut escaped = false;
    for char in text.chars() {
        match char {
            '\\' => escaped = true,
            // An escaped end of line.
            'n' | 'r' | 't' if escaped => escaped = false,
            _ => {
                escaped = false;
                if !char.is_whitespace() {
                    bare.push(char);
                }
            }
        }
    }
    bare
}

/// `secrets "x" not found`, `secrets "x" already exists`.
fn about_object(message: &str) -> bool {
    let Some((_, rest)) = resource(message).and_then(|(_, rest)| quoted_name(rest.strip_prefix(' ')?)) else {
        return false;
    };
    rest.strip_prefix(' ').is_some_and(|end| AFTER_NAME.contains(&end))
}

/// `secrets "x" is forbidden: User "u" cannot get resource "secrets" in API group "" in the namespace "n"`.
fn forbidden(message: &str) -> Option<()> {
    let (_, rest) = resource(message)?;
    let rest = match rest.strip_prefix(' ').and_then(quoted_name) {
        Some((_, rest)) => rest,
        None => rest,
    };
    let rest = rest.strip_prefix(" is forbidden: User ")?;
    let (_, rest) = quoted(rest, |byte| byte.is_ascii_alphanumeric() || b"-_.:/@".contains(&byte))?;
    let (_, rest) = word(rest.strip_prefix(" cannot ")?, |byte| byte.is_ascii_lowercase())?;
    let (_, rest) = quoted(rest.strip_prefix(" resource ")?, is_resource_byte)?;
    let (_, rest) = quoted(rest.strip_prefix(" in API group ")?, is_name_byte)?;
    if rest == " at the cluster scope" {
        return Some(());
    }
    let (_, rest) = quoted_name(rest.strip_prefix(" in the namespace ")?)?;
    rest.is_empty().then_some(())
}

/// `Operation cannot be fulfilled on secrets "x": the object has been modified; …`.
fn conflict(message: &str) -> Option<()> {
    let (_, rest) = resource(message.strip_prefix("Operation cannot be fulfilled on ")?)?;
    let (_, rest) = quoted_name(rest.strip_prefix(' ')?)?;
    (rest.strip_prefix(": ")? == CONFLICT).then_some(())
}

/// `too old resource version: 1 (2)`.
fn too_old(message: &str) -> Option<()> {
    let digit = |byte: u8| byte.is_ascii_digit();
    let (_, rest) = word(message.strip_prefix("too old resource version: ")?, digit)?;
    let (_, rest) = word(rest.strip_prefix(" (")?, digit)?;
    (rest == ")").then_some(())
}

/// ``Secret "x" is invalid: data: Forbidden: field is immutable when `immutable` is set``.
fn immutable(message: &str) -> Option<()> {
    let (_, rest) = quoted_name(message.strip_prefix("Secret ")?)?;
    let rest = rest.strip_prefix(" is invalid: ")?;
    let rest = rest.strip_prefix("data: ").or_else(|| rest.strip_prefix("immutable: "))?;
    (rest == "Forbidden: field is immutable when `immutable` is set").then_some(())
}

/// `Secret "x" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes`, and its cause, which says the last of it (before
/// Kubernetes 1.32 `must have at most 262144 bytes`).
fn too_long(message: &str) -> Option<()> {
    let cause = match message.strip_prefix("Secret ").and_then(quoted_name) {
        Some((_, rest)) => {
            let rest = rest.strip_prefix(" is invalid: ")?;
            rest.strip_prefix("metadata.annotations: ").or_else(|| rest.strip_prefix("data: "))?
        }
        None => message,
    };
    let rest = cause.strip_prefix("Too long: ")?;
    let rest = rest.strip_prefix("may not be more than ").or_else(|| rest.strip_prefix("must have at most "))?;
    let (_, rest) = word(rest, |byte: u8| byte.is_ascii_digit())?;
    (rest == " bytes").then_some(())
}

/// `The get operation against secrets could not be completed at this time, please try again.`
fn unserved(message: &str) -> Option<()> {
    let (_, rest) = word(message.strip_prefix("The ")?, |byte| byte.is_ascii_lowercase())?;
    let (_, rest) = resource(rest.strip_prefix(" operation against ")?)?;
    (rest == " could not be completed at this time, please try again.").then_some(())
}

/// `Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 7`, and what a server-side apply says. Only what
/// the request gives is ever decoded, so the number tells nothing of what the object has.
fn no_base64(message: &str) -> Option<()> {
    let rest = match message.strip_prefix("failed to convert new object (") {
        Some(rest) => {
            let (object, rest) = word(rest, is_resource_byte)?;
            (object.len() <= 507).then_some(())?;
            rest.strip_prefix(
                "; /v1, Kind=Secret) to proper version: unable to convert unstructured object to /v1, Kind=Secret: error decoding from json: ",
            )?
        }
        None => message.strip_prefix(r#"Secret in version "v1" cannot be handled as a Secret: "#)?,
    };
    is_number(rest.strip_prefix(NO_BASE64_AT)?).then_some(())
}

/// Of bytes of an object.
fn is_number(text: &str) -> bool {
    (1..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What Go's `encoding/base64` says, before a number.
const NO_BASE64_AT: &str = "illegal base64 data at input byte ";

/// Whether an error of a patch, or its cause, quotes what it makes of an object and ends in that. (What a policy of admission says begins otherwise.
/// A webhook could say it, and shows no more by it than by the reason, which it chooses as well.)
fn quotes_no_base64(message: &str) -> bool {
    let cause = message.strip_prefix(r#" "" is invalid: patch: "#).unwrap_or(message);
    let said =
        cause.strip_prefix(r#"Invalid value: ""#).and_then(|rest| rest.rsplit_once("\": ")).map(|(_, said)| said);
    said.map(|said| said.strip_prefix("error decoding from json: ").unwrap_or(said))
        .and_then(|said| said.strip_prefix(NO_BASE64_AT))
        .is_some_and(is_number)
}

/// `data[tls.crt]`, `spec.containers[0].image`, `.metadata.labels`: names and where they stand, without anything that a value is put in by.
fn is_field(text: &str) -> bool {
    let path = text.strip_prefix('.').unwrap_or(text);
    let first = path.split(['.', '[']).next().unwrap_or_default();
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte);
    FIELDS.contains(&first) && text.len() <= 253 && path.bytes().all(is_path)
}

/// A name as Kubernetes allows it (RFC 1123 subdomain), or none.
fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(is_name_byte)
}

/// `Secret`, where an object was invalid.
fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphabetic())
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}

const fn is_resource_byte(byte: u8) -> bool {
    is_name_byte(byte) || byte == b'/'
}

fn resource(text: &str) -> Option<(&str, &str)> {
    word(text, is_resource_byte)
}

/// A name as Kubernetes allows it (RFC 1123 subdomain), in quotes. A value in base64 or with capitals does not pass for one.
fn quoted_name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = quoted(text, is_name_byte)?;
    (!name.is_empty() && name.len() <= 253).then_some((name, rest))
}

fn quoted(text: &str, allowed: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let (inside, rest) = text.strip_prefix('"')?.split_once('"')?;
    inside.bytes().all(allowed).then_some((inside, rest))
}

fn word(text: &str, allowed: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !allowed(byte)).unwrap_or(text.len());
    if end == 0 { None } else { text.split_at_checked(end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m3_harmless_shapes() {
        for text in [
            r#"secrets "db" not found"#,
            r#"secrets "db" already exists"#,
            r#"deployments.apps "web" not found"#,
            r#"secrets "db" is forbidden: User "sallyport:runner" cannot get resource "secrets" in API group "" in the namespace "default""#,
            r#"secrets is forbidden: User "sallyport:runner" cannot list resource "secrets" in API group "" at the cluster scope"#,
            r#"Operation cannot be fulfilled on secrets "db": the object has been modified; please apply your changes to the latest version and try again"#,
            "too old resource version: 1 (22)",
            "Secret \"db\" is invalid: data: Forbidden: field is immutable when `immutable` is set",
            "Secret \"db\" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes",
            "Too long: must have at most 1048576 bytes",
            "The get operation against secrets could not be completed at this time, please try again.",
            r#"Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 7"#,
            "failed to convert new object (default/db; /v1, Kind=Secret) to proper version: unable to convert unstructured object to /v1, Kind=Secret: error decoding from json: illegal base64 data at input byte 7",
        ] {
            assert!(is_harmless(text), "{text}");
        }
    }

    #[test]
    fn m3_anything_more_is_not_harmless() {
        for text in [
            r#"secrets "db" not found: hunter2"#,
            r#"secrets "HUNTER2" not found"#,
            r#"secrets "db" is forbidden: hunter2"#,
            r#"secrets "db" is forbidden: User "u" cannot get resource "secrets" in API group "" in the namespace "default": hunter2"#,
            r#"Secret "db" is invalid: data[p]: Invalid value: "hunter2""#,
            r#"Operation cannot be fulfilled on secrets "db": hunter2"#,
            "too old resource version: 1 (22) hunter2",
            r#""hunter2" not found"#,
            r#"Secret "db" is invalid: data: Too long: may not be more than 5 bytes, hunter2"#,
            r#"Secret "db" is invalid: data[hunter2]: Too long: may not be more than 5 bytes"#,
            r#"Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 7 hunter2"#,
            r#"Secret in version "v1" cannot be handled as a Secret: json: cannot unmarshal hunter2"#,
            "failed to convert new object (default/HUNTER2; /v1, Kind=Secret) to proper version: unable to convert unstructured object to /v1, Kind=Secret: error decoding from json: illegal base64 data at input byte 7",
            "illegal base64 data at input byte 7",
            "",
        ] {
            assert!(!is_harmless(text), "{text}");
        }
    }

    #[test]
    fn m3_what_is_no_base64_is_said_without_what_it_stands_in() {
        for (text, shown) in [
            (
                r#" "" is invalid: patch: Invalid value: "map[data:map[p:hunter2!]]": error decoding from json: illegal base64 data at input byte 7"#,
                NO_BASE64,
            ),
            (r#"Invalid value: "{\"data\":{\"p\":\"hunter2!\"}}": illegal base64 data at input byte 7"#, NO_BASE64),
            (r#"Invalid value: "hunter2": illegal base64 data at input byte hunter2"#, GENERIC),
            (r#"Invalid value: "hunter2": illegal base64 data at input byte "#, GENERIC),
            (
                r#"ValidatingAdmissionPolicy 'p' with binding 'p' denied request: Invalid value: "x": illegal base64 data at input byte 1"#,
                GENERIC,
            ),
        ] {
            assert!(!is_harmless(text), "{text}");
            assert_eq!(Part::Message.stand_in(text), shown, "{text}");
        }
    }

    #[test]
    fn m3_words_and_names_pass_and_nothing_else() {
        for (part, harmless, other) in [
            (Part::Outcome, &["Success", "Failure"][..], &["", "hunter2"][..]),
            (
                Part::Reason,
                &["", "Invalid", "FieldValueInvalid", "AlreadyExists"],
                &["hunter2", "invalid", "Invalid: hunter2", "password hunter2 is too weak"],
            ),
            (
                Part::Field,
                &[
                    "",
                    "data[p]",
                    "data[tls.crt]",
                    "metadata.name",
                    ".data.password",
                    "spec.containers[0].image",
                    "type",
                ],
                &["hunter2", "data[p]=hunter2", "data: hunter2", "database.hunter2", "data[p] hunter2", "data/hunter2"],
            ),
            (Part::Kind, &["", "secrets", "Secret", "deployments"], &["Hunter2", "secrets hunter", "S\u{e4}"]),
            (
                Part::Name,
                &["", "db", "tls.example.com", "8f4d1c3e-0000-4000-8000-000000000000", "rbac.authorization.k8s.io"],
                &["Hunter", "hunter 2", "hunter2=", "a/b"],
            ),
        ] {
            for text in harmless {
                assert!(part.is_harmless(text), "{part:?} {text}");
            }
            for text in other {
                assert!(!part.is_harmless(text), "{part:?} {text}");
            }
        }
    }

    #[test]
    fn m3_subject() {
        assert!(speaks_of_secret(r#"Secret "db" is invalid: data[p]: Invalid value: "hunter2""#));
        for quoted in [
            r#"{"kind":"Secret"}"#,
            r#"{\"kind\":\"Secret\"}"#,
            r#"{\\\"kind\\\":\\\"Secret\\\"}"#,
            "{\n\t\"kind\" : \"secret\"}",
            r#"{\n\t\"kind\"\t:\n\"Secret\"}"#,
        ] {
            assert!(speaks_of_secret(&format!(r#"patch: Invalid value: "{quoted}""#)), "{quoted}");
        }
        assert!(!speaks_of_secret(r#"Pod "x" is invalid: spec.volumes[0].secret.secretName: Required value"#));
    }
}
