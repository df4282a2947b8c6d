//! Explanations as lines for a person: what kubectl prints of a refusal, what the CLI and the page show.

use std::fmt;

use crate::decision::{Contribution, Effect, Explanation, Weight};

impl Explanation {
    /// One sentence: what, by which rule, at what risk.
    pub fn headline(&self) -> String {
        let what = match self.effect {
            Effect::Allow => "allowed",
            Effect::Hold => "held until people approve",
            Effect::Deny => "denied",
        };
        format!("{what} by rule {}, risk {} of 100", self.rule, self.risk)
    }

    /// The sentence, every contribution with the riskiest first, what would help.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.headline()];
        lines.extend(self.contributions.iter().map(|part| format!("  {part}")));
        lines.extend(self.notes.iter().map(|note| format!("  note: {note}")));
        lines
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl fmt::Display for Contribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            Weight::AtLeast(risk) => write!(f, "at least {risk}: ")?,
            Weight::Plus(points) => write!(f, "{points:+}: ")?,
            Weight::Accepted => write!(f, "accepted: ")?,
        }
        write!(f, "{} ({})", self.fact, self.source)
    }
}
