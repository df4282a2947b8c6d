//! Fields of those that policy masks that people may have shown, each by its whole name: `data.PASSWORD`, `spec.users[name=ann].token`,
//! `spec.users[*].token`.

use serde_json::Value;

use super::pattern::{Pattern, PatternError, Step};
use super::{FieldPath, MaskedFields};

/// See the module.
#[derive(Clone, Debug)]
pub struct RevealedFields(Vec<Pattern>);

impl RevealedFields {
    /// Reads what policy or a pin names.
    ///
    /// # Errors
    /// The first that can't be read; then nothing is shown.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, PatternError> {
        texts.into_iter().map(|text| Pattern::exact(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether each is a field that is masked, or something below one.
    pub fn is_within(&self, masked: &MaskedFields) -> bool {
        self.0.iter().all(|field| masked.0.iter().any(|pattern| pattern.covers(field)))
    }

    /// Where they stand in an object (RFC 6901).
    pub(in crate::mask) fn places(&self, object: &Value) -> Vec<String> {
        let mut places = Vec::new();
        self.0.iter().for_each(|field| find(object, field.steps(), &mut Vec::new(), &mut places));
        places
    }
}

/// No deeper than there are steps.
fn find(value: &Value, steps: &[Step], path: &mut Vec<String>, places: &mut Vec<String>) {
    let Some((step, rest)) = steps.split_first() else {
        places.push(FieldPath::from(path.clone()).to_string());
        return;
    };
    let mut below = |part: String, value: &Value| {
        path.push(part);
        find(value, rest, path, places);
        path.pop();
    };
    match (step, value) {
        (Step::Member(name), Value::Object(members)) => {
            if let Some(member) = members.get(name) {
                below(name.clone(), member);
            }
        }
        (Step::Elements | Step::Where(..), Value::Array(items)) => {
            let meant = |item: &Value| match step {
                Step::Where(name, text) => item.get(name).and_then(Value::as_str) == Some(text),
                Step::Elements | Step::Member(_) => true,
            };
            let items = items.iter().enumerate().filter(|(_, item)| meant(item));
            items.for_each(|(index, item)| below(index.to_string(), item));
        }
        (Step::Member(_) | Step::Elements | Step::Where(..), _) => {}
    }
}
