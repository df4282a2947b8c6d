//! Why a body is refused. Keys and positions are named, values never.

use super::Encoding;
use crate::protobuf::ProtobufProblem;

/// One cause per variant; the gateway answers 415 for [`BodyError::MediaType`], 413 for [`BodyError::TooLong`] and
/// [`BodyError::Memory`], else 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the request has no body where the API server reads one")]
    Empty,
    #[error("body of {got} bytes, at most {limit} are read")]
    TooLong { limit: usize, got: usize },
    #[error("content type {got:?} can't be judged here; expected {expected}")]
    MediaType { expected: &'static str, got: String },
    #[error("nested {limit} levels or deeper")]
    Depth { limit: usize },
    #[error("more than {limit} values")]
    Nodes { limit: usize },
    #[error("so many small values that they take more than {limit} bytes in memory")]
    Memory { limit: usize },
    /// The API server takes the last one, other readers the first.
    #[error("key {key:?} twice in one object, line {line}")]
    DuplicateKey { key: String, line: usize },
    #[error("not valid {expected:?}: {got}")]
    Syntax { expected: Encoding, got: String },
    #[error("line {line}, column {column}: {problem}")]
    Scalar { line: usize, column: usize, problem: ScalarProblem },
    /// YAML that readers of version 1.1 and 1.2 take differently, or that only hides things.
    #[error("line {line}, column {column}: {got} is not read here; write the body as JSON")]
    Yaml { line: usize, column: usize, got: &'static str },
    #[error("{place}: expected {expected}, got {got}")]
    Shape { place: String, expected: &'static str, got: String },
    #[error("{limit} operations at most in a JSON Patch, got {got}")]
    Operations { limit: usize, got: usize },
    #[error("in {message} at byte {offset}: {problem}")]
    Protobuf { message: &'static str, offset: usize, problem: ProtobufProblem },
}

/// Why a scalar is refused; its text is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScalarProblem {
    #[error("a number that neither a 64-bit integer nor a float holds exactly")]
    Inexact,
    #[error("an integer beyond 2^53, which the API server rounds in an apply patch")]
    BeyondApply,
    #[error(
        "a plain scalar that YAML 1.1 reads as a number in a notation other than decimal; quote it or write decimal digits"
    )]
    Notation,
    #[error("a key that is not a string; quote it")]
    Key,
}
