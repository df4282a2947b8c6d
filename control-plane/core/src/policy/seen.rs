//! Which Secrets a session was shown masked. Whoever deletes one of them can't make it again: it never had the values (SECURITY.md M6).

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::limits;

use crate::request_info::RequestInfo;

/// Bounded: a session that has seen more than it can remember has seen all. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenSecrets {
    /// Namespace and name; an empty name stands for the whole namespace.
    places: Arc<BTreeSet<(String, String)>>,
    all: bool,
}

impl SeenSecrets {
    /// Notes a request that goes through.
    pub fn note(&mut self, info: &RequestInfo) {
        self.note_words(info.verb.as_str(), &info.api_group, &info.resource, &info.namespace, &info.name);
    }

    /// The same of a request on record. The answer to a write shows the object too; what a create made, the session knew before.
    pub fn note_words(&mut self, verb: &str, api_group: &str, resource: &str, namespace: &str, name: &str) {
        let shows = matches!(verb, "get" | "list" | "watch" | "update" | "patch");
        if !shows || !api_group.is_empty() || resource != "secrets" || self.has(namespace, name) {
            return;
        }
        if namespace.is_empty() || self.places.len() >= limits::SESSION_SECRETS {
            *self = Self { places: Arc::default(), all: true };
            return;
        }
        Arc::make_mut(&mut self.places).insert((namespace.to_owned(), name.to_owned()));
    }

    /// Whether it may have been shown this one.
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        let place = |name: &str| self.places.contains(&(namespace.to_owned(), name.to_owned()));
        self.all || place(name) || place("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_info::Verb;

    fn info(verb: Verb, namespace: &str, name: &str) -> RequestInfo {
        RequestInfo {
            is_resource_request: true,
            non_resource_path: String::new(),
            verb,
            api_group: String::new(),
            api_version: "v1".to_owned(),
            namespace: namespace.to_owned(),
            resource: "secrets".to_owned(),
            subresource: String::new(),
            name: name.to_owned(),
            proxy_path: String::new(),
        }
    }

    #[test]
    fn reads_lists_and_replies_count() {
        let mut seen = SeenSecrets::default();
        seen.note(&info(Verb::Get, "a", "x"));
        seen.note(&info(Verb::Patch, "a", "y"));
        seen.note(&info(Verb::Create, "a", ""));
        seen.note(&info(Verb::Delete, "a", "z"));
        seen.note(&RequestInfo { resource: "configmaps".to_owned(), ..info(Verb::Get, "a", "z") });
        seen.note(&RequestInfo { api_group: "example.com".to_owned(), ..info(Verb::Get, "a", "z") });
        assert!(seen.has("a", "x") && seen.has("a", "y"));
        assert!(!seen.has("a", "z") && !seen.has("b", "x"));
        seen.note(&info(Verb::Watch, "a", ""));
        assert!(seen.has("a", "z") && !seen.has("b", "x"));
        seen.note(&info(Verb::List, "", ""));
        assert!(seen.has("b", "x"));
    }

    #[test]
    fn who_has_seen_too_many_has_seen_all() {
        let mut seen = SeenSecrets::default();
        for number in 0..limits::SESSION_SECRETS {
            seen.note(&info(Verb::Get, "a", &number.to_string()));
            // Once is enough.
            seen.note(&info(Verb::Get, "a", &number.to_string()));
        }
        assert!(!seen.has("a", "x"));
        seen.note(&info(Verb::Get, "a", "one more"));
        assert!(seen.has("a", "x") && seen.has("b", "y"));
    }
}
