//! One rule of the file.

use std::collections::BTreeSet;

use super::cel::{Condition, Patterns, try_out};
use super::file;
use super::file_hide;
use super::file_mask::MaskRule;
use super::file_match;
use super::file_reveal;
use super::mistake::suggestion;
use super::reader::{Fields, Reader};
use super::rule::{Approvers, Rule};
use super::yaml::Node;
use crate::decision::{Effect, Group, Weight};
use crate::risk::{MODIFIER_NAMES, table};

const FIELDS: [&str; 14] = [
    "name",
    "match",
    "when",
    "effect",
    "risk",
    "accept",
    "approvers",
    "wait",
    "impersonate",
    "mask",
    "hide",
    "reveal",
    "budget",
    "description",
];

/// Reads a rule. Nothing only if it has no name: every other mistake is noted and the rest is read.
pub(super) fn read(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    prefix: &str,
    mask: &[MaskRule],
    patterns: &mut Patterns,
) -> Option<Rule> {
    let fields = reader.fields(node, path, &FIELDS);
    let name = name(reader, node, &fields, path)?;
    let effect = fields.get("effect").and_then(|(node, path)| {
        reader.word(node, &path, &[("allow", Effect::Allow), ("hold", Effect::Hold), ("deny", Effect::Deny)])
    });
    let matcher = match fields.get("match") {
        Some((node, path)) => file_match::read(reader, node, &path, effect),
        None => {
            reader.wrong(node, path, "has no match; `match: {}` matches every request");
            super::matcher::Match::default()
        }
    };
    let mut rule = Rule {
        name: format!("{prefix}{name}"),
        matcher,
        when: None,
        effect,
        risk: fields.get("risk").and_then(|(node, path)| risk(reader, node, &path)),
        accept: fields.get("accept").map(|(node, path)| accept(reader, node, &path)).unwrap_or_default(),
        approvers: Approvers::default(),
        wait: None,
        group: None,
        hide: fields.get("hide").map(|(node, path)| file_hide::read(reader, node, &path)).unwrap_or_default(),
        reveal: BTreeSet::new(),
        budget: fields.get("budget").and_then(|(node, path)| reader.number(node, &path, 1, 1_000_000)),
    };
    if let Some((node, path)) = fields.get("description") {
        reader.text(node, &path);
    }
    if let Some((node, path)) = fields.get("approvers") {
        rule.approvers = file::approvers(reader, node, &path);
    }
    if let Some((node, path)) = fields.get("wait") {
        rule.wait = file::wait(reader, node, &path);
    }
    if let Some((node, path)) = fields.get("impersonate") {
        rule.group = group(reader, node, &path);
    }
    if let Some((node, path)) = fields.get("mask") {
        // A rule that is taken and not carried out would be worse than none.
        reader.wrong(
            node,
            &path,
            "is not said of a rule: fields are masked whoever reads them, by `mask` beside `rules`",
        );
    }
    if let Some((node, path)) = fields.get("reveal") {
        rule.reveal = file_reveal::read(reader, node, &path, &rule.matcher, mask);
    }
    if let Some((node, path)) = fields.get("when") {
        rule.when = condition(reader, node, &path, &rule, patterns);
    }
    if let Some((node, path)) = fields.get("hide") {
        file_hide::check(reader, node, &path, rule.when.as_ref());
    }
    sensible(reader, node, path, &fields, &rule);
    Some(rule)
}

fn name(reader: &mut Reader, node: &Node, fields: &Fields<'_>, path: &str) -> Option<String> {
    let Some((node, path)) = fields.get("name") else {
        reader.wrong(node, path, "has no name; decisions are explained by it");
        return None;
    };
    let name = reader.text(node, &path)?;
    let fits = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if !fits {
        reader.wrong(node, &path, "a name has 1 to 63 letters, digits, `-`, `.` or `_` (`default/…` is ours)");
    }
    Some(name)
}

/// `+10` adds, `70` is a floor. YAML makes the same number of both, so what was written counts.
fn risk(reader: &mut Reader, node: &Node, path: &str) -> Option<Weight> {
    let text = reader.text(node, path)?;
    let number = text.strip_prefix('+').unwrap_or(&text);
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse::<u8>().ok().filter(|risk| digits && *risk <= 100) {
        Some(risk) if text.starts_with('+') => Some(Weight::Plus(i16::from(risk))),
        Some(risk) => Some(Weight::AtLeast(risk)),
        None => {
            let help = if text.starts_with('-') { "; to lower a risk, `accept` it by name" } else { "" };
            reader.wrong(node, path, format!("expected 0 to 100, or +0 to +100, found \"{text}\"{help}"));
            None
        }
    }
}

