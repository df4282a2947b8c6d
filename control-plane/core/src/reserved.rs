//! Identities that nobody can get by way of Sallyport, however it is asked for: those of the cluster itself (`system:…`) and our own
//! (`sallyport:…`). A certificate that names one, or a role with the right to impersonate, would be a second door to everything that the
//! agent may impersonate, with neither grant nor record behind it (SECURITY.md I5).
//!
//! Asked by the agent, whatever was granted, and by policy, so that nobody approves what the agent then refuses. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::request_info::RequestInfo;

#[cfg(test)]
mod tests;

/// What a reserved name has in it.
const NAMES: [&str; 2] = ["system:", "sallyport:"];
const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
const END: &str = "-----END CERTIFICATE REQUEST-----";

/// Why a CertificateSigningRequest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CertificateRefusal {
    /// Its subject, or anything else in it, is a name of the cluster or of ours.
    #[error("the certificate request names a user or group of the cluster or of Sallyport")]
    Reserved,
    /// Not one PEM block with a certificate request in it, and nothing else.
    #[error("the certificate request is not one plain PEM block")]
    Unreadable,
}

/// Whether the request is about CertificateSigningRequests.
pub fn is_certificate_request(info: &RequestInfo) -> bool {
    info.api_group == "certificates.k8s.io" && info.resource == "certificatesigningrequests"
}

/// Checks the `spec.request` of a CertificateSigningRequest, or of a patch of one; what has none passes.
///
/// The PKCS #10 inside is not parsed: it is searched for the reserved names as bytes, in each form in which Go's parser
/// (crypto/x509 parser.go `parseASN1String`) takes a name from DER, which are the text itself and, for a `BMPString`, UTF-16BE. DER has no
/// way to split a text, so nothing that the API server reads differently from us can hide a name.
///
/// # Errors
/// [`CertificateRefusal`].
pub fn check_certificate_request(object: &Value) -> Result<(), CertificateRefusal> {
    let Some(spec) = object.get("spec").filter(|spec| !spec.is_null()) else {
        return Ok(());
    };
    let spec = spec.as_object().ok_or(CertificateRefusal::Unreadable)?;
    match spec.get("request") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) => check_pem(text),
        Some(_) => Err(CertificateRefusal::Unreadable),
    }
}

/// The same for a JSON Patch: whatever it writes that could be a part of `spec`.
///
/// # Errors
/// [`CertificateRefusal`].
pub fn check_certificate_patch(operations: &[Value]) -> Result<(), CertificateRefusal> {
    for operation in operations {
        let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
        let writes = !matches!(operation.get("op").and_then(Value::as_str), Some("remove" | "test"));
        // The spec of what exists is never changed by the API server; so nobody needs to.
        if writes && (path.is_empty() || path == "/spec" || path.starts_with("/spec/")) {
            return Err(CertificateRefusal::Unreadable);
        }
    }
    Ok(())
}

fn check_pem(text: &str) -> Result<(), CertificateRefusal> {
    let pem = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pem = pem.ok_or(CertificateRefusal::Unreadable)?;
    // Exactly one block and nothing before, after or between: the API server takes the first that it finds.
    let inner = pem.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let inner: String = inner.ok_or(CertificateRefusal::Unreadable)?.split_ascii_whitespace().collect();
    let der = STANDARD.decode(inner).map_err(|_| CertificateRefusal::Unreadable)?;
    // A SEQUENCE, so that no second layer of encoding passes as a request.
    if der.first() != Some(&0x30) {
        return Err(CertificateRefusal::Unreadable);
    }
    let reserved = NAMES.iter().any(|name| {
        let wide: Vec<u8> = name.bytes().flat_map(|byte| [0, byte]).collect();
        holds(&der, name.as_bytes()) || holds(&der, &wide)
    });
    if reserved { Err(CertificateRefusal::Reserved) } else { Ok(()) }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

/// Whether a role, or a patch of one, gives the right to impersonate. By any text in it, since a patch may hold a piece of a rule only.
///
/// Not the verb `*` in general: whoever is given everything is given that too, which people see and approve (policy scores it 98); this is
/// about the right that stands in a list of others and means as much. On users and groups, `*` can mean nothing else.
pub fn gives_impersonation(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            text == "impersonate" || text.starts_with("impersonate:") || text.starts_with("impersonate-on:")
        }
        Value::Array(items) => items.iter().any(gives_impersonation),
        Value::Object(members) => all_of_users(members) || members.values().any(gives_impersonation),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A rule with every verb on what exists only to be impersonated.
fn all_of_users(rule: &serde_json::Map<String, Value>) -> bool {
    let has = |field: &str, fits: &dyn Fn(&str) -> bool| {
        rule.get(field)
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|one| one.as_str().is_some_and(fits)))
    };
    has("verbs", &|verb| verb == "*")
        && has("resources", &|resource| {
            matches!(resource, "users" | "groups" | "uids" | "userextras") || resource.starts_with("userextras/")
        })
}
