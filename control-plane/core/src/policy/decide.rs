//! The decision. What it is made of stands at the top of [`super`].

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Policy;
use super::cel::{Broken, Facts};
use super::matcher::Reach;
use super::question::{Body, Live, Question};
use super::rule::Rule;
use crate::decision::{ApprovalTerms, Contribution, Effect, Explanation, Group, Verdict, Weight};
use crate::hide::{self, Hidden, HideRule};
use crate::mask::changes;
use crate::request_info::{RequestInfo, Verb};
use crate::risk::{self, Findings};

/// Says what is to happen with a request, and why.
///
/// `out_of_time` is asked before every step of a condition's loops; once it says yes, conditions are broken and the operation is held
/// or denied. Pure apart from that; never panics.
pub fn decide(policy: &Policy, question: &Question<'_>, out_of_time: &(dyn Fn() -> bool + Sync)) -> Verdict {
    let findings = risk::assess(question, &policy.protect);
    let matched = Matched::collect(policy, question, out_of_time);
    let hide = if policy.hides { hidden(policy, question, &matched, out_of_time) } else { Vec::new() };
    Decider { policy, question, findings, matched, hide, notes: Vec::new() }.verdict()
}

/// What the rules hide that match, or whose condition nobody can answer; and those that would match the object itself, where a request
/// is about something below it.
fn hidden(
    policy: &Policy,
    question: &Question<'_>,
    matched: &Matched<'_>,
    out_of_time: &(dyn Fn() -> bool + Sync),
) -> Vec<HideRule> {
    let mut rules = matched.hide();
    if !question.info.subresource.is_empty() {
        let info = RequestInfo { subresource: String::new(), ..question.info.clone() };
        rules.extend(Matched::collect(policy, &Question { info: &info, ..*question }, out_of_time).hide());
    }
    hide::about(rules, question.info)
}

/// Whether the live object has to be read before the answer is final: a matching rule's condition asks for it, or the request about
/// one object would be held without it (what it turns out not to change may let it through, and approvers are to see the difference).
pub fn needs_live(policy: &Policy, question: &Question<'_>) -> bool {
    let info = question.info;
    if !matches!(question.live, Live::NotRead) || !info.is_resource_request || info.name.is_empty() {
        return false;
    }
    let asks = policy.index.candidates(info).iter().filter_map(|index| policy.rules.get(*index)).any(|rule| {
        rule.when.as_ref().is_some_and(|when| when.uses_old_object) && rule.matcher.reach(question) != Reach::No
    });
    // Without a clock here, so with a small number of looks at one: a condition that needs more is taken as broken, which at worst reads
    // an object for nothing.
    let looks = AtomicU32::new(0);
    let out_of_time = || looks.fetch_add(1, Ordering::Relaxed) > LOOKS;
    let held = |verdict: Verdict| {
        verdict.explanation.effect == Effect::Hold && (!info.is_read() || !verdict.reveal.is_empty())
    };
    let may_be_held = !info.is_read() || policy.reveals;
    asks || (may_be_held && held(decide(policy, question, &out_of_time)))
}

/// Loop steps that [`needs_live`] takes.
const LOOKS: u32 = 100;

/// The rules that match, and what became of their conditions.
#[derive(Default)]
pub(super) struct Matched<'p> {
    rules: Vec<&'p Rule>,
    broken: Vec<(&'p Rule, Broken)>,
    /// Conditions that can't be asked because nobody knows the body yet.
    unknown: Vec<&'p Rule>,
}

impl<'p> Matched<'p> {
    fn collect(policy: &'p Policy, question: &Question<'_>, out_of_time: &(dyn Fn() -> bool + Sync)) -> Self {
        let mut matched = Self::default();
        // Made at the first condition, for all of them.
        let mut facts: Option<Facts<'_>> = None;
        for index in policy.index.candidates(question.info) {
            let Some(rule) = policy.rules.get(*index) else { continue };
            let reach = rule.matcher.reach(question);
            let enough = if rule.effect == Some(Effect::Allow) { Reach::Yes } else { Reach::Maybe };
            if reach < enough {
                continue;
            }
            let Some(when) = &rule.when else {
                matched.rules.push(rule);
                continue;
            };
            if matches!(question.body, Body::Unknown) && (when.uses_object || when.uses_old_object) {
                matched.unknown.push(rule);
                continue;
            }
            let facts = facts.get_or_insert_with(|| Facts::new(question, &policy.patterns, out_of_time));
            match when.test(facts) {
                Ok(true) => matched.rules.push(rule),
                Ok(false) => {}
                Err(broken) => {
                    matched.broken.push((rule, broken));
                    facts.next_condition();
                }
            }
        }
        matched
    }
}

impl Matched<'_> {
    fn hide(&self) -> Vec<HideRule> {
        let broken = self.broken.iter().map(|(rule, _)| rule);
        self.rules.iter().chain(broken).chain(&self.unknown).flat_map(|rule| rule.hide.iter().cloned()).collect()
    }
}

struct Decider<'d, 'q> {
    policy: &'d Policy,
    question: &'d Question<'q>,
    findings: Findings,
    matched: Matched<'d>,
    hide: Vec<HideRule>,
    notes: Vec<String>,
}

