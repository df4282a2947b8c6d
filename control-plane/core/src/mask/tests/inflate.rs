//! gzip that nobody asked for (SECURITY.md M4).

use std::io::Write as _;

use super::*;
use crate::mask::{AnswerMaskError, AnswerMasker, Format, InflateError};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

fn inflated(format: Format, pieces: &[&[u8]]) -> Result<Vec<u8>, AnswerMaskError> {
    let mut masker = AnswerMasker::new(context("secrets", Verb::Watch), format).inflating();
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok(out)
}

#[test]
fn m4_gzip_is_masked_and_goes_out_plain() {
    let packed = gzip(SECRET.as_bytes());
    let expected = run(&context("secrets", Verb::Watch), &[SECRET.as_bytes()]).unwrap().0;
    assert_eq!(inflated(Format::Json, &[&packed]).unwrap(), expected.as_bytes());
    for at in 0..packed.len() {
        let (start, end) = packed.split_at(at);
        assert_eq!(inflated(Format::Json, &[start, end]).unwrap(), expected.as_bytes(), "cut at {at}");
    }
    // A member per flush, as the API server writes a watch; the cut may fall anywhere in the text.
    let (start, end) = SECRET.split_at(SECRET.len() / 2);
    let members = [gzip(start.as_bytes()), gzip(b""), gzip(end.as_bytes())].concat();
    assert_eq!(inflated(Format::Json, &[&members]).unwrap(), expected.as_bytes());
}

/// What was flushed comes out before more comes in.
#[test]
fn m4_gzip_holds_nothing_back() {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(SECRET.as_bytes()).unwrap();
    writer.flush().unwrap();
    let mut masker = AnswerMasker::new(context("secrets", Verb::Watch), Format::Json).inflating();
    let mut out = Vec::new();
    masker.push(writer.get_ref(), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), run(&context("secrets", Verb::Watch), &[SECRET.as_bytes()]).unwrap().0);
}

#[test]
fn m4_what_is_not_whole_gzip_is_refused() {
    let packed = gzip(SECRET.as_bytes());
    for length in 0..packed.len() {
        assert!(inflated(Format::Json, &[&packed[..length]]).is_err(), "{length} bytes");
    }
    for more in [&b"\0"[..], b"x", b"\x1f\x8b", SECRET.as_bytes()] {
        assert!(inflated(Format::Json, &[&[&packed, more].concat()]).is_err(), "{more:?}");
    }
    for at in 0..packed.len() {
        let mut broken = packed.clone();
        broken[at] ^= 0x55;
        let canary = |out: Vec<u8>| memchr::memmem::find(&out, CANARY.as_bytes()).is_some();
        assert!(!inflated(Format::Json, &[&broken]).is_ok_and(canary), "byte {at}");
    }
    // The checksum counts.
    let mut broken = packed;
    let end = broken.len() - 8;
    broken[end] ^= 1;
    assert!(matches!(inflated(Format::Json, &[&broken]), Err(AnswerMaskError::Inflate(InflateError::Corrupt { .. }))));
    assert!(matches!(inflated(Format::Json, &[b"{}"]), Err(AnswerMaskError::Inflate(InflateError::Corrupt { .. }))));
    assert_eq!(inflated(Format::Json, &[]), Err(InflateError::Truncated { read: 0 }.into()));
}

#[test]
fn m4_a_gzip_bomb_ends_at_its_bound() {
    let limit = usize::try_from(shared::limits::INFLATE_FREE_BYTES).unwrap();
    let text = |length: usize| format!("\"{}\"", "A".repeat(length - 2));
    let pass = |bytes: &[u8]| {
        let mut masker = AnswerMasker::pass().inflating();
        let (mut out, mut length) = (Vec::new(), 0);
        for piece in bytes.chunks(100) {
            masker.push(piece, &mut out)?;
            length += out.len();
            // One piece of 100 bytes stands for a hundred thousand and no more.
            assert!(out.len() < 200_000, "{}", out.len());
            out.clear();
        }
        masker.finish(&mut out).map(|_| length)
    };
    assert_eq!(pass(&gzip(text(limit).as_bytes())), Ok(limit));
    assert!(matches!(
        pass(&gzip(text(limit + 1).as_bytes())),
        Err(AnswerMaskError::Inflate(InflateError::Bomb { .. }))
    ));
}
