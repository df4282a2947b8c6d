//! Kubernetes protobuf: the wire format, the envelope, and the table that says what the messages mean.
//!
//! `application/vnd.kubernetes.protobuf` is `k8s\0` and a `runtime.Unknown` (k8s.io/apimachinery `pkg/runtime/generated.proto`), in which
//! lie the kind and the object's own message. What the messages mean is in `table.txt`, made from the Go struct tags by
//! `scripts/protobuf-table`; no `.proto` says which empty values Go leaves out.
//!
//! Invariant: bytes that Go's generated decoder and we could take differently are refused. Go merges a message field that comes twice,
//! takes the last of a scalar that comes twice, skips fields it doesn't know and cuts long varints.
//!
//! Read by `body` (requests, as policy sees them) and by `mask` (answers).

mod envelope;
mod table;
pub(crate) mod wire;

pub(crate) use envelope::{Envelope, MAGIC};
pub(crate) use table::{Field, Kind, Message, Shape, Table, table};

/// Why a protobuf message is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufProblem {
    /// It doesn't begin as an object does.
    #[error("no k8s envelope")]
    Envelope,
    /// The envelope is incomplete.
    #[error("the envelope names no {0}")]
    Missing(&'static str),
    /// The envelope says that its content is encoded once more.
    #[error("the envelope's {0} is set, which nobody who speaks to the API does")]
    Wrapped(&'static str),
    /// Not in the table.
    #[error("no kind {kind:?} of {api_version:?} is known here; send it as JSON")]
    UnknownKind {
        /// As the envelope has it.
        api_version: String,
        /// As the envelope has it.
        kind: String,
    },
    /// A length leads beyond the end.
    #[error("the message ends early")]
    Truncated,
    /// Go would cut it.
    #[error("a varint longer than its value needs, or than 64 bits")]
    Varint,
    /// Not in the table; Go would skip it.
    #[error("field {0} is not known here; send the object as JSON")]
    UnknownField(u64),
    /// Go would refuse it or take it for something else.
    #[error("field {field}: expected wire type {expected}, got {got}")]
    WireType {
        /// Its number.
        field: u32,
        /// What the table says.
        expected: u8,
        /// What came.
        got: u8,
    },
    /// A singular field, or a key of a map.
    #[error("field {0} twice, which the API server would merge")]
    Duplicate(u32),
    /// A field of a lower number follows one of a higher.
    #[error("field {0} out of order")]
    Order(u64),
    /// A value that its type doesn't have.
    #[error("field {field}: expected {expected}")]
    Value {
        /// Its number.
        field: u32,
        /// What the type has.
        expected: &'static str,
    },
    /// A test keeps that from happening.
    #[error("the field table is broken at line {0}")]
    Table(usize),
}
