//! gzip (RFC 1952), undone piece by piece in constant memory. We ask for no encoding, so this is for servers, and what stands before them,
//! that compress all the same.
//!
//! Members one after the other are one text, as the RFC has it: the API server ends a member at each flush of a watch. Anything else after
//! a member, a member cut off, or none at all is an error. How large the text may get is bounded beside what came.

use flate2::{Decompress, FlushDecompress, Status};
use shared::limits::{INFLATE_FREE_BYTES, INFLATE_RATIO};

/// zlib's largest window, which any text may need.
const WINDOW_BITS: u8 = 15;
/// Bytes that are inflated at once.
const BLOCK: usize = 16 * 1024;

/// It is not gzip that we inflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// A bad header, code or checksum.
    #[error("not gzip after {read} bytes")]
    Corrupt {
        /// Bytes that were good.
        read: u64,
    },
    /// The end of a member is missing, or there was none.
    #[error("gzip cut off after {read} bytes")]
    Truncated {
        /// Bytes that came.
        read: u64,
    },
    /// Too large for what came.
    #[error(
        "gzip of {read} bytes that inflates to more than {INFLATE_RATIO} times as much, and to more than {INFLATE_FREE_BYTES} bytes"
    )]
    Bomb {
        /// Bytes that came.
        read: u64,
    },
}

/// The state between two pieces.
#[derive(Debug)]
pub(super) struct Inflate {
    member: Decompress,
    /// Something of the member has been read.
    begun: bool,
    read: u64,
    written: u64,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self { member: Decompress::new_gzip(WINDOW_BITS), begun: false, read: 0, written: 0 }
    }

    /// Takes the next piece; `sink` gets what comes of it, in blocks.
    pub(super) fn push<E: From<InflateError>>(
        &mut self,
        mut input: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut block = [0; BLOCK];
        let mut more = false;
        while more || !input.is_empty() {
            let (before_in, before_out) = (self.member.total_in(), self.member.total_out());
            let status = self
                .member
                .decompress(input, &mut block, FlushDecompress::None)
                .map_err(|_| InflateError::Corrupt { read: self.read })?;
            let taken = usize::try_from(self.member.total_in() - before_in).unwrap_or(usize::MAX);
            let made = usize::try_from(self.member.total_out() - before_out).unwrap_or(usize::MAX);
            input = input.get(taken..).unwrap_or_default();
            self.begun |= taken > 0;
            self.read += taken as u64;
            self.written += made as u64;
            if self.written > INFLATE_FREE_BYTES.max(self.read.saturating_mul(INFLATE_RATIO)) {
                return Err(InflateError::Bomb { read: self.read }.into());
            }
            let text = block.get(..made).unwrap_or_default();
            if !text.is_empty() {
                sink(text)?;
            }
            // A full block may leave more in the window.
            more = made == BLOCK;
            if status == Status::StreamEnd {
                self.member = Decompress::new_gzip(WINDOW_BITS);
                self.begun = false;
                more = false;
            } else if taken == 0 && made == 0 && !input.is_empty() {
                return Err(InflateError::Corrupt { read: self.read }.into());
            }
        }
        Ok(())
    }

    /// Whether it ended where it may.
    pub(super) fn finish(&self) -> Result<(), InflateError> {
        if self.begun || self.read == 0 {
            return Err(InflateError::Truncated { read: self.read });
        }
        Ok(())
    }
}