fn accept(reader: &mut Reader, node: &Node, path: &str) -> BTreeSet<String> {
    let known = || table::all().map(|row| row.name).chain(MODIFIER_NAMES.iter().copied());
    let mut names = BTreeSet::new();
    for (node, path, name) in reader.texts(node, path) {
        if matches!(name.as_str(), "modifier/sallyport" | "modifier/reserved-identity") {
            reader.wrong(node, &path, "what touches Sallyport itself can't be accepted");
        } else if !known().any(|known| known == name) {
            let help = suggestion(&name, known());
            reader.wrong(
                node,
                &path,
                format!("there is no finding \"{name}\"{help}; `policy explain` names the findings of a request"),
            );
        }
        names.insert(name);
    }
    names
}

fn group(reader: &mut Reader, node: &Node, path: &str) -> Option<Group> {
    let text = reader.text(node, path)?;
    match text.as_str() {
        "sallyport:read" => Some(Group::Read),
        "sallyport:write" => Some(Group::Write),
        "sallyport:approved" => {
            reader.wrong(node, path, "only what people approved runs as sallyport:approved");
            None
        }
        _ => {
            let help = suggestion(&text, ["sallyport:read", "sallyport:write"]);
            reader.wrong(node, path, format!("expected sallyport:read or sallyport:write, found \"{text}\"{help}"));
            None
        }
    }
}

fn condition(reader: &mut Reader, node: &Node, path: &str, rule: &Rule, patterns: &mut Patterns) -> Option<Condition> {
    let source = reader.text(node, path)?;
    let condition = match Condition::compile(&source, patterns) {
        Ok(condition) => condition,
        Err(mistakes) => {
            for mistake in mistakes {
                let place = place(node, mistake.line, mistake.column);
                reader.wrong(&place, path, mistake.message);
            }
            return None;
        }
    };
    let sample = file_match::sample(&rule.matcher);
    let verbs = rule.matcher.verbs;
    let resource = (sample.0.as_str(), sample.1.as_str(), sample.2.as_str());
    if let Some(message) = try_out(&condition, patterns, |verb| verbs.is_none_or(|verbs| verbs.has(verb)), resource) {
        reader.wrong(node, path, message);
    }
    Some(condition)
}

/// Where a place within an expression is in the file. Lines of a block are indented alike; a folded one (`>`) has fewer lines than it
/// was written on, so there the first is told.
fn place(node: &Node, line: usize, column: usize) -> Node {
    let (line, column) = (u64::try_from(line).unwrap_or(0), u64::try_from(column).unwrap_or(0));
    let quoted = line == 0 && node.written.starts_with(['"', '\'']);
    Node {
        value: super::yaml::Tree::Null,
        written: String::new(),
        line: node.line + line,
        column: node.column + column + u64::from(quoted),
    }
}

/// Fields that contradict each other, or do nothing.
fn sensible(reader: &mut Reader, node: &Node, path: &str, fields: &Fields<'_>, rule: &Rule) {
    if rule.effect.is_none() && !rule.has_side_effects() && fields.get("effect").is_none() {
        reader.wrong(node, path, "does nothing: give it an effect, a risk, a budget or something to hide");
    }
    let mut only = |name: &str, fits: bool, message: &str| {
        if let (Some((node, path)), false) = (fields.get(name), fits) {
            reader.wrong(node, &path, message);
        }
    };
    only("accept", rule.effect == Some(Effect::Allow), "only a rule with `effect: allow` accepts a risk");
    let may_hold = rule.effect != Some(Effect::Deny);
    only("approvers", may_hold, "nobody approves what is denied");
    only("wait", may_hold, "what is denied doesn't wait");
    only("hide", may_hold, "what is denied shows nothing");
    only("hide", rule.matcher.has_resources(), "only answers about resources have objects in them");
    only(
        "reveal",
        rule.effect == Some(Effect::Hold),
        "values are shown only after people have said yes: `effect: hold`",
    );
    only(
        "reveal",
        rule.matcher.one_get().is_some(),
        "only of one object at a time: match exactly one group, one resource and `verbs: [get]`; lists and watches stay masked",
    );
    only("impersonate", rule.effect == Some(Effect::Allow), "only a rule with `effect: allow` chooses the group");
}
