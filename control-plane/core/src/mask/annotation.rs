//! Documents inside annotations, masked by a nested masker that reads the unescaped text and whose output is escaped again.
//!
//! Up to the look-ahead the text is collected first, so that what it is can be known before any of it is written: a ConfigMap's
//! last-applied (`apiVersion, data, kind`) is left alone, and a text that turns out not to be JSON is judged whole. A longer one is
//! masked as it comes: at once where it may be a Secret's, and cut where it stops being JSON.

use memchr::memmem;

use super::bytes::{escape_as_go, escape_into};
use super::frame::{Frame, Presumed, Role};
use super::masker::{Carrier, Documents, Masker};
use super::text::{BLOCK, Use};
use super::{LAST_APPLIED, MaskError, MaskSummary};

impl Masker {
    /// A collected annotation is complete.
    pub(super) fn end_annotation(&mut self, strict: bool, out: &mut Vec<u8>) {
        let text = std::mem::take(&mut self.text);
        let bracketed = is_bracketed(&text);
        // What tools keep of a Secret in JSON is more than manifests: patches, fields by themselves. An empty text has nothing.
        let is_whole = !strict && self.is_of_secret() && (bracketed || may_carry_value(&text));
        if is_whole || !strict && !bracketed || text.is_empty() {
            if is_whole {
                self.placeholder("Annotation", "annotation", None, out);
            } else {
                self.escape(&text, out);
            }
            self.text = text;
            return;
        }
        let mark = out.len();
        // Of what is known to be no Secret, only a `kind` that comes too late, or one that doesn't come where it should, shows whether guessing is
        // needed.
        let guess = self.carrier_is_secret() != Some(false);
        let mut result = self.mask_text(&text, strict, guess, out);
        if !guess && matches!(result, Err(MaskError::TooLate { .. })) {
            out.truncate(mark);
            result = self.mask_text(&text, strict, true, out);
        }
        match result {
            Ok(summary) => self.summary.masked += summary.masked,
            Err(error) => {
                out.truncate(mark);
                let of_secret = self.carrier_is_secret() != Some(false);
                if strict || !error.is_not_json() || is_bracketed(&text) && (of_secret || may_quote_secret(&text)) {
                    self.placeholder("Annotation", "annotation", None, out);
                } else {
                    self.escape(&text, out);
                }
            }
        }
        self.text = text;
    }

    /// Whether the open annotations are those of an object that is, or may be, a Secret.
    pub(super) fn is_of_secret(&self) -> bool {
        let own = self.stack.last().is_some_and(|frame| frame.role == Role::Metadata);
        own && self.carrier_is_secret() != Some(false)
    }

    /// Masks a whole text into `out`, which on failure holds a part of it.
    fn mask_text(
        &mut self,
        text: &[u8],
        strict: bool,
        guess: bool,
        out: &mut Vec<u8>,
    ) -> Result<MaskSummary, MaskError> {
        let mut inner = self.begin_inner(strict, guess);
        let result = self.feed(&mut inner, text, out).and_then(|()| inner.close());
        self.inner = Some(inner);
        result
    }

    fn feed(&mut self, inner: &mut Self, text: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        for block in text.chunks(BLOCK) {
            self.scratch.clear();
            inner.push(block, &mut self.scratch)?;
            self.escape(&self.scratch, out);
        }
        Ok(())
    }

    /// As the inside of a string of this document.
    fn escape(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.level == 0 { escape_into(text, out) } else { escape_as_go(text, out) }
    }

    /// What was collected is longer than its bound: hand it on.
    pub(super) fn spill(&mut self, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if self.text_use == (Use::Collect { strict: false }) && (!is_bracketed(&self.text) || self.is_of_secret()) {
            // Nobody writes so much about a Secret.
            self.placeholder("Annotation", "annotation", None, out);
            self.text.clear();
            self.overflow = false;
            self.text_use = Use::Drop;
            return Ok(());
        }
        let mut inner = match (self.text_use, self.inner.take()) {
            (Use::Feed, Some(inner)) => inner,
            (Use::Collect { strict }, unused) => {
                self.inner = unused;
                self.begin_inner(strict, true)
            }
            // No other use of a string overflows into here.
            _ => return Err(MaskError::Truncated { length: self.consumed }),
        };
        let text = std::mem::take(&mut self.text);
        let fed = self.feed(&mut inner, &text, out);
        self.text = text;
        self.text.clear();
        self.overflow = false;
        self.text_use = if fed.is_ok() { Use::Feed } else { Use::Cut };
        if let Err(error) = fed {
            self.check_late(error, &inner)?;
            self.summary.masked += inner.summary.masked + 1;
        }
        self.inner = Some(inner);
        Ok(())
    }