impl<'d> Decider<'d, '_> {
    fn verdict(mut self) -> Verdict {
        for rule in &self.matched.rules {
            if let Some(weight) = rule.risk {
                let source = Cow::Owned(format!("rule/{}", rule.name));
                self.findings.contributions.push(Contribution {
                    source,
                    fact: Cow::Borrowed("a rule says so"),
                    weight,
                });
            }
        }
        let denying = self.matched.rules.iter().find(|rule| rule.effect == Some(Effect::Deny)).copied();
        let first = self.matched.rules.iter().find(|rule| rule.effect.is_some()).copied();
        let denied = denying.or_else(|| self.broken(|rule| rule.effect == Some(Effect::Deny)));
        let settles = denied.or(first);
        if let Some(rule) = settles {
            self.accept(rule);
        }
        let discloses = settles.filter(|rule| rule.effect == Some(Effect::Hold) && !rule.reveal.is_empty());
        let info = self.question.info;
        self.findings.contributions.extend(discloses.map(|rule| disclosure(rule, info)));
        let risk = risk::score(&self.findings.contributions);
        let (effect, rule) = self.settle(risk, settles);
        if effect != Effect::Deny {
            self.notes.extend(self.hide.iter().map(|entry| format!("hidden from this job: {}", entry.text())));
        }
        self.note_broken();
        let cost = cost(self.question.info.is_read(), risk);
        // What was raised to a denial shows nothing.
        let reveal = discloses.filter(|_| effect == Effect::Hold).map(|rule| rule.reveal.clone()).unwrap_or_default();
        let terms = (effect == Effect::Hold).then(|| self.terms(risk));
        let group = self.group(effect, settles);
        let mut contributions = self.findings.contributions;
        contributions.sort_by_key(|part| std::cmp::Reverse(order(part.weight)));
        Verdict {
            explanation: Explanation {
                rule,
                effect,
                risk,
                hold_at: self.policy.defaults.hold_at,
                deny_at: self.policy.defaults.deny_at,
                contributions,
                notes: self.notes,
            },
            group,
            terms,
            mask: Vec::new(),
            hide: self.hide,
            reveal,
            cost,
        }
    }

    /// Findings that an allowing rule takes on by name.
    fn accept(&mut self, rule: &Rule) {
        if rule.effect != Some(Effect::Allow) || rule.accept.is_empty() {
            return;
        }
        for part in &mut self.findings.contributions {
            if rule.accept.contains(part.source.as_ref()) {
                part.weight = Weight::Accepted;
            }
        }
    }

    /// The strictest of what the rule, the thresholds, budgets and broken conditions say, and which of them it was.
    fn settle(&mut self, risk: u8, settles: Option<&Rule>) -> (Effect, String) {
        if let Some(forbidden) = self.findings.forbidden {
            self.notes.push(forbidden.note.to_owned());
            return (Effect::Deny, forbidden.rule.to_owned());
        }
        let mut answer = match settles {
            Some(rule) => (rule.effect.unwrap_or(Effect::Deny), rule.name.clone()),
            None => {
                self.notes.push("no rule is about this request, and what no rule allows is denied".to_owned());
                (Effect::Deny, "default/no-rule".to_owned())
            }
        };
        let mut raise = |effect: Effect, name: &str| {
            if effect > answer.0 {
                answer = (effect, name.to_owned());
            }
        };
        let defaults = &self.policy.defaults;
        if risk >= defaults.deny_at {
            raise(Effect::Deny, "default/deny-at");
        } else if risk >= defaults.hold_at {
            raise(Effect::Hold, "default/hold-at");
        }
        if let Some(rule) = self.matched.broken.first().map(|(rule, _)| rule) {
            raise(Effect::Hold, &rule.name);
        }
        let found = |part: &Contribution| part.source == risk::SECRET_SEEN && part.weight != Weight::Accepted;
        if self.findings.contributions.iter().any(found) {
            raise(Effect::Hold, "default/secret-seen");
            self.notes.push("once deleted, this job can't make the Secret again: it never had the values".to_owned());
        }
        let spent =
            self.question.session.risk_spent.saturating_add(u64::from(cost(self.question.info.is_read(), risk)));
        for rule in &self.matched.rules {
            if let Some(budget) =
                rule.budget.filter(|budget| spent > *budget && cost(self.question.info.is_read(), risk) > 0)
            {
                raise(Effect::Hold, &rule.name);
                self.notes
                    .push(format!("the session's risk would be {spent}, rule {} lets it spend {budget}", rule.name));
            }
        }
        if let Some(note) = self.touches_hidden() {
            raise(Effect::Deny, "default/hidden");
            self.notes.push(note.to_owned());
        }
        if self.question.info.verb == Verb::DeleteCollection && answer.0 == Effect::Hold {
            self.notes
                .push("delete by name: nobody can review what a collection will hold when it is deleted".to_owned());
            answer = (Effect::Deny, "default/delete-by-name".to_owned());
        }
        answer
    }

    /// A change of what is hidden whatever its labels, so that the answer is the same whether or not it is there. (Whether an object is
    /// hidden by its labels the agent finds out.)
    fn touches_hidden(&self) -> Option<&'static str> {
        let info = self.question.info;
        if self.hide.is_empty() || info.is_read() {
            return None;
        }
        if info.verb == Verb::DeleteCollection {
            return Some("objects are hidden there from this job, which it can't delete: delete by name");
        }
        let hidden = Hidden::parse(&self.hide, info);
        let touched = hidden.is_ok_and(|hidden| !hidden.hides_place(&info.namespace, self.question.object_name()));
        (!touched).then_some("policy hides that object from this job")
    }

    fn broken(&self, fits: impl Fn(&Rule) -> bool) -> Option<&'d Rule> {
        self.matched.broken.iter().map(|(rule, _)| *rule).find(|rule| fits(rule))
    }

    fn note_broken(&mut self) {
        for (rule, broken) in self.matched.broken.iter().take(5) {
            self.notes.push(format!("the condition of rule {} {broken}", rule.name));
        }
        for rule in self.matched.unknown.iter().take(5) {
            self.notes.push(format!("rule {} depends on the object", rule.name));
        }
    }

    /// Who has to say yes.
    fn terms(&mut self, risk: u8) -> ApprovalTerms {
        let defaults = &self.policy.defaults;
        let holding = || {
            let broken = self.matched.broken.iter().map(|(rule, _)| *rule);
            self.matched.rules.iter().copied().filter(|rule| rule.effect != Some(Effect::Allow)).chain(broken)
        };
        let all = || self.matched.rules.iter().copied().chain(self.matched.broken.iter().map(|(rule, _)| *rule));
        // An allowing rule may name approvers too, for what its thresholds hold; a holding rule's come first.
        let groups = holding().chain(all()).find_map(|rule| rule.approvers.groups.clone());
        let wait = holding().chain(all()).find_map(|rule| rule.wait).unwrap_or(defaults.terms.wait);
        let named = all().filter_map(|rule| rule.approvers.quorum).max();
        let mut quorum = named.unwrap_or(defaults.terms.quorum).max(1);
        if risk >= defaults.two_people_at && quorum < 2 {
            quorum = 2;
            self.notes.push(format!("from risk {} on, two people", defaults.two_people_at));
        }
        let identity = self.question.identity;
        let person = identity.ci().and_then(|ci| ci.person.as_deref()).is_some_and(|person| !person.is_empty());
        if !person && quorum < 2 && !self.policy.nobody_behind(identity) {
            quorum = 2;
            self.notes.push(
                "nobody knows which person is behind this job, so that person could approve: two people".to_owned(),
            );
        }
        ApprovalTerms { groups: groups.unwrap_or_else(|| defaults.terms.groups.clone()), quorum, wait }
    }

    fn group(&self, effect: Effect, settles: Option<&Rule>) -> Group {
        match effect {
            // What people approved, whatever a rule says of what they needn't.
            Effect::Hold => Group::Approved,
            Effect::Allow | Effect::Deny => {
                let usual = if is_harmless(self.question.info) {
                    Group::Read
                } else if risk::is_honoured_dry_run(self.question) {
                    Group::DryRun
                } else {
                    Group::Write
                };
                settles.and_then(|rule| rule.group).unwrap_or(usual)
            }
        }
    }
}

