//! Configuration reading: strings as found become parsed values, and *every* problem is reported at once.
//!
//! A process with a broken configuration prints [`Problems`] and exits with [`EXIT_CONFIG`].

use std::fmt;
use std::time::Duration;

/// `EX_USAGE` of sysexits.h.
pub const EXIT_CONFIG: u8 = 64;

/// One mistake: where it stands, what was found, what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, and its file or variable: `SALLYPORT_LISTEN (environment)`.
    pub key: String,
    /// What is wrong, and the form that would be right.
    pub message: String,
}

/// All mistakes of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// No mistake yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes one.
    pub fn push(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { key: key.into(), message: message.into() });
    }

    /// Takes over the mistakes of a part.
    pub fn extend(&mut self, of_part: Self) {
        self.0.extend(of_part.0);
    }

    /// Keeps the value, or notes why there is none.
    pub fn take<T, E: fmt::Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.push(key, error.to_string());
                None
            }
        }
    }

    /// The value if nothing went wrong anywhere; `None` values that were not noted count as wrong too.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            Some(_) => Err(self),
            None => {
                if self.0.is_empty() {
                    self.push("configuration", "incomplete");
                }
                Err(self)
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "configuration has {} mistake(s); nothing was started:", self.0.len())?;
        for problem in &self.0 {
            writeln!(f, "  {}: {}", problem.key, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `30s`, `500ms`, `10m`, `1h` → a duration. A bare number is refused: nobody knows its unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => {
            return Err(format!("{text:?} is not a duration; write for example 30s, 500ms, 10m or 1h"));
        }
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a duration; write for example 30s, 500ms, 10m or 1h"))
}

/// `64KiB`, `3MiB`, `1GiB`, `100B` → bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("{text:?} is not a size; write for example 64KiB, 3MiB or 1GiB")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .ok_or_else(|| format!("{text:?} is not a size; write for example 64KiB, 3MiB or 1GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["30", "", "s", "-1s", "1.5s", "99999999999999999999h", "1 s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size("3MiB"), Ok(3 * 1024 * 1024));
        assert!(size("3MB").is_err());
    }

    #[test]
    fn every_problem_is_reported() {
        let mut problems = Problems::new();
        let _ = problems.take("a", duration("x"));
        let _ = problems.take("b", size("y"));
        let text = problems.finish(Some(())).unwrap_err().to_string();
        assert!(text.contains("2 mistake(s)") && text.contains("  a: ") && text.contains("  b: "), "{text}");
    }
}
