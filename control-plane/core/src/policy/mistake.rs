//! What is wrong with a policy file, where, and what was probably meant.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One mistake in a policy file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mistake {
    /// From 1; 0 where the file as a whole is meant.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// `rules[3].match.verbs[0]`, or empty.
    pub path: String,
    /// What is wrong and what is expected.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// `; did you mean "verbs"?`, if one of the words is near enough, else nothing.
pub(super) fn suggestion<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    let near = known
        .into_iter()
        .map(|known| (distance(word, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.chars().count() / 4)
        .min();
    near.map_or_else(String::new, |(_, known)| format!("; did you mean \"{known}\"?"))
}

/// Levenshtein distance without regard to case, with a transposition counted as one step (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().take(64).flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (cell(&last, j) + usize::from(from != to)).min(cell(&last, j + 1) + 1).min(cell(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        assert_eq!(suggestion("verb", ["verbs", "names"]), "; did you mean \"verbs\"?");
        assert_eq!(suggestion("efect", ["effect", "risk"]), "; did you mean \"effect\"?");
        assert_eq!(suggestion("apigroups", ["apiGroups"]), "; did you mean \"apiGroups\"?");
        assert_eq!(suggestion("riks", ["risk"]), "; did you mean \"risk\"?");
        assert_eq!(suggestion("colour", ["effect", "risk"]), "");
    }
}