/// Risk of a disclosure, which cannot be taken back.
const DISCLOSURE: u8 = 70;

/// What a rule that discloses says of itself, first of all that approvers read.
fn disclosure(rule: &Rule, info: &RequestInfo) -> Contribution {
    let secret = changes::is_secret(info);
    let name = |name: &String| if secret { format!("data[{name:?}]") } else { name.clone() };
    let names: Vec<_> = rule.reveal.iter().map(name).collect();
    let (names, kind) = (names.join(", "), if secret { "Secret" } else { "object" });
    let fact = format!("shows this job the REAL VALUES of {names} of the {kind}; it can print, keep and send them");
    let source = Cow::Owned(format!("rule/{}", rule.name));
    Contribution { source, fact: Cow::Owned(fact), weight: Weight::AtLeast(DISCLOSURE) }
}

/// Reads, and the reviews that store nothing.
fn is_harmless(info: &RequestInfo) -> bool {
    info.is_read()
        || info.verb == Verb::Create
            && matches!(
                info.resource.as_str(),
                "selfsubjectaccessreviews" | "selfsubjectrulesreviews" | "selfsubjectreviews"
            )
            && matches!(info.api_group.as_str(), "authorization.k8s.io" | "authentication.k8s.io")
}

/// What an operation takes from a budget: an ordinary read nothing, or a session that looks around would have none left.
pub const fn cost(is_read: bool, risk: u8) -> u8 {
    if is_read && risk < 20 { 0 } else { risk }
}

/// Riskiest first: floors before points of the same height, what was accepted last.
const fn order(weight: Weight) -> (i16, bool) {
    match weight {
        Weight::AtLeast(risk) => (risk as i16, true),
        Weight::Plus(points) => (points, false),
        Weight::Accepted => (i16::MIN, false),
    }
}
