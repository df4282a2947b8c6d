//! Words of a request that are shown to people: names of containers, roles, labels. They are the asker's, so they are hostile.

/// Facts that are told of one name; more would only hide the others.
pub(super) const FACTS_PER_NAME: usize = 8;

/// Characters of a foreign word that a fact shows.
const SHOWN: usize = 80;

/// The word with everything escaped that could mislead a reader or drive a terminal (SECURITY.md P4, P5): only printable ASCII stays,
/// the rest becomes `\u{…}`; long words are cut, and say so.
pub fn shown(word: &str) -> String {
    let mut out = String::with_capacity(word.len().min(SHOWN));
    for (count, character) in word.chars().enumerate() {
        if count == SHOWN {
            out.push('…');
            break;
        }
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            other => out.extend(other.escape_unicode()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_comes_out() {
        assert_eq!(shown("nginx-1.2"), "nginx-1.2");
        assert_eq!(shown("a\u{202e}b\u{1b}[2J\n\""), "a\\u{202e}b\\u{1b}[2J\\u{a}\\\"");
        let long = shown(&"x".repeat(500));
        assert_eq!(long.chars().count(), SHOWN + 1);
        assert!(long.ends_with('…'));
    }
}
