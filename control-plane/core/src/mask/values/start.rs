//! The beginning of a text that may begin within a value. Runtimes keep a long line in pieces of some kilobytes, and who asks for a number of
//! lines, or for those since a time, is given whole pieces and not whole lines.

use memchr::memmem;
use shared::limits::VALUE_BYTES_MIN;
use zeroize::Zeroizing;

use super::unescape::{Escape, escape};

/// How much of a text's beginning is the end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// More has to come before that can be said.
    Open,
    /// From one byte to another; nothing, if they are the same.
    Of(usize, usize),
}

impl Start {
    /// Of a text with this beginning, after which nothing comes if it has `ended`.
    pub(super) fn of(forms: &[Vec<u8>], text: &[u8], ended: bool) -> Self {
        let from = match escape(&Zeroizing::new([b"\n", text].concat())) {
            // A time stands in front.
            Escape::Of { length, .. } => length - 1,
            Escape::Open if !ended => return Self::Open,
            Escape::Open | Escape::None => 0,
        };
        let rest = text.get(from..).unwrap_or_default();
        let Some(first) = rest.get(..VALUE_BYTES_MIN) else {
            // The end of a line is not waited for.
            return if ended || rest.ends_with(b"\n") { Self::Of(0, 0) } else { Self::Open };
        };
        let (finder, mut until) = (memmem::Finder::new(first), from);
        for form in forms {
            let within = form.get(1..).unwrap_or_default();
            for end in finder.find_iter(within).filter_map(|at| within.get(at..)) {
                let is_whole = rest.starts_with(end);
                if !is_whole && !ended && end.starts_with(rest) {
                    return Self::Open;
                }
                if is_whole {
                    until = until.max(from + end.len());
                }
            }
        }
        Self::Of(from, until)
    }
}
