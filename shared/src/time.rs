//! Points in time as plain numbers, so that rules can be pure functions of `now`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This point moved later; saturates at the end of time.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this point; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since the Unix epoch, as JWT's NumericDate has it (RFC 7519 §2).
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// From a JWT NumericDate in whole seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-03-01T12:00:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / 86_400_000);
        let ms = self.0 % 86_400_000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            ms / 3_600_000,
            ms / 60_000 % 60,
            ms / 1000 % 60,
            ms % 1000
        )
    }
}

/// A text is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoInstant;

impl fmt::Display for NoInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an instant of RFC 3339 in UTC, as 2026-03-01T12:00:00Z")
    }
}

impl std::error::Error for NoInstant {}

impl FromStr for Timestamp {
    type Err = NoInstant;

    /// RFC 3339 in UTC, as Kubernetes writes it; what is finer than milliseconds is cut.
    fn from_str(text: &str) -> Result<Self, NoInstant> {
        let text = text.strip_suffix('Z').ok_or(NoInstant)?;
        let (date, time) = text.split_once('T').ok_or(NoInstant)?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let fits = year >= 1970
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        if !fits || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoInstant);
        }
        let ms = fraction.bytes().chain(*b"000").take(3).fold(0, |ms, digit| ms * 10 + u64::from(digit - b'0'));
        let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
        Ok(Self(seconds * 1000 + ms))
    }
}

fn numbers(text: &str, separator: char) -> Result<[u64; 3], NoInstant> {
    let mut parts = text.split(separator).map(|part| part.parse::<u64>().map_err(|_| NoInstant));
    let mut next = || parts.next().unwrap_or(Err(NoInstant));
    let numbers = [next()?, next()?, next()?];
    if parts.next().is_some() || numbers.iter().any(|number| *number > 9999) { Err(NoInstant) } else { Ok(numbers) }
}

/// The inverse of [`civil`]: days from 1970-01-01 with years that begin in March, so that the odd day is the last one.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let years = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    years * 365 + years / 4 - years / 100 + years / 400 + day_of_year - 719_468
}

/// Days since 1970-01-01 to a Gregorian date, by counting in 400-year eras that start on 1 March.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(951_782_400_123).to_string(), "2000-02-29T00:00:00.123Z");
        assert_eq!(Timestamp(1_772_366_399_999).to_string(), "2026-03-01T11:59:59.999Z");
        assert_eq!(Timestamp(4_107_542_400_000).to_string(), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn reads_rfc_3339() {
        for ms in [0, 951_782_400_123, 1_772_366_399_999, 4_107_542_400_000, 1_709_164_800_000] {
            assert_eq!(Timestamp(ms).to_string().parse(), Ok(Timestamp(ms)));
        }
        assert_eq!("2026-03-01T12:00:00Z".parse(), Ok(Timestamp(1_772_366_400_000)));
        assert_eq!("2026-03-01T12:00:00.123456Z".parse(), Ok(Timestamp(1_772_366_400_123)));
        for wrong in [
            "",
            "Z",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-13-01T12:00:00Z",
            "1969-01-01T00:00:00Z",
            "2026-03-01T12:00Z",
            "2026-03-01T12:00:00.xZ",
            "99999999999-01-01T00:00:00Z",
            "2026-03-01T12:00:00+01:00",
        ] {
            assert_eq!(wrong.parse::<Timestamp>(), Err(NoInstant), "{wrong}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp(u64::MAX).after(Duration::from_secs(1)), Timestamp(u64::MAX));
        assert_eq!(Timestamp(1).since(Timestamp(5)), Duration::ZERO);
    }
}
