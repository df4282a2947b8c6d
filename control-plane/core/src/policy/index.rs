//! Which rules can be about a resource: looked up by its name, so that a policy of a thousand rules costs no more than those few.

use std::collections::{BTreeSet, HashMap};

use super::rule::Rule;
use crate::request_info::RequestInfo;

/// Indices of rules, in their order.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_resource: HashMap<String, Vec<usize>>,
    other_resources: Vec<usize>,
    paths: Vec<usize>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut named: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        let mut index = Self::default();
        for (number, rule) in rules.iter().enumerate() {
            if rule.matcher.has_paths() {
                index.paths.push(number);
            }
            if !rule.matcher.has_resources() {
                continue;
            }
            let patterns = rule.matcher.resources.as_deref();
            let names: Option<Vec<&str>> =
                patterns.and_then(|patterns| patterns.iter().map(|pattern| pattern.resource.as_deref()).collect());
            match names {
                Some(names) => {
                    for name in names {
                        named.entry(name).or_default().insert(number);
                    }
                }
                // One pattern at least is about any resource.
                None => index.other_resources.push(number),
            }
        }
        for (name, mut numbers) in named {
            numbers.extend(&index.other_resources);
            index.by_resource.insert(name.to_owned(), numbers.into_iter().collect());
        }
        index
    }

    /// The rules that can be about the request.
    pub(super) fn candidates(&self, info: &RequestInfo) -> &[usize] {
        if !info.is_resource_request {
            return &self.paths;
        }
        self.by_resource.get(&info.resource).unwrap_or(&self.other_resources)
    }
}
