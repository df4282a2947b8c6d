//! The text in `data.release` and the document in it: base64 of JSON's bytes, helm's own base64, gzip, JSON (helm pkg/storage/driver/util.go).

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use shared::limits::{RELEASE_BYTES, RELEASE_DOCUMENT_BYTES};
use zeroize::Zeroize;

use crate::body::{Budget, json};
use crate::mask::inflate::{Inflate, InflateError};

/// What tells gzip from the bare JSON of the first helms.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

/// A release that could be opened.
#[derive(Clone, PartialEq)]
pub(crate) struct Payload {
    /// The release. An object with a name.
    pub(crate) document: Value,
    gzip: bool,
}

impl Payload {
    /// From the value of a Secret's field as it stands in JSON. `None`: it is no release of helm's, or more than we look into.
    pub(crate) fn open(field: &str) -> Option<Self> {
        if field.len() > RELEASE_BYTES {
            return None;
        }
        Self::open_bytes(&STANDARD.decode(field).ok()?)
    }

    /// The same without JSON's base64, as it stands under `stringData`.
    pub(crate) fn open_bytes(inner: &[u8]) -> Option<Self> {
        let mut bytes = STANDARD.decode(inner).ok()?;
        let gzip = bytes.starts_with(&GZIP);
        if gzip {
            bytes = inflated(&bytes)?;
        }
        let document = json::read(&bytes, &mut Budget::of_release()).ok();
        bytes.zeroize();
        document.filter(is_release).map(|document| Self { document, gzip })
    }

    /// As it stands in JSON.
    pub(crate) fn write(&self) -> Option<String> {
        let mut bytes = serde_json::to_vec(&self.document).ok()?;
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::default());
            encoder.write_all(&bytes).ok()?;
            bytes.zeroize();
            bytes = encoder.finish().ok()?;
        }
        Some(STANDARD.encode(STANDARD.encode(bytes)))
    }
}

fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut inflate = Inflate::new();
    let inflated = inflate.push(bytes, |part| {
        if part.len() > RELEASE_DOCUMENT_BYTES.saturating_sub(text.len()) {
            return Err(InflateError::Bomb { read: bytes.len() as u64 });
        }
        text.extend_from_slice(part);
        Ok(())
    });
    inflated.and_then(|()| inflate.finish()).is_ok().then_some(text)
}

/// As far as we rely on it: what isn't written so by helm is not looked into, and masked whole.
fn is_release(document: &Value) -> bool {
    let absent_or =
        |name: &str, is: fn(&Value) -> bool| document.get(name).is_none_or(|value| value.is_null() || is(value));
    document.get("name").is_some_and(Value::is_string)
        && document.get("version").is_some_and(Value::is_u64)
        && absent_or("manifest", Value::is_string)
        && absent_or("config", Value::is_object)
        && absent_or("info", Value::is_object)
        && absent_or("chart", Value::is_object)
        && absent_or("hooks", |hooks| {
            hooks.as_array().is_some_and(|hooks| {
                hooks.iter().all(|hook| hook.is_object() && hook.get("manifest").is_none_or(Value::is_string))
            })
        })
}
