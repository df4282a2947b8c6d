//! Reads typed values out of the located tree and goes on after a mistake.

use std::time::Duration;

use super::mistake::{Mistake, suggestion};
use super::yaml::{Node, Tree};

/// Collects mistakes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) mistakes: Vec<Mistake>,
}

/// A map's known fields.
pub(super) struct Fields<'n> {
    path: String,
    entries: Vec<(String, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// The field and its path.
    pub(super) fn get(&self, name: &str) -> Option<(&'n Node, String)> {
        let (_, node) = self.entries.iter().find(|(known, _)| known == name)?;
        Some((node, self.path_of(name)))
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl Reader {
    /// Notes a mistake.
    pub(super) fn wrong(&mut self, node: &Node, path: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            line: node.line,
            column: node.column,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// A map with no other keys than the known ones, none of them twice.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> Fields<'n> {
        let mut fields = Fields { path: path.to_owned(), entries: Vec::new() };
        let Tree::Map(entries) = &node.value else {
            self.wrong(node, path, format!("expected a map of {}, found {}", known.join(", "), node.value.word()));
            return fields;
        };
        for (key, value) in entries {
            let name = match &key.value {
                Tree::Text(name) => name.clone(),
                Tree::Null | Tree::Plain | Tree::List(_) | Tree::Map(_) => key.written.clone(),
            };
            if !known.contains(&name.as_str()) {
                let help = suggestion(&name, known.iter().copied());
                self.wrong(key, path, format!("there is no field \"{name}\" here, only {}{help}", known.join(", ")));
                continue;
            }
            if let Some((first, _)) = fields.get(&name) {
                self.wrong(
                    key,
                    &fields.path_of(&name),
                    format!("is given twice, first before line {}", first.line + 1),
                );
                continue;
            }
            fields.entries.push((name, value));
        }
        fields
    }

    /// A text. What YAML takes for a number or boolean counts as it was written.
    pub(super) fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        match &node.value {
            Tree::Text(text) => Some(text.clone()),
            Tree::Plain => Some(node.written.clone()),
            Tree::Null | Tree::List(_) | Tree::Map(_) => {
                self.wrong(node, path, format!("expected a text, found {}", node.value.word()));
                None
            }
        }
    }

    /// The items of a list that isn't empty, with their paths.
    pub(super) fn list<'n>(&mut self, node: &'n Node, path: &str) -> Vec<(&'n Node, String)> {
        match &node.value {
            Tree::List(items) if !items.is_empty() => {
                items.iter().enumerate().map(|(index, item)| (item, format!("{path}[{index}]"))).collect()
            }
            Tree::List(_) => {
                self.wrong(node, path, "an empty list matches nothing; leave the field out to match everything");
                Vec::new()
            }
            Tree::Null | Tree::Plain | Tree::Text(_) | Tree::Map(_) => {
                self.wrong(node, path, format!("expected a list, found {}", node.value.word()));
                Vec::new()
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts<'n>(&mut self, node: &'n Node, path: &str) -> Vec<(&'n Node, String, String)> {
        let items = self.list(node, path);
        items.into_iter().filter_map(|(item, path)| self.text(item, &path).map(|text| (item, path, text))).collect()
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, path: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, path)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let help = suggestion(&text, words.iter().map(|(word, _)| *word));
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(node, path, format!("expected {}, found \"{text}\"{help}", names.join(" or ")));
        }
        found
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, node: &Node, path: &str, least: u64, most: u64) -> Option<u64> {
        let number = matches!(node.value, Tree::Plain).then(|| node.written.parse::<u64>().ok()).flatten();
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let found = if node.written.is_empty() { node.value.word() } else { &node.written };
            self.wrong(node, path, format!("expected a number from {least} to {most}, found {found}"));
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, node: &Node, path: &str) -> Option<bool> {
        let flag = matches!(node.value, Tree::Plain).then(|| node.written.to_ascii_lowercase().parse().ok()).flatten();
        if flag.is_none() {
            self.wrong(node, path, "expected true or false");
        }
        flag
    }

    /// A duration as `90s`, `15m`, `2h`.
    pub(super) fn duration(&mut self, node: &Node, path: &str, most: Duration) -> Option<Duration> {
        let text = self.text(node, path)?;
        let parsed = [("s", 1), ("m", 60), ("h", 3600)].into_iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(seconds).map(Duration::from_secs)
        });
        let parsed = parsed.filter(|duration| !duration.is_zero() && *duration <= most);
        if parsed.is_none() {
            self.wrong(
                node,
                path,
                format!("expected a time like 90s, 15m or 2h, at most {}h, found \"{text}\"", most.as_secs() / 3600),
            );
        }
        parsed
    }
}
