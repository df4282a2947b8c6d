//! Policy: one file, one answer per request, with every reason named.
//!
//! # What the answer is made of
//!
//! 1. **Risk.** [`crate::risk`] scores the request: the table's entry for verb and resource, raised by what the body, the query and
//!    the live object say. Every matching rule with `risk: 70` (a floor) or `risk: +10` raises it further.
//! 2. **Rules.** A rule is about the requests that its `match` names (RBAC's words; a dimension that is left out matches everything)
//!    and of which its `when` (CEL) is true.
//!    - A matching `deny` rule wins, wherever it stands.
//!    - Otherwise the **first** matching rule with an effect settles it, in the order of the file, then the built-in rules
//!      (`default/…`), unless the file says `defaultRules: false`.
//!    - No such rule: **denied**.
//! 3. **Thresholds.** From `holdAt` on it is held, from `denyAt` on denied, whatever rule settled it. An `allow` rule gets under them
//!    only by `accept`: the names of the findings (`table/…`, `modifier/…`) that it takes on; those then count nothing, all others
//!    still do. So nobody allows a privileged pod by allowing pods.
//! 4. **Stricter only.** A rule's `budget`, a condition that broke, and what can't be made good again (deleting a Secret that the session
//!    was shown masked, unless a rule accepts that by name) raise the answer to hold (or deny, if the rule denies), never lower it. What [`crate::risk`] forbids (changing Sallyport itself; for now streams) no rule can allow.
//!    A deletecollection that would be held is denied: nobody can review it, single deletes can be.
//! 5. **Hidden.** What any matching rule hides (`hide`) is hidden ([`crate::hide`]), also by one whose condition is broken, and of what is
//!    below an object (`pods/log`) what is hidden of the object. What a namespace or name hides can't be written, nor a collection in
//!    which something is hidden be deleted.
//!
//! Of what a request leaves open (the name in a list) stricter rules assume that it is what they are about, allowing rules that it
//! isn't (`matcher`). A condition that ends in an error, takes too long, or can't see what it asks for is *broken*: hold or deny.
//!
//! # Who approves
//!
//! The group list of the first matching rule that holds and names one, else the file's `defaults`; the highest quorum of all matching
//! rules that hold. From `twoPeopleAt` on, two. Four eyes: the asker is a workload, the approver a person; where no person is
//! known behind the asker, the approver could be that person, so two are needed, unless `noPersonBehind` says that nobody stands
//! behind this issuer or ServiceAccount.
//!
//! Invariant: [`decide()`] is a pure function. Nothing that goes wrong in it makes an answer less strict.

mod access;
mod cel;
mod decide;
mod default_mask;
mod file;
mod file_hide;
mod file_mask;
mod file_match;
mod file_reveal;
mod file_rule;
mod fuzz;
pub(crate) mod glob;
mod index;
mod matcher;
mod mistake;
pub mod question;
mod reader;
mod rule;
mod seen;
mod text;
mod yaml;

use std::collections::BTreeSet;
use std::time::Duration;

use shared::limits;

use self::glob::Glob;
use self::index::Index;
use self::reader::Reader;
use self::rule::Rule;
use crate::decision::ApprovalTerms;
use crate::identity::Identity;
use crate::request_info::RequestInfo;
use crate::risk::Protect;

pub use access::{Access, AccessAnswer};
pub use decide::{cost, decide, needs_live};
#[doc(hidden)]
pub use fuzz::fuzz_policy;
pub use mistake::Mistake;
pub use question::{AccessQuestion, Body, Live, Question, SessionFacts};
pub use seen::SeenSecrets;

/// The built-in policy.
const DEFAULT: &str = include_str!("default.yaml");

/// A policy, compiled: immutable, shared by all operations, replaced whole on reload.
#[derive(Debug)]
pub struct Policy {
    defaults: Defaults,
    protect: Protect,
    no_person: Vec<NoPerson>,
    mask: Vec<file_mask::MaskRule>,
    rules: Vec<Rule>,
    patterns: cel::Patterns,
    index: Index,
    /// Some rule hides something.
    hides: bool,
    /// Some rule discloses values.
    reveals: bool,
}

/// What holds where a rule says nothing.
#[derive(Clone, Debug)]
struct Defaults {
    hold_at: u8,
    deny_at: u8,
    two_people_at: u8,
    terms: ApprovalTerms,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            hold_at: 40,
            deny_at: 100,
            two_people_at: 90,
            terms: ApprovalTerms {
                groups: BTreeSet::from(["sallyport-approvers".to_owned()]),
                quorum: 1,
                wait: Duration::from_secs(15 * 60),
            },
        }
    }
}

