//! `Warning` headers (RFC 7234 §5.5) of answers in which something is masked. Webhooks and admission policies write them too, and may quote
//! there what they object to, so only what the API server itself says in a few exact shapes is shown (SECURITY.md M3). They hold names only:
//! of fields (sigs.k8s.io/json), of kinds (k8s.io/apiserver pkg/endpoints/deprecation).

use http::HeaderValue;

/// What stands in place of all others.
pub(crate) const NOT_SHOWN: HeaderValue = HeaderValue::from_static(
    r#"299 - "Sallyport does not show a warning here, because it may quote a value that is masked""#,
);

/// Of an answer with a token, which looks like one that could be used.
pub(crate) const TOKEN: HeaderValue = HeaderValue::from_static(
    r#"299 - "Sallyport masks the token in this answer: what is shown is a placeholder, with which nobody can log in""#,
);

/// Whether it holds nothing but names.
pub(crate) fn is_harmless(value: &HeaderValue) -> bool {
    let text = value.to_str().ok().and_then(|text| text.strip_prefix(r#"299 - ""#)?.strip_suffix('"'));
    text.and_then(unescaped).is_some_and(|text| names_field(&text) || deprecates(&text).is_some())
}

/// The inside of a quoted string (RFC 7230 §3.2.6); `None`: it ends before, and more follows.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return None,
            '\\' => plain.push(chars.next()?),
            char => plain.push(char),
        }
    }
    Some(plain)
}

/// `unknown field "spec.foo"`, `duplicate field "data.password"`.
fn names_field(text: &str) -> bool {
    let rest = text.strip_prefix("unknown field ").or_else(|| text.strip_prefix("duplicate field "));
    let field = rest.and_then(|rest| rest.strip_prefix('"')?.strip_suffix('"'));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte);
    field.is_some_and(|field| !field.is_empty() && field.len() <= 253 && field.bytes().all(is_name))
}

/// `batch/v1beta1 CronJob is deprecated in v1.21+, unavailable in v1.25+; use batch/v1 CronJob`.
fn deprecates(text: &str) -> Option<()> {
    let rest = kind(text)?.strip_prefix(" is deprecated")?;
    let rest = match rest.strip_prefix(" in ") {
        Some(rest) => release(rest)?,
        None => rest,
    };
    let rest = match rest.strip_prefix(", unavailable in ") {
        Some(rest) => release(rest)?,
        None => rest,
    };
    let rest = match rest.strip_prefix("; use ") {
        Some(rest) => kind(rest)?,
        None => rest,
    };
    rest.is_empty().then_some(())
}

/// What follows a group, a version and a kind.
fn kind(text: &str) -> Option<&str> {
    let (version, rest) = text.split_once(' ')?;
    let is_version = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./".contains(&byte);
    let end = rest.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(rest.len());
    let rest = rest.get(end..).filter(|_| end > 0)?;
    (!version.is_empty() && version.bytes().all(is_version)).then_some(rest)
}

/// What follows `v1.21+`.
fn release(text: &str) -> Option<&str> {
    let (release, rest) = text.split_once('+')?;
    let (major, minor) = release.strip_prefix('v')?.split_once('.')?;
    let is_number = |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then_some(rest)
}
