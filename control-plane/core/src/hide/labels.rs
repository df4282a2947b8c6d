//! Labels, in the words of selectors (k8s.io/apimachinery pkg/labels/selector.go): `a`, `!a`, `a=b`, `a!=b`, `a in (b, c)`, `a notin (b, c)`.

use std::collections::BTreeMap;

/// One condition on the labels of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    /// An object without the label is none of those.
    NotIn(Vec<String>),
}

impl Requirement {
    /// Reads one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let one = |value: &str| vec![value.trim().to_owned()];
        let (key, test) = if let Some((key, value)) = text.split_once("!=") {
            (key, Test::NotIn(one(value)))
        } else if let Some((key, value)) = text.split_once('=') {
            (key, Test::In(one(value.strip_prefix('=').unwrap_or(value))))
        } else if let Some((key, set)) = text.split_once(char::is_whitespace) {
            set_of(key, set.trim())?
        } else if let Some(key) = text.strip_prefix('!') {
            (key, Test::Missing)
        } else {
            (text, Test::Exists)
        };
        let key = key.trim();
        if !is_key(key) {
            return Err(format!("\"{key}\" is no label; expected tier, tier=x, tier!=x, !tier, tier in (x, y)"));
        }
        let (Test::In(values) | Test::NotIn(values)) = &test else { return Ok(Self { key: key.to_owned(), test }) };
        match values.iter().find(|value| !is_value(value)) {
            Some(value) => {
                Err(format!("\"{value}\" is no value of a label; one label in each text: any of them hides"))
            }
            None => Ok(Self { key: key.to_owned(), test }),
        }
    }

    /// Whether it is true of an object's labels.
    pub(super) fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
        }
    }

    /// The selector of all objects of which it is not true.
    pub(super) fn complement(&self) -> String {
        let key = &self.key;
        match &self.test {
            Test::Exists => format!("!{key}"),
            Test::Missing => key.clone(),
            Test::In(values) => match values.as_slice() {
                [value] => format!("{key}!={value}"),
                values => format!("{key} notin ({})", values.join(",")),
            },
            Test::NotIn(values) => match values.as_slice() {
                [value] => format!("{key}={value}"),
                values => format!("{key} in ({})", values.join(",")),
            },
        }
    }
}

/// `in (a, b)`.
fn set_of<'a>(key: &'a str, set: &str) -> Result<(&'a str, Test), String> {
    let (word, values) = set.split_once('(').unwrap_or((set, ""));
    let values = values.strip_suffix(')').map(|inner| inner.split(',').map(|value| value.trim().to_owned()).collect());
    match (word.trim(), values) {
        ("in", Some(values)) => Ok((key, Test::In(values))),
        ("notin", Some(values)) => Ok((key, Test::NotIn(values))),
        _ => Err(format!("expected `{key} in (x, y)` or `{key} notin (x, y)`, found \"{key} {set}\"")),
    }
}

/// A qualified name (k8s.io/apimachinery pkg/util/validation): an optional DNS subdomain, and a name.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let part = |part: &str| {
        let signs = part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        signs && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    let prefix = prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(part));
    prefix && !name.is_empty() && is_value(name)
}

/// Up to 63 letters, digits, `-`, `_` and `.`, the first and last a letter or digit; or nothing.
fn is_value(value: &str) -> bool {
    let outer = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    let inner = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    bytes.len() <= 63 && inner && outer(bytes.first()) && outer(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_form_and_its_complement() {
        let tier = labels(&[("tier", "x")]);
        let other = labels(&[("tier", "y"), ("a.b/c", "")]);
        let none = labels(&[]);
        for (text, complement, of_tier, of_other, of_none) in [
            ("tier", "!tier", true, true, false),
            ("!tier", "tier", false, false, true),
            ("! tier", "tier", false, false, true),
            ("tier=x", "tier!=x", true, false, false),
            ("tier == x", "tier!=x", true, false, false),
            ("tier!=x", "tier=x", false, true, true),
            ("tier in (x, z)", "tier notin (x,z)", true, false, false),
            ("tier in (x)", "tier!=x", true, false, false),
            ("tier notin (y,z)", "tier in (y,z)", true, false, true),
            ("a.b/c=", "a.b/c!=", false, true, false),
        ] {
            let requirement = Requirement::parse(text).unwrap();
            assert_eq!(requirement.complement(), complement, "{text}");
            let holds = [&tier, &other, &none].map(|labels| requirement.holds(labels));
            assert_eq!(holds, [of_tier, of_other, of_none], "{text}");
            let opposite = Requirement::parse(complement).unwrap();
            assert_eq!([&tier, &other, &none].map(|labels| !opposite.holds(labels)), holds, "{text}");
        }
    }

    #[test]
    fn what_is_no_label() {
        for text in [
            "",
            "!",
            "=",
            "=x",
            "a=b,c=d",
            "a=b c",
            "a in",
            "a in b",
            "a in (b",
            "a in (b,,(c)",
            "a of (b)",
            "a/b/c",
            "/a",
            "A.b/c",
            "a=-b",
            "-a",
            "tier=\u{430}",
            "a>1",
            "!a=b",
            "a in (b) or c",
        ] {
            assert!(Requirement::parse(text).is_err(), "{text:?}");
        }
    }
}
