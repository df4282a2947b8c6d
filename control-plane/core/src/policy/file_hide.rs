//! What a rule hides.

use super::cel::Condition;
use super::file_match;
use super::reader::Reader;
use super::yaml::Node;
use crate::hide::{HideRule, Requirement};

/// Reads the list.
pub(super) fn read(reader: &mut Reader, node: &Node, path: &str) -> Vec<HideRule> {
    let mut rules = Vec::new();
    for (node, path) in reader.list(node, path) {
        let fields = reader.fields(node, &path, &["namespaces", "names", "labels"]);
        let mut words = |name: &str| {
            let field = fields.get(name);
            if let Some((node, path)) = &field {
                file_match::globs(reader, node, path);
            }
            field.map(|(node, path)| reader.texts(node, &path).into_iter().map(|(_, _, text)| text).collect())
        };
        let (namespaces, names): (Option<Vec<String>>, Option<Vec<String>>) = (words("namespaces"), words("names"));
        let labels = fields.get("labels").map(|(node, path)| labels(reader, node, &path));
        match (namespaces.is_some() || names.is_some(), labels.is_some()) {
            (true, false) | (false, true) => {}
            (false, false) => reader.wrong(node, &path, "hides nothing; expected namespaces, names or labels"),
            (true, true) => reader.wrong(
                node,
                &path,
                "labels stand alone: write an entry of their own, in a rule whose match names the namespaces. The API server has to leave \
                 such objects out, and its selectors can't say both",
            ),
        }
        rules.push(HideRule {
            namespaces: namespaces.unwrap_or_default(),
            names: names.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
        });
    }
    rules
}

fn labels(reader: &mut Reader, node: &Node, path: &str) -> Vec<String> {
    let mut labels = Vec::new();
    for (node, path, text) in reader.texts(node, path) {
        if let Err(message) = Requirement::parse(&text) {
            reader.wrong(node, &path, message);
        }
        labels.push(text);
    }
    labels
}

/// How much the rules hide by, all together: patterns, and bytes of them.
pub(super) fn size<'r>(rules: impl Iterator<Item = &'r HideRule>) -> (usize, usize) {
    let texts = rules.flat_map(|rule| [&rule.namespaces, &rule.names, &rule.labels]).flatten();
    texts.fold((0, 0), |(count, bytes), text| (count + 1, bytes + text.len()))
}

/// A condition that says whether something is hidden must not depend on what is hidden.
pub(super) fn check(reader: &mut Reader, node: &Node, path: &str, when: Option<&Condition>) {
    if when.is_some_and(|when| when.uses_old_object) {
        reader.wrong(
            node,
            path,
            "what is hidden can't depend on oldObject, which in a list nobody has asked for; hide by labels",
        );
    }
}
