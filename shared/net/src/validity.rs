//! From when to when a certificate is good (RFC 5280, section 4.1): the one thing that we read in a certificate by ourselves, to tell people.
//! Whether it is trusted is decided by rustls alone.

use shared::time::Timestamp;

/// The two times of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`.
    pub from: Timestamp,
    /// `notAfter`.
    pub until: Timestamp,
}

/// The validity is the fifth part of what is signed. `None`: it can't be read, or is of before 1970.
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let (_, certificate, _) = element(certificate)?;
    let (_, signed, _) = element(certificate)?;
    let (tag, _, rest) = element(signed)?;
    // The version is optional.
    let mut rest = if tag == 0xa0 { rest } else { signed };
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (tag, from, rest) = element(validity)?;
    let from = time(tag, from)?;
    let (tag, until, _) = element(rest)?;
    Some(Validity { from, until: time(tag, until)? })
}

fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (century, text) = match tag {
        // Two digits of the year: 1950 to 2049.
        0x17 => (if text.get(..2)?.parse::<i64>().ok()? < 50 { 20 } else { 19 }, text),
        0x18 => (text.get(..2)?.parse().ok()?, text.get(2..)?),
        _ => return None,
    };
    let part = |index: usize| text.get(index * 2..index * 2 + 2)?.parse::<i64>().ok();
    let (year, month, day) = (century * 100 + part(0)?, part(1)?, part(2)?);
    // Days from 1970-01-01 with years that begin in March, so that the odd day is the last one.
    let years = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400) + day_of_year - 719_468;
    let seconds = ((days * 24 + part(3)?) * 60 + part(4)?) * 60 + part(5)?;
    u64::try_from(seconds).ok().map(Timestamp::from_seconds)
}

/// Tag, content and what follows of one DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if *first >= 0x80 {
        length = 0;
        for _ in 0..first & 0x7f {
            let (byte, after) = rest.split_first()?;
            length = length.checked_mul(256)?.checked_add(usize::from(*byte))?;
            rest = after;
        }
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pki::{CLOCK_SLACK, Ca};

    #[test]
    fn from_when_to_when_a_certificate_is_good() {
        for (now, life) in
            [(1_700_000_000, 1000), (1_709_200_000, 86_400), (2_500_000_000, 400 * 86_400), (951_800_000, 60)]
        {
            let at = Timestamp(now * 1000);
            let ca = Ca::generate("test", at).unwrap();
            let identity = ca.issue_server(&["x"], &[], at, Duration::from_secs(life)).unwrap();
            let known = validity(&identity.chain()[0]).unwrap();
            assert_eq!(known.until, Timestamp::from_seconds(now + life));
            assert_eq!(known.from, Timestamp::from_seconds(now - CLOCK_SLACK.as_secs()));
        }
        for garbage in [&b""[..], b"0", b"0\x84\xff\xff\xff\xff", b"0\x03000", &[0x30; 64]] {
            assert_eq!(validity(garbage), None);
        }
    }
}