/// Askers behind whom no person stands.
#[derive(Clone, Debug)]
enum NoPerson {
    /// Every job of this CI provider.
    Issuer(String),
    /// Pods of this ServiceAccount, where they show no CI token.
    ServiceAccount(Glob, Glob, Glob),
}

impl NoPerson {
    fn covers(&self, identity: &Identity) -> bool {
        match (self, identity.ci()) {
            (Self::Issuer(issuer), Some(ci)) => *issuer == ci.issuer,
            // A CI token that names nobody says that somebody unnamed started the job: only its issuer can be excused.
            (Self::ServiceAccount(..), Some(_)) | (Self::Issuer(_), None) => false,
            (Self::ServiceAccount(cluster, namespace, account), None) => {
                let pod = identity.pod();
                cluster.matches(&pod.cluster)
                    && namespace.matches(&pod.namespace)
                    && account.matches(&pod.service_account)
            }
        }
    }
}

impl Policy {
    /// Reads a policy file. Compiles every pattern and condition once, and tries each condition on made-up requests.
    ///
    /// # Errors
    ///
    /// All mistakes at once, in the order of the file. The policy is refused whole; the caller keeps the one that it has.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::default();
        let mut patterns = cel::Patterns::new();
        let root = yaml::parse(text).map_err(|mistake| vec![mistake])?;
        let mut file = file::read(&mut reader, &root, "", &mut patterns);
        let mut mistakes = reader.mistakes;
        if mistakes.is_empty() && file.default_rules {
            match default_rules(&mut patterns) {
                Ok(rules) => file.rules.extend(rules),
                Err(more) => mistakes.extend(more),
            }
        }
        if !mistakes.is_empty() {
            mistakes.sort();
            mistakes.dedup();
            mistakes.truncate(limits::POLICY_MISTAKES);
            return Err(mistakes);
        }
        Ok(Self::new(file, patterns))
    }

    /// The policy without a file: built-in rules only.
    ///
    /// # Errors
    ///
    /// Never, as a test shows; the built-in policy is read like any other.
    pub fn built_in() -> Result<Self, Vec<Mistake>> {
        let mut patterns = cel::Patterns::new();
        let root = yaml::parse(DEFAULT).map_err(|mistake| vec![mistake])?;
        let mut reader = Reader::default();
        let file = file::read(&mut reader, &root, "default/", &mut patterns);
        if reader.mistakes.is_empty() { Ok(Self::new(file, patterns)) } else { Err(reader.mistakes) }
    }

    /// The policy that denies everything: in force where a file was wrong from the start.
    pub fn closed() -> Self {
        let file = file::File {
            defaults: Defaults::default(),
            default_rules: false,
            protect: Protect::default(),
            no_person: Vec::new(),
            mask: Vec::new(),
            rules: Vec::new(),
        };
        Self::new(file, cel::Patterns::new())
    }

    /// Whether the operator said that no person stands behind this runner (four eyes then needs no second approver).
    pub fn nobody_behind(&self, identity: &Identity) -> bool {
        self.no_person.iter().any(|known| known.covers(identity))
    }

    /// The fields of a resource that are masked beside Secrets, in the words of the file.
    pub fn masked_fields(&self, info: &RequestInfo) -> Vec<String> {
        let rules = self.mask.iter().filter(|rule| rule.is_about(info));
        let fields: BTreeSet<&String> = rules.flat_map(|rule| &rule.fields).collect();
        fields.into_iter().cloned().collect()
    }

    /// Names of all rules, in the order in which they are tried.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Groups whose members approve something.
    pub fn approver_groups(&self) -> BTreeSet<String> {
        let named = self.rules.iter().filter_map(|rule| rule.approvers.groups.as_ref());
        named.chain([&self.defaults.terms.groups]).flatten().cloned().collect()
    }

    fn new(file: file::File, patterns: cel::Patterns) -> Self {
        let index = Index::new(&file.rules);
        let reveals = file.rules.iter().any(|rule| !rule.reveal.is_empty());
        let file::File { defaults, protect, no_person, mask, rules, default_rules: _ } = file;
        let hides = rules.iter().any(|rule| !rule.hide.is_empty());
        Self { defaults, protect, no_person, mask, rules, patterns, index, hides, reveals }
    }
}

fn default_rules(patterns: &mut cel::Patterns) -> Result<Vec<Rule>, Vec<Mistake>> {
    let root = yaml::parse(DEFAULT).map_err(|mistake| vec![mistake])?;
    let mut reader = Reader::default();
    let file = file::read(&mut reader, &root, "default/", patterns);
    if reader.mistakes.is_empty() { Ok(file.rules) } else { Err(reader.mistakes) }
}

#[cfg(test)]
mod tests;
