//! One rule, compiled.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cel::Condition;
use super::matcher::Match;
use crate::decision::{Effect, Group, Weight};
use crate::hide::HideRule;

/// A rule of the file or of the default policy.
#[derive(Debug)]
pub(super) struct Rule {
    /// As explanations show it: `no-friday-deploys`, `default/read`.
    pub(super) name: String,
    pub(super) matcher: Match,
    pub(super) when: Option<Condition>,
    pub(super) effect: Option<Effect>,
    pub(super) risk: Option<Weight>,
    /// Names of findings that an allowing rule accepts.
    pub(super) accept: BTreeSet<String>,
    pub(super) approvers: Approvers,
    pub(super) wait: Option<Duration>,
    pub(super) group: Option<Group>,
    /// What is not shown of what the rule is about.
    pub(super) hide: Vec<HideRule>,
    /// Keys of a Secret, or fields that are masked, whose values the rule lets people disclose.
    pub(super) reveal: BTreeSet<String>,
    pub(super) budget: Option<u64>,
}

impl Rule {
    /// Whether it does anything beside its effect.
    pub(super) const fn has_side_effects(&self) -> bool {
        self.risk.is_some() || self.budget.is_some() || !self.hide.is_empty()
    }
}

/// Who approves; what is missing is taken from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Approvers {
    pub(super) groups: Option<BTreeSet<String>>,
    pub(super) quorum: Option<u8>,
}
