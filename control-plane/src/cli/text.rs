//! Text from objects on its way to a person's terminal. Nothing that could move the cursor, change the title, hide a character or
//! reverse its direction gets through (SECURITY.md P4, P5).

/// The text with every character that does not simply print written as `\u{…}`. Newlines stay where `lines` says so.
pub(super) fn safe(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if (lines && c == '\n') || (!c.is_control() && !is_hidden(c)) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

/// Bidirectional controls, zero-width and other invisible characters, private use, combining marks.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180E}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E000}'..='\u{F8FF}' | '\u{0300}'..='\u{036F}'
        | '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFF}')
}

/// `12s`, `3m`, `2h`, `5d`.
pub(super) fn age(ms: u64) -> String {
    match ms / 1000 {
        s @ 0..=119 => format!("{s}s"),
        s @ 120..=7199 => format!("{}m", s / 60),
        s @ 7200..=172_799 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_no_escape_sequence_reaches_a_terminal() {
        for hostile in [
            "\x1b]0;owned\x07",
            "\x1b]52;c;aGk=\x07",
            "\x1b[2J",
            "\u{9b}31m",
            "a\rb",
            "x\u{202e}y",
            "z\u{200b}",
            "\x1b]8;;http://x\x1b\\",
        ] {
            let shown = safe(hostile, true);
            assert!(shown.chars().all(|c| !c.is_control() && !is_hidden(c)), "{shown:?}");
        }
        assert_eq!(safe("ä 日本 ok\nline", true), "ä 日本 ok\nline");
        assert_eq!(safe("a\nb", false), "a\\u{a}b");
    }
}
