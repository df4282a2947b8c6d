//! How dangerous a request is, as a number from 0 to 100 with every part of it named.
//!
//! The [`table`] gives the score that a verb on a resource starts from. `modifiers` look at what the request *does*: the parsed
//! body, the query, the live object. The score is the highest [`Weight::AtLeast`] plus all [`Weight::Plus`], at most 99: 100 is kept
//! for what the gateway refuses to protect itself (`protect`), so that a threshold of 100 denies that and nothing else.
//!
//! Called by `policy` only. Pure; never panics on any body; a body that can't be read scores as a write that nobody described.

mod modifiers;
mod protect;
pub mod table;
mod text;
pub mod verbs;

use std::borrow::Cow;

use serde_json::Value;

use crate::decision::{Contribution, Weight};
use crate::policy::question::{Body, Question};
use crate::request_info::Verb;

pub use modifiers::NAMES as MODIFIER_NAMES;
pub(crate) use modifiers::{SECRET_SEEN, is_dry_run, is_honoured_dry_run};
pub use protect::Protect;
pub use text::shown;

/// Highest score of anything that policy may still let people approve.
pub const HIGHEST: u8 = 99;

/// Everything found about one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The parts of the score, in the order found.
    pub contributions: Vec<Contribution>,
    /// Refused whatever any rule says.
    pub forbidden: Option<Forbidden>,
}

/// Why no rule can allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// `default/protect-sallyport`, `default/streams`, …
    pub rule: &'static str,
    /// What would help, or why.
    pub note: &'static str,
}

/// Scores a request.
pub fn assess(question: &Question<'_>, protect: &Protect) -> Findings {
    let info = question.info;
    let mut found = Found { question, findings: Findings::default() };
    if !info.is_resource_request {
        found.row(table::path(&info.non_resource_path, info.verb));
        return found.findings;
    }
    found.row(table::row(info));
    let document = document(question.body);
    if document.is_none() && needs_body(question) {
        found.at_least("modifier/body-unreadable", 80, "the body can't be read, so nobody knows what it does".into());
    }
    modifiers::apply(&mut found, document.as_deref());
    protect.apply(&mut found, document.as_deref());
    modifiers::dry_run(&mut found);
    found.findings
}

/// The score of these parts.
pub fn score(contributions: &[Contribution]) -> u8 {
    let (base, points) = parts(contributions);
    if base >= 100 {
        return 100;
    }
    u8::try_from((base + points).clamp(0, i32::from(HIGHEST))).unwrap_or(HIGHEST)
}

/// The highest floor and the sum of points.
fn parts(contributions: &[Contribution]) -> (i32, i32) {
    contributions.iter().fold((0, 0), |(base, points), contribution| match contribution.weight {
        Weight::AtLeast(risk) => (base.max(i32::from(risk)), points),
        Weight::Plus(more) => (base, points + i32::from(more)),
        Weight::Accepted => (base, points),
    })
}

/// What the modifiers collect.
pub(crate) struct Found<'f, 'q> {
    pub(crate) question: &'f Question<'q>,
    pub(crate) findings: Findings,
}

impl Found<'_, '_> {
    fn row(&mut self, row: &table::Row) {
        self.findings.contributions.push(row.contribution());
    }

    /// The score is not below this.
    pub(crate) fn at_least(&mut self, name: &'static str, risk: u8, fact: Cow<'static, str>) {
        self.push(name, fact, Weight::AtLeast(risk));
    }

    /// Points on top.
    pub(crate) fn plus(&mut self, name: &'static str, points: i16, fact: Cow<'static, str>) {
        self.push(name, fact, Weight::Plus(points));
    }

    /// No rule can allow it. The first reason stays.
    pub(crate) fn forbid(&mut self, rule: &'static str, note: &'static str) {
        self.findings.forbidden.get_or_insert(Forbidden { rule, note });
    }

    /// Whether something of that name was found already.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.findings.contributions.iter().any(|known| known.source == name)
    }

    fn push(&mut self, name: &'static str, fact: Cow<'static, str>, weight: Weight) {
        debug_assert!(modifiers::NAMES.contains(&name), "{name} is not listed");
        let contribution = Contribution { source: Cow::Borrowed(name), fact, weight };
        // A body may repeat itself ten thousand times: each fact is told once, and of many only the riskiest, so that what comes
        // last can't hide behind what comes first.
        let mut known = self.findings.contributions.iter_mut().filter(|known| known.source == name);
        let twin = known.find(|known| known.fact == contribution.fact);
        if let Some(twin) = twin {
            if height(contribution.weight) > height(twin.weight) {
                *twin = contribution;
            }
            return;
        }
        let known = self.findings.contributions.iter_mut().filter(|known| known.source == name);
        let (mut count, mut lowest) = (0, None::<&mut Contribution>);
        for one in known {
            count += 1;
            if lowest.as_ref().is_none_or(|lowest| height(one.weight) < height(lowest.weight)) {
                lowest = Some(one);
            }
        }
        if count >= text::FACTS_PER_NAME {
            if let Some(lowest) = lowest
                && height(contribution.weight) > height(lowest.weight)
            {
                *lowest = contribution;
            }
            return;
        }
        self.findings.contributions.push(contribution);
    }
}

const fn height(weight: Weight) -> i16 {
    match weight {
        Weight::AtLeast(risk) => risk as i16,
        Weight::Plus(points) => points,
        Weight::Accepted => 0,
    }
}

/// The document that modifiers look at: the body, or for a JSON Patch the object that its operations would build.
fn document(body: Body<'_>) -> Option<Cow<'_, Value>> {
    let value = body.value()?;
    if body.content_type() == modifiers::JSON_PATCH {
        return modifiers::json_patch_as_object(value).map(Cow::Owned);
    }
    Some(Cow::Borrowed(value))
}

/// Whether the verb means nothing without a body.
fn needs_body(question: &Question<'_>) -> bool {
    let unread = match question.body {
        Body::Unknown => false,
        Body::Unreadable => true,
        // A JSON Patch that is no patch ends here as well.
        Body::Read { .. } => true,
        Body::Absent => matches!(question.info.verb, Verb::Create | Verb::Update | Verb::Patch),
    };
    unread && !question.info.is_connect()
}

#[cfg(test)]
mod tests;
