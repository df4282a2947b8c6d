//! Sets of verbs, as one word each.

use crate::request_info::Verb;

/// A set of RBAC verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbs(u16);

impl Verbs {
    /// No verb.
    pub const NONE: Self = Self(0);
    /// Every verb, the HTTP methods of non-resource paths included.
    pub const ALL: Self = Self(0x0fff);

    /// The set of one.
    pub const fn of(verb: Verb) -> Self {
        Self(match verb {
            Verb::Get => 1,
            Verb::List => 1 << 1,
            Verb::Watch => 1 << 2,
            Verb::Create => 1 << 3,
            Verb::Update => 1 << 4,
            Verb::Patch => 1 << 5,
            Verb::Delete => 1 << 6,
            Verb::DeleteCollection => 1 << 7,
            Verb::Post => 1 << 8,
            Verb::Put => 1 << 9,
            Verb::Head => 1 << 10,
            Verb::Options => 1 << 11,
        })
    }

    /// Both sets together.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether they share a verb.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the verb is in it.
    pub const fn has(self, verb: Verb) -> bool {
        self.meets(Self::of(verb))
    }
}

/// Every verb that a request can have.
pub const EVERY: [Verb; 12] = [
    Verb::Get,
    Verb::List,
    Verb::Watch,
    Verb::Create,
    Verb::Update,
    Verb::Patch,
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Post,
    Verb::Put,
    Verb::Head,
    Verb::Options,
];

/// The verb of that name.
pub fn parse(word: &str) -> Option<Verb> {
    EVERY.into_iter().find(|verb| verb.as_str() == word)
}

/// The sets that rows of the table are written with. Lower case, because a row's name ends in the word: `table/pods:read`.
#[expect(non_upper_case_globals, reason = "the names are the words of the table")]
pub(crate) mod sets {
    use super::{Verb, Verbs};

    pub(crate) const get: Verbs = Verbs::of(Verb::Get);
    pub(crate) const list: Verbs = Verbs::of(Verb::List).or(Verbs::of(Verb::Watch));
    pub(crate) const read: Verbs = get.or(list);
    pub(crate) const create: Verbs = Verbs::of(Verb::Create);
    pub(crate) const change: Verbs = Verbs::of(Verb::Update).or(Verbs::of(Verb::Patch));
    pub(crate) const put: Verbs = create.or(change);
    pub(crate) const delete: Verbs = Verbs::of(Verb::Delete);
    pub(crate) const purge: Verbs = Verbs::of(Verb::DeleteCollection);
    pub(crate) const remove: Verbs = delete.or(purge);
    pub(crate) const any: Verbs = Verbs::ALL;
}
