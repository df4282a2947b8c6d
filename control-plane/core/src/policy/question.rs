//! What policy is asked: one request, by one identity, in one session. Made from anything (a gateway's attributes, the words of
//! `policy explain`, a test), so that nobody can get another answer than the gateway gets.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::limits;

use super::seen::SeenSecrets;
use crate::identity::Identity;
use crate::request_info::{RequestInfo, Verb};

/// One request, as policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked for.
    pub info: &'a RequestInfo,
    /// By whom.
    pub identity: &'a Identity,
    /// The decoded query, in the order of the request.
    pub query: &'a [(String, String)],
    /// The body.
    pub body: Body<'a>,
    /// The object as it is, masked, if it was read.
    pub live: Live<'a>,
    /// What the session did until now.
    pub session: &'a SessionFacts,
    /// Our name of the cluster that is asked.
    pub cluster: &'a str,
}

impl Question<'_> {
    /// The name of the one object that it is about; empty for a list, a deletecollection, or a name that the server makes.
    pub(super) fn object_name(&self) -> &str {
        if !self.info.name.is_empty() || self.info.verb != Verb::Create {
            return &self.info.name;
        }
        let metadata = self.body.value().and_then(|body| body.get("metadata"));
        metadata.and_then(|metadata| metadata.get("name")).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What is known of the body.
#[derive(Clone, Copy, Debug, Default)]
pub enum Body<'a> {
    /// The request has none.
    #[default]
    Absent,
    /// There is one, and it could not be read: unknown type, not what its type says, too deep.
    Unreadable,
    /// Nobody knows yet: `auth can-i` asks without one. Conditions and modifiers that need it say nothing.
    Unknown,
    /// Read in full.
    Read {
        /// The media type, without parameters, lower case: it tells the four patch kinds apart.
        content_type: &'a str,
        /// The document, whatever encoding it came in.
        value: &'a Value,
    },
}

impl<'a> Body<'a> {
    /// The document, if there is one that could be read.
    pub const fn value(self) -> Option<&'a Value> {
        match self {
            Self::Read { value, .. } => Some(value),
            Self::Absent | Self::Unreadable | Self::Unknown => None,
        }
    }

    /// The media type, or the empty text.
    pub const fn content_type(self) -> &'a str {
        match self {
            Self::Read { content_type, .. } => content_type,
            Self::Absent | Self::Unreadable | Self::Unknown => "",
        }
    }
}

/// What is known of the object that a request is about.
#[derive(Clone, Copy, Debug, Default)]
pub enum Live<'a> {
    /// Nobody looked, or the look failed: everything that it could excuse counts as not excused.
    #[default]
    NotRead,
    /// There is no such object.
    Absent,
    /// The object, masked.
    Present(&'a Value),
}

/// What a session did until now; conditions read it as `session`, budgets compare with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// Seconds since it was opened.
    pub age_seconds: u64,
    /// Operations that went through.
    pub operations: u64,
    /// Of them, those that were no reads.
    pub writes: u64,
    /// Operations that were held.
    pub holds: u64,
    /// Operations that were denied, by policy or by people.
    pub denials: u64,
    /// The sum of [`crate::decision::Verdict::cost`] over all operations that went through.
    pub risk_spent: u64,
    /// What it did, as `create serviceaccounts`, so that a later step of a known chain can be told (SECURITY.md P9).
    pub did: BTreeSet<String>,
    /// Secrets that it was shown masked.
    pub seen: SeenSecrets,
    /// Whether a runner of its cluster reaches the API server, or the node's own doors, without us at this moment.
    pub bypass: bool,
}

impl SessionFacts {
    /// Notes an operation that went through; `deed` says what it was, if it was no read.
    pub fn went_through(&mut self, cost: u8, deed: Option<String>) {
        self.operations += 1;
        self.risk_spent = self.risk_spent.saturating_add(u64::from(cost));
        if let Some(deed) = deed {
            self.writes += 1;
            if self.did.len() < limits::SESSION_DEEDS {
                self.did.insert(deed);
            }
        }
    }

    /// Takes back an operation that came to no grant. Its deed stays: another operation may have done the same.
    pub fn give_back(&mut self, cost: u8, write: bool) {
        self.operations = self.operations.saturating_sub(1);
        self.risk_spent = self.risk_spent.saturating_sub(u64::from(cost));
        self.writes = self.writes.saturating_sub(u64::from(write));
    }
}

/// `auth can-i`: attributes as a SelfSubjectAccessReview has them, without a body, and with verbs that no request has.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessQuestion<'a> {
    /// Any text: `get`, `impersonate`, `*`.
    pub verb: &'a str,
    /// Group, empty for the core group.
    pub group: &'a str,
    /// Resource (plural).
    pub resource: &'a str,
    /// Subresource, or empty.
    pub subresource: &'a str,
    /// Namespace, or empty for all.
    pub namespace: &'a str,
    /// Name, or empty for all.
    pub name: &'a str,
    /// Path of a non-resource question; then all of the above but the verb are empty.
    pub path: Option<&'a str>,
}
