//! Kubernetes protobuf as the JSON that Go's `json.Marshal` gives for the object it decodes.
//!
//! `application/vnd.kubernetes.protobuf` is `k8s\0` and a `runtime.Unknown` (k8s.io/apimachinery `pkg/runtime/generated.proto`), in which
//! lie the kind and the object's own message. What the messages mean is in `table.txt`, made from the Go struct tags by
//! `scripts/protobuf-table`; no `.proto` says which empty values Go leaves out.
//!
//! Invariant: bytes that Go's generated decoder and we could take differently are refused. Go merges a message field that comes twice,
//! takes the last of a scalar that comes twice, skips fields it doesn't know and cuts long varints.

mod message;
mod quantity;
mod special;
mod table;
mod wire;

use super::budget::Budget;
use super::{BodyError, ProtobufProblem};
use message::Decoder;
use serde_json::{Map, Value};
use wire::Fault;

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";

pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Result<Value, BodyError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| envelope(0, ProtobufProblem::Envelope))?;
    let unknown = Envelope::read(rest).map_err(|fault| envelope(MAGIC.len() + fault.offset, fault.problem))?;
    let table = table::table().map_err(|line| envelope(0, ProtobufProblem::Table(line)))?;
    let Some((id, has_type_meta)) = table.kind(unknown.api_version, unknown.kind) else {
        let (api_version, kind) = (unknown.api_version.to_owned(), unknown.kind.to_owned());
        return Err(envelope(MAGIC.len(), ProtobufProblem::UnknownKind { api_version, kind }));
    };
    let mut object = Map::new();
    if has_type_meta {
        object.insert("kind".to_owned(), unknown.kind.into());
        object.insert("apiVersion".to_owned(), unknown.api_version.into());
    }
    Decoder::new(table, budget).message(id, unknown.raw, &mut object)?;
    Ok(Value::Object(object))
}

/// `runtime.Unknown` with its `runtime.TypeMeta`.
struct Envelope<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let [type_meta, raw, content_encoding, content_type] = wire::few(bytes, [wire::BYTES; 4])?;
        for (field, name) in [(content_encoding, "contentEncoding"), (content_type, "contentType")] {
            if field.is_some_and(|field| !field.bytes.is_empty()) {
                return Err(Fault { offset: 0, problem: ProtobufProblem::Wrapped(name) });
            }
        }
        let missing = |name| Fault { offset: 0, problem: ProtobufProblem::Missing(name) };
        let [api_version, kind] = wire::few(type_meta.ok_or_else(|| missing("kind"))?.bytes, [wire::BYTES; 2])?;
        // The API server would take what is missing from the URL; every client writes all three.
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

fn envelope(offset: usize, problem: ProtobufProblem) -> BodyError {
    BodyError::Protobuf { message: "runtime.Unknown", offset, problem }
}
