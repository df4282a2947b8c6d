//! Of which Secrets real values may leave the cluster at all, once people have approved that. The agent's own word, from its own
//! configuration: a compromised control plane makes up approvals, and without a name here it gets no value for them.

use std::collections::BTreeSet;

use control_plane_core::grant::{GrantClaims, Purpose};
use control_plane_core::request_info::{RequestInfo, Verb};
use control_plane_core::version_pin::VersionPin;

use crate::rules::RuleRefusal;

/// The Secrets. None unless the configuration names some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disclosable {
    /// `namespace/name`.
    names: BTreeSet<String>,
    /// All of these namespaces.
    namespaces: BTreeSet<String>,
}

impl Disclosable {
    /// From `namespace/name` and `namespace/*`; nothing of the protected namespaces, of which Sallyport's own is one.
    ///
    /// # Errors
    /// A sentence about the first entry that is neither.
    pub fn parse(entries: &[String], protected: &BTreeSet<String>) -> Result<Self, String> {
        let mut all = Self::default();
        for entry in entries {
            let (namespace, name) = entry.split_once('/').unwrap_or_default();
            let plain = |part: &str| !part.is_empty() && !part.contains(['*', '/']);
            if !plain(namespace) || !(name == "*" || plain(name)) {
                return Err(format!("{entry:?} is neither namespace/name nor namespace/*"));
            }
            if protected.contains(namespace) {
                return Err(format!("{entry:?} is in a protected namespace, of which nothing is shown"));
            }
            if name == "*" {
                all.namespaces.insert(namespace.to_owned());
            } else {
                all.names.insert(entry.clone());
            }
        }
        Ok(all)
    }

    /// The pin of a grant that is to show values, if it may; nothing for the grants of every day.
    ///
    /// # Errors
    /// It is to show what it may not, or is no read of one object.
    pub fn check(&self, info: &RequestInfo, claims: &GrantClaims) -> Result<Option<VersionPin>, RuleRefusal> {
        let pin = claims.approval.as_ref().map(|approval| &approval.pin);
        let Some(pin) = pin.filter(|pin| pin.revealed().is_some()) else { return Ok(None) };
        let one = info.is_resource_request
            && info.verb == Verb::Get
            && info.subresource.is_empty()
            && !info.name.is_empty()
            && claims.purpose == Purpose::Operation;
        if !one {
            return Err(RuleRefusal::DisclosureOfOne);
        }
        // Of other objects nothing is masked but what the grant itself says, so whoever makes up a grant needs no disclosure.
        let secret = (info.api_group.as_str(), info.resource.as_str()) == ("", "secrets");
        let may = !secret || info.api_version == "v1" && self.has(&info.namespace, &info.name);
        if may { Ok(Some(pin.clone())) } else { Err(RuleRefusal::Disclosure) }
    }

    fn has(&self, namespace: &str, name: &str) -> bool {
        !name.is_empty() && (self.namespaces.contains(namespace) || self.names.contains(&format!("{namespace}/{name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[&str]) -> Result<Disclosable, String> {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Disclosable::parse(&entries, &["sallyport".to_owned()].into())
    }

    #[test]
    fn only_what_is_named() {
        let some = parse(&["shop/db", "dev/*"]).unwrap();
        assert!(some.has("shop", "db") && some.has("dev", "anything"));
        for (namespace, name) in [("shop", "other"), ("shop", ""), ("dev", ""), ("other", "db"), ("", "db")] {
            assert!(!some.has(namespace, name), "{namespace}/{name}");
        }
        assert!(!Disclosable::default().has("shop", "db"));
    }

    #[test]
    fn an_entry_is_a_name_or_a_namespace() {
        for wrong in
            ["", "db", "/db", "shop/", "*/db", "*/*", "shop/d*", "shop/a/b", "sallyport/sallyport-ca", "sallyport/*"]
        {
            assert!(parse(&[wrong]).is_err(), "{wrong}");
        }
    }
}
