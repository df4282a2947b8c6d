//! The risk table: every built-in resource and subresource × verb, with the score it starts from (the
//! reasons are those of <https://kubernetes.io/docs/concepts/security/rbac-good-practices/>).
//!
//! Scores of cluster-scoped resources are written with their scope already counted. A row's name, `table/<group>/<resource>:<verbs>`,
//! is what a rule's `accept` says. Where two rows of one resource share a verb, the first one counts.

mod apps;
mod cluster;
mod core;
mod custom;
mod paths;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::verbs::Verbs;
use crate::decision::{Contribution, Weight};
use crate::request_info::{RequestInfo, Verb};

pub(crate) use paths::path;

/// One entry: verbs of one resource or subresource.
#[derive(Debug)]
pub struct Row {
    /// `table/apps/deployments:create`.
    pub name: &'static str,
    /// API group.
    pub group: &'static str,
    /// `pods`, `pods/exec`.
    pub resource: &'static str,
    pub(crate) verbs: Verbs,
    /// 0–100.
    pub risk: u8,
    /// What it means, as a fact for a person.
    pub fact: &'static str,
}

impl Row {
    pub(crate) const fn contribution(&self) -> Contribution {
        Contribution {
            source: Cow::Borrowed(self.name),
            fact: Cow::Borrowed(self.fact),
            weight: Weight::AtLeast(self.risk),
        }
    }

    /// Whether the row speaks of that verb.
    pub const fn has(&self, verb: Verb) -> bool {
        self.verbs.has(verb)
    }
}

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Namespaced,
    Cluster,
}

/// A built-in resource: its scope, and the kind that a body sent to it must have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) scope: Scope,
}

/// `rows!(GROUP; "resource" verbs risk "fact"; …)`.
macro_rules! rows {
    ($group:literal; $($resource:literal $verbs:ident $risk:literal $fact:literal;)*) => {
        &[$($crate::risk::table::Row {
            name: concat!("table/", $group, "/", $resource, ":", stringify!($verbs)),
            group: $group,
            resource: $resource,
            verbs: $crate::risk::verbs::sets::$verbs,
            risk: $risk,
            fact: $fact,
        }),*]
    };
    // The core group, whose name is empty.
    ($($resource:literal $verbs:ident $risk:literal $fact:literal;)*) => {
        &[$($crate::risk::table::Row {
            name: concat!("table/", $resource, ":", stringify!($verbs)),
            group: "",
            resource: $resource,
            verbs: $crate::risk::verbs::sets::$verbs,
            risk: $risk,
            fact: $fact,
        }),*]
    };
}
use rows;

/// `kinds!(GROUP; Scope; "resource" "Kind", …)`.
macro_rules! kinds {
    ($($group:literal $scope:ident: $($resource:literal $kind:literal),*;)*) => {
        &[$($($crate::risk::table::Resource {
            group: $group,
            name: $resource,
            kind: $kind,
            scope: $crate::risk::table::Scope::$scope,
        }),*),*]
    };
}
use kinds;

const ROWS: &[&[Row]] = &[
    core::ROWS,
    apps::APPS,
    apps::BATCH,
    apps::AUTOSCALING,
    apps::POLICY,
    apps::COORDINATION,
    apps::DISCOVERY,
    apps::EVENTS,
    apps::SCHEDULING,
    apps::RESOURCE,
    apps::NETWORKING,
    cluster::RBAC,
    cluster::ADMISSION,
    cluster::EXTENSIONS,
    cluster::REGISTRATION,
    cluster::AUTHENTICATION,
    cluster::AUTHORIZATION,
    cluster::CERTIFICATES,
    cluster::FLOWCONTROL,
    cluster::INTERNAL,
    cluster::NODE,
    cluster::STORAGE,
    cluster::MIGRATION,
    cluster::METRICS,
];

type Index = HashMap<(&'static str, &'static str, &'static str), Vec<&'static Row>>;

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index::new();
    for row in all() {
        let (resource, subresource) = row.resource.split_once('/').unwrap_or((row.resource, ""));
        index.entry((row.group, resource, subresource)).or_default().push(row);
    }
    index
});

static RESOURCES: LazyLock<HashMap<(&'static str, &'static str), &'static Resource>> = LazyLock::new(|| {
    [core::KINDS, apps::KINDS, cluster::KINDS]
        .into_iter()
        .flatten()
        .map(|resource| ((resource.group, resource.name), resource))
        .collect()
});

/// Every row of built-in resources, custom resources of known power, and non-resource paths.
pub fn all() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().copied().flatten().chain(custom::ROWS).chain(paths::ROWS)
}

/// The row that speaks of a request for a resource. Never nothing: what no row names is a custom resource, and a write to one
/// that nobody described scores over the threshold.
pub(crate) fn row(info: &RequestInfo) -> &'static Row {
    find(&info.api_group, &info.resource, &info.subresource, info.verb)
}

/// The same for single words.
pub(crate) fn find(group: &str, resource: &str, subresource: &str, verb: Verb) -> &'static Row {
    // The map's keys live forever; seen through a shorter life, so that borrowed words can look them up.
    fn get<'a>(
        index: &'a HashMap<(&'a str, &'a str, &'a str), Vec<&'static Row>>,
        key: &(&'a str, &'a str, &'a str),
    ) -> Option<&'a Vec<&'static Row>> {
        index.get(key)
    }
    get(&INDEX, &(group, resource, subresource))
        .and_then(|rows| rows.iter().find(|row| row.verbs.has(verb)).copied())
        .unwrap_or_else(|| custom::row(group, verb))
}

/// The built-in resource of that name.
pub(crate) fn resource(group: &str, name: &str) -> Option<&'static Resource> {
    fn get<'a>(
        index: &'a HashMap<(&'a str, &'a str), &'static Resource>,
        key: &(&'a str, &'a str),
    ) -> Option<&'static Resource> {
        index.get(key).copied()
    }
    get(&RESOURCES, &(group, name))
}
