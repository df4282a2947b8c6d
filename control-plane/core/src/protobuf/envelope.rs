//! `k8s\0` and `runtime.Unknown` with its `runtime.TypeMeta`.

use super::ProtobufProblem;
use super::wire::{self, Fault};

/// What every object starts with.
pub(crate) const MAGIC: &[u8] = b"k8s\0";

/// What the envelope says, and what lies in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    /// The object's own message.
    pub(crate) raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Offsets of the fault count from the first byte of `bytes`.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let fault = |problem| Fault { offset: 0, problem };
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| fault(ProtobufProblem::Envelope))?;
        Self::unknown(rest).map_err(|fault| Fault { offset: MAGIC.len() + fault.offset, ..fault })
    }

    fn unknown(bytes: &'a [u8]) -> Result<Self, Fault> {
        let [type_meta, raw, content_encoding, content_type] = wire::few(bytes, [wire::BYTES; 4])?;
        for (field, name) in [(content_encoding, "contentEncoding"), (content_type, "contentType")] {
            if field.is_some_and(|field| !field.bytes.is_empty()) {
                return Err(Fault { offset: 0, problem: ProtobufProblem::Wrapped(name) });
            }
        }
        let missing = |name| Fault { offset: 0, problem: ProtobufProblem::Missing(name) };
        let [api_version, kind] = wire::few(type_meta.ok_or_else(|| missing("kind"))?.bytes, [wire::BYTES; 2])?;
        // The API server would take what is missing from the URL; everybody writes all three.
        let text = |field: Option<wire::Field<'a>>, name| {
            let text = field.map_or(Ok(""), |field| field.text(0))?;
            if text.is_empty() { Err(missing(name)) } else { Ok(text) }
        };
        Ok(Self {
            api_version: text(api_version, "apiVersion")?,
            kind: text(kind, "kind")?,
            raw: raw.ok_or_else(|| missing("object"))?.bytes,
        })
    }
}