    /// What a cut hides nothing of: it was passed on before it showed what it is, or before what is no JSON may show it to other readers.
    fn check_late(&self, error: MaskError, inner: &Self) -> Result<(), MaskError> {
        let goes_on = error.is_not_json() && !matches!(error, MaskError::Truncated { .. });
        if matches!(error, MaskError::TooLate { .. }) || goes_on && inner.is_unnamed() {
            Err(MaskError::TooLate { offset: self.consumed })
        } else {
            Ok(())
        }
    }

    /// A fed annotation is complete.
    pub(super) fn end_feed(&mut self, out: &mut Vec<u8>) -> Result<(), MaskError> {
        let Some(mut inner) = self.inner.take() else { return Ok(()) };
        let text = std::mem::take(&mut self.text);
        let result = self.feed(&mut inner, &text, out).and_then(|()| inner.close());
        self.text = text;
        // Nothing more comes, so a document that is cut off here has been masked as far as it goes.
        self.summary.masked += inner.summary.masked + u64::from(result.is_err());
        let late = result.map_or_else(|error| self.check_late(error, &inner), |_| Ok(()));
        self.inner = Some(inner);
        late
    }

    /// Whether a `data` was passed on of something that is still open and has not said what it is.
    fn is_unnamed(&self) -> bool {
        self.top.is_unnamed() || self.stack.iter().any(Frame::is_unnamed)
    }

    /// The nested masker, ready for a new text; made once and kept.
    fn begin_inner(&mut self, strict: bool, guess: bool) -> Box<Self> {
        let subject = self.live.checked_sub(1).and_then(|last| self.subjects.get(last));
        let own = |name: Option<&[u8]>, other: &str| {
            let own = name.filter(|name| !name.is_empty());
            own.map_or_else(|| other.to_owned(), |own| String::from_utf8_lossy(own).into_owned())
        };
        let namespace = own(subject.map(|subject| subject.namespace.as_slice()), &self.context.namespace);
        let name = own(subject.map(|subject| subject.name.as_slice()), &self.context.name);
        let place = String::from_utf8_lossy(&self.name).into_owned();
        let of_secret = strict && place == LAST_APPLIED && self.carrier_is_secret() == Some(true);
        let presumed = if of_secret { Presumed::Secret } else { Presumed::Anything };
        let documents = if strict { Documents::One } else { Documents::Many };
        let mut inner = match self.inner.take() {
            Some(inner) => inner,
            None => Box::new(Self::nested(self.context.clone(), self.level + 1, presumed, documents)),
        };
        inner.restart();
        inner.presumed = presumed;
        inner.documents = documents;
        inner.guess = guess;
        inner.own = of_secret && !name.is_empty();
        // Unnamed, it is taken for what it stands in.
        inner.context.namespace.clone_from(&namespace);
        inner.context.name.clone_from(&name);
        inner.carrier = Carrier { namespace, name, place };
        inner
    }
}

/// Whether an annotation of a Secret that is not in brackets may hold its values all the same, as those do in which tools keep what they applied:
/// packed (Rancher's `objectset.rio.cattle.io/applied`, `banzaicloud.com/last-applied`), as YAML or a patch (kapp's), or a token itself
/// (`openshift.io/token-secret.value`).
pub(super) fn may_carry_value(text: &[u8]) -> bool {
    /// Longer than any digest in hex.
    const WORD: usize = 128;
    const MANIFEST: [&[u8]; 4] = [b"data:", b"Data:", b"data\"", b"/data"];
    let text = text.trim_ascii_start();
    // Base64 of gzip and of zip; JSON in a string.
    let packed = [b"H4sI".as_slice(), b"UEsD", b"\""].iter().any(|start| text.starts_with(start));
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-.".contains(byte);
    let long = || text.split(|byte| !in_word(byte)).any(|word| word.len() > WORD);
    let manifest = || MANIFEST.iter().any(|name| memmem::find(text, name).is_some());
    packed || manifest() || long()
}

/// Whether a text begins as JSON does.
pub(super) fn is_bracketed(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start(), [b'{' | b'[', ..])
}

/// Whether such a text that isn't JSON may still be a Secret's manifest, as YAML in braces is: it has the word in it, or what may hide it.
/// Templates, as alerts have them, begin with two braces, and no manifest does.
pub(super) fn may_quote_secret(text: &[u8]) -> bool {
    const WORD: &[u8] = b"secret";
    let named = || text.windows(WORD.len()).any(|window| window.eq_ignore_ascii_case(WORD));
    let escaped = || memmem::find(text, b"\\u").is_some() || memmem::find(text, b"\\x").is_some();
    !text.trim_ascii_start().starts_with(b"{{") && (named() || escaped())
}
