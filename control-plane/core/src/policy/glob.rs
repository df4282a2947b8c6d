//! Patterns. Exact text, or text with `*`, which never reaches across a `/` or a `:`. No regular expressions, no other signs: a
//! pattern that is read in two ways is how identities were matched too widely elsewhere (SECURITY.md T6).

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Glob {
    /// `*` alone where the text has no segments (names, namespaces).
    Any,
    Exact(String),
    /// The text between the stars, in order; two at least.
    Parts(Vec<String>),
}

impl Glob {
    /// Compiles a pattern of a text without segments: `*`, `team-*`, `prod`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub(crate) fn word(pattern: &str) -> Result<Self, String> {
        if pattern == "*" {
            return Ok(Self::Any);
        }
        Self::new(pattern)
    }

    /// Compiles a pattern of a text with segments: `prod/ci/*`, `refs/heads/*`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err("an empty pattern matches nothing".to_owned());
        }
        if let Some(sign) = pattern.chars().find(|sign| !matches!(sign, '!'..='~')) {
            return Err(format!(
                "the sign {} looks like another one to a reader; only printable ASCII is allowed in patterns",
                sign.escape_unicode()
            ));
        }
        if pattern.contains("**") {
            return Err("`**` is not known: `*` stands for anything within one segment between `/` or `:`".to_owned());
        }
        if let Some(sign) = pattern.chars().find(|sign| "?[]{}^$|\\".contains(*sign)) {
            return Err(format!("`{sign}` has no meaning in patterns; only `*` has, within one segment"));
        }
        if !pattern.contains('*') {
            return Ok(Self::Exact(pattern.to_owned()));
        }
        Ok(Self::Parts(pattern.split('*').map(str::to_owned).collect()))
    }

    /// Whether the text fits, from its first byte to its last.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == text,
            Self::Parts(parts) => fits(parts, text, &['/', ':']),
        }
    }

    /// The same with stars that take anything: for what is taken away, where a star that takes less would leave more.
    pub(crate) fn spans(&self, text: &str) -> bool {
        match self {
            Self::Any | Self::Exact(_) => self.matches(text),
            Self::Parts(parts) => fits(parts, text, &[]),
        }
    }

    /// Whether it names one text only.
    pub(crate) const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

/// Segments are compared one by one, so a star can't reach across `ends`, and the work is linear in pattern × segment.
fn fits(parts: &[String], text: &str, ends: &[char]) -> bool {
    let Some((first, rest)) = parts.split_first() else { return false };
    let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
    for (index, part) in rest.iter().enumerate() {
        let last = index + 1 == rest.len();
        // What the star may take: nothing beyond the segment's end.
        let end = text.find(ends).unwrap_or(text.len());
        let Some(at) = find(text, part, end, last) else { return false };
        let Some(after) = text.get(at + part.len()..) else { return false };
        text = after;
    }
    text.is_empty()
}

/// Where `part` begins in `text` if a star takes at most `end` bytes before it: the first place, or for the last part the only place
/// that leaves nothing over.
fn find(text: &str, part: &str, end: usize, last: bool) -> Option<usize> {
    if last {
        let at = text.len().checked_sub(part.len())?;
        return (at <= end && text.ends_with(part)).then_some(at);
    }
    text.find(part).filter(|at| *at <= end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_segment() {
        for (pattern, text, expected) in [
            ("prod/ci/*", "prod/ci/builder", true),
            ("prod/ci/*", "prod/ci/builder/x", false),
            ("prod/ci/*", "prod/ci/", true),
            ("prod/*/builder", "prod/ci/builder", true),
            ("prod/*/builder", "prod/a/b/builder", false),
            ("*/ci/x", "prod/ci/x", true),
            ("*/ci/x", "a/prod/ci/x", false),
            ("refs/heads/*", "refs/heads/main", true),
            ("refs/heads/*", "refs/heads/feature/x", false),
            ("repo:acme/*", "repo:acme/app", true),
            ("repo:acme/*", "repo:acme/app:pull_request", false),
            ("team-*", "team-a", true),
            ("team-*", "team", false),
            ("*-ci-*", "a-ci-b", true),
            ("*-ci-*", "a-ci", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "aXbYbc", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn what_is_taken_away_is_taken_by_a_star_across_segments() {
        for (pattern, text, expected) in [
            ("system:*", "system:node:x", true),
            ("*", "a:b", true),
            ("a*c", "a:b:c", true),
            ("a*c", "a:b:d", false),
            ("team", "team:x", false),
        ] {
            assert_eq!(Glob::word(pattern).unwrap().spans(text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn an_exact_pattern_is_the_text_and_no_other() {
        let glob = Glob::new("repo:acme/app").unwrap();
        assert!(glob.matches("repo:acme/app"));
        for other in [
            "repo:acmeXapp",
            "repo:acme/app2",
            "repo:Acme/app",
            "repo:acme/App",
            "repo:acme/аpp",
            "repo:acme/app ",
            " repo:acme/app",
            "repo:acme/app/",
            "repo:acme/ap",
            "",
        ] {
            assert!(!glob.matches(other), "{other:?}");
        }
    }

    #[test]
    fn other_signs_are_mistakes() {
        for pattern in ["", "a?b", "[ab]", "a|b", "^a$", "a\\.b", "**", "prod/**", "аpp", "a b", "{a,b}"] {
            assert!(Glob::new(pattern).is_err(), "{pattern:?}");
        }
    }
}
