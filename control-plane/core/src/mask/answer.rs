//! The masker of an answer, whatever it is written in: the one that the agent runs over every body that leaves it.

use std::sync::Arc;

use shared::limits::{MASK_APART_BYTES, MASK_FIELDS_APART_BYTES};

use super::fields::FieldMasker;
use super::inflate::{Inflate, InflateError};
use super::protobuf::{Framing, ProtobufMaskError, ProtobufMasker};
use super::reveal::Revealer;
use super::values::{SecretValues, TextMasker, TextPart};
use super::{MaskContext, MaskError, MaskSummary, Masker};
use crate::hide::{Filter, HideError};
use crate::version_pin::VersionPin;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One document, or events one after the other.
    Json,
    /// `application/vnd.kubernetes.protobuf`: one object.
    Protobuf,
    /// The same with `;stream=watch`: events, each behind its length.
    ProtobufWatch,
}

/// The body can't be masked, so it must not be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerMaskError {
    /// As JSON.
    #[error("as JSON")]
    Json(#[from] MaskError),
    /// As protobuf.
    #[error("as protobuf")]
    Protobuf(#[from] ProtobufMaskError),
    /// As gzip.
    #[error("as gzip")]
    Inflate(#[from] InflateError),
    /// For what is hidden in it.
    #[error("objects are hidden in it")]
    Hide(#[from] HideError),
}

impl AnswerMaskError {
    /// The kind of fault for a client, to whom nothing of the body may be shown, not even where in it and how long what is.
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Json(error) | Self::Protobuf(ProtobufMaskError::Mask(error)) => error.words(),
            Self::Protobuf(ProtobufMaskError::Read(_) | ProtobufMaskError::Lost { .. }) => {
                "its protobuf is not as the API server writes it"
            }
            Self::Protobuf(ProtobufMaskError::TooLong { .. }) | Self::Inflate(InflateError::Bomb { .. }) => {
                "it is too large"
            }
            Self::Protobuf(ProtobufMaskError::Truncated { .. })
            | Self::Inflate(InflateError::Truncated { .. })
            | Self::Hide(HideError::Truncated) => "it ends in the middle",
            Self::Inflate(InflateError::Corrupt { .. }) => "its gzip can't be read",
            Self::Hide(HideError::Form { .. } | HideError::Unnamed | HideError::TooLong { .. }) => {
                "nobody can say whether policy hides objects in it"
            }
        }
    }
}

/// See the module. One per body.
#[derive(Debug)]
pub struct AnswerMasker {
    inflate: Option<Box<Inflate>>,
    filter: Option<Box<Hiding>>,
    inner: Inner,
}

/// What leaves objects out before the others are masked.
#[derive(Debug)]
struct Hiding {
    filter: Filter,
    /// What one piece of the body left.
    shown: Vec<u8>,
}

#[derive(Debug)]
enum Inner {
    /// A document without objects in it.
    Pass,
    Json(Box<Masker>),
    /// JSON with fields to be masked.
    Fields(Box<FieldMasker>),
    Protobuf(Box<ProtobufMasker>),
    /// What a pod printed.
    Text(Box<TextMasker>),
    /// An object of which values are to be seen.
    Reveal(Box<Revealer>),
}

impl AnswerMasker {
    /// A masker for a body in this format.
    pub fn new(context: MaskContext, format: Format) -> Self {
        let inner = match format {
            Format::Json if !context.fields.is_empty() => Inner::Fields(Box::new(FieldMasker::new(context))),
            Format::Json => Inner::Json(Box::new(Masker::new(context))),
            Format::Protobuf => Inner::Protobuf(Box::new(ProtobufMasker::new(context, Framing::Object))),
            Format::ProtobufWatch => Inner::Protobuf(Box::new(ProtobufMasker::new(context, Framing::Events))),
        };
        Self { inflate: None, filter: None, inner }
    }

    /// For the text of a pod, of which this part is shown.
    pub fn text(values: Arc<SecretValues>, part: TextPart) -> Self {
        let masker = TextMasker::new(values).of_part(part);
        Self { inflate: None, filter: None, inner: Inner::Text(Box::new(masker)) }
    }

    /// For a Secret in JSON of which the values that the pin names are to be seen, if it is in the pin's state.
    pub fn revealing(context: MaskContext, pin: VersionPin) -> Self {
        Self { inflate: None, filter: None, inner: Inner::Reveal(Box::new(Revealer::new(context, pin))) }
    }

    /// For what needs no masking.
    pub const fn pass() -> Self {
        Self { inflate: None, filter: None, inner: Inner::Pass }
    }

    /// The body comes as gzip, and goes out plain.
    #[must_use]
    pub fn inflating(self) -> Self {
        Self { inflate: Some(Box::new(Inflate::new())), ..self }
    }

    /// Objects are left out of the body, which is JSON.
    #[must_use]
    pub fn hiding(self, filter: Filter) -> Self {
        Self { filter: Some(Box::new(Hiding { filter, shown: Vec::new() })), ..self }
    }

    /// Whether bytes go out as they come.
    pub const fn is_pass(&self) -> bool {
        self.inflate.is_none() && self.filter.is_none() && matches!(self.inner, Inner::Pass)
    }

    /// Whether nothing more goes out, whatever comes.
    pub const fn is_done(&self) -> bool {
        matches!(&self.inner, Inner::Text(masker) if masker.is_done())
    }

    /// Whether it takes long to take this piece, or, with `None`, to end: a release of helm's is opened, or a long document read that was
    /// held until it is whole.
    pub fn takes_long(&self, piece: Option<&[u8]>) -> bool {
        let changed = self.inflate.is_some() || self.filter.is_some();
        let much = |held: usize| held > MASK_APART_BYTES;
        let long = match &self.inner {
            Inner::Json(masker) => piece.is_some_and(|piece| masker.opens_release(Some(piece).filter(|_| !changed))),
            Inner::Fields(masker) => {
                piece.is_none_or(|_| masker.is_stream()) && masker.held() > MASK_FIELDS_APART_BYTES
            }
            Inner::Reveal(masker) => piece.is_none() && much(masker.held()),
            Inner::Protobuf(masker) => masker.may_open_release() || much(masker.held()),
            Inner::Pass | Inner::Text(_) => false,
        };
        // An object that is looked at before it is shown.
        long || self.filter.as_ref().is_some_and(|hiding| much(hiding.filter.held()))
    }

    /// Whether objects or events are held until they are whole, so that what comes of one comes at once.
    pub const fn holds_wholes(&self) -> bool {
        matches!(self.inner, Inner::Fields(_) | Inner::Reveal(_) | Inner::Protobuf(_))
    }

    /// Bytes that are held until what they belong to is whole.
    pub fn held(&self) -> usize {
        let held = match &self.inner {
            Inner::Fields(masker) => masker.held(),
            Inner::Reveal(masker) => masker.held(),
            Inner::Protobuf(masker) => masker.held(),
            // A release of helm's; all else is little.
            Inner::Json(masker) => masker.held(),
            Inner::Pass | Inner::Text(_) => 0,
        };
        held + self.filter.as_ref().map_or(0, |hiding| hiding.filter.held())
    }

    /// Takes the next piece of the body and appends what may pass to `out`.
    ///
    /// # Errors
    /// The body can't be masked. What was appended by this call must not be used, and the caller must end the stream.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), AnswerMaskError> {
        let Self { inflate, filter, inner } = self;
        let mut next = |text: &[u8]| match filter.as_deref_mut() {
            None => inner.push(text, out),
            Some(Hiding { filter, shown }) => {
                shown.clear();
                filter.push(text, shown)?;
                inner.push(shown, out)
            }
        };
        match inflate {
            None => next(input),
            Some(inflate) => inflate.push(input, next),
        }
    }

    /// The body has ended: appends what was held until it was whole.
    ///
    /// # Errors
    /// It ended in mid document, or an earlier call failed.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<MaskSummary, AnswerMaskError> {
        if let Some(inflate) = &self.inflate {
            inflate.finish()?;
        }
        if let Some(hiding) = &self.filter {
            hiding.filter.finish()?;
        }
        match self.inner {
            Inner::Pass => Ok(MaskSummary::default()),
            Inner::Json(masker) => Ok(masker.finish()?),
            Inner::Fields(masker) => Ok(masker.finish(out)?),
            Inner::Protobuf(masker) => Ok(masker.finish(out)?),
            Inner::Reveal(masker) => Ok(masker.finish(out)?),
            Inner::Text(masker) => Ok(MaskSummary { masked: masker.finish(out), documents: 1 }),
        }
    }
}

impl Inner {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), AnswerMaskError> {
        match self {
            Self::Pass => out.extend_from_slice(input),
            Self::Json(masker) => masker.push(input, out)?,
            Self::Fields(masker) => masker.push(input, out)?,
            Self::Protobuf(masker) => masker.push(input, out)?,
            Self::Text(masker) => masker.push(input, out),
            Self::Reveal(masker) => masker.push(input)?,
        }
        Ok(())
    }
}
