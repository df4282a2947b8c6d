//! What a rule is about: RBAC's own words, plus who asks and where.
//!
//! A dimension that isn't named matches everything. What a request leaves open (the name in a list, the namespace of a request to
//! all namespaces, the name that the server will generate) is [`Reach::Maybe`]: a rule that is stricter takes it, because the request
//! does reach what the rule protects; a rule that allows doesn't, because it reaches more than the rule allows.

use super::glob::Glob;
use super::question::Question;
use crate::identity::Identity;
use crate::request_info::{RequestInfo, Verb};
use crate::risk::table;
use crate::risk::verbs::Verbs;

/// Whether a request is what a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    No,
    /// The request could be, or includes, that.
    Maybe,
    Yes,
}

/// `pods`, `pods/exec`, `pods/*`, `*/scale`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResourcePattern {
    /// Nothing for any.
    pub(super) resource: Option<String>,
    /// Nothing for any, the empty text for the resource itself.
    pub(super) subresource: Option<String>,
}

impl ResourcePattern {
    fn matches(&self, info: &RequestInfo) -> bool {
        self.resource.as_ref().is_none_or(|resource| *resource == info.resource)
            && self.subresource.as_ref().is_none_or(|subresource| *subresource == info.subresource)
    }

    fn covers(&self, other: &Self) -> bool {
        let part = |mine: &Option<String>, theirs: &Option<String>| mine.is_none() || mine == theirs;
        part(&self.resource, &other.resource) && part(&self.subresource, &other.subresource)
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IdentityPattern {
    /// `cluster/namespace/serviceaccount`.
    Pod(Glob, Glob, Glob),
    /// A CI job: the issuer's exact address, and claims.
    Ci { issuer: String, subject: Option<Glob>, claims: Vec<(String, Glob)> },
}

impl IdentityPattern {
    pub(super) fn matches(&self, identity: &Identity) -> bool {
        match self {
            Self::Pod(cluster, namespace, account) => {
                let pod = identity.pod();
                cluster.matches(&pod.cluster)
                    && namespace.matches(&pod.namespace)
                    && account.matches(&pod.service_account)
            }
            Self::Ci { issuer, subject, claims } => identity.ci().is_some_and(|ci| {
                ci.issuer == *issuer
                    && subject.as_ref().is_none_or(|subject| subject.matches(&ci.subject))
                    && claims.iter().all(|(name, glob)| ci.claims.get(name).is_some_and(|value| glob.matches(value)))
            }),
        }
    }
}

/// What a rule is about. `None` is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) groups: Option<Vec<Glob>>,
    pub(super) resources: Option<Vec<ResourcePattern>>,
    pub(super) verbs: Option<Verbs>,
    pub(super) namespaces: Option<Vec<Glob>>,
    pub(super) names: Option<Vec<Glob>>,
    pub(super) identities: Option<Vec<IdentityPattern>>,
    pub(super) clusters: Option<Vec<Glob>>,
    /// Non-resource paths: exact, or everything below a prefix that ends in `/`.
    pub(super) paths: Option<Vec<(String, bool)>>,
}

impl Match {
    /// Whether the rule can be about requests for resources.
    pub(super) const fn has_resources(&self) -> bool {
        self.paths.is_none()
    }

    /// Whether the rule can be about non-resource paths.
    pub(super) const fn has_paths(&self) -> bool {
        self.groups.is_none() && self.resources.is_none() && self.namespaces.is_none() && self.names.is_none()
    }

    /// Group and resource, if it is about nothing but reads of objects of one kind, one by one.
    pub(super) fn one_get(&self) -> Option<(&str, &str)> {
        let [Glob::Exact(group)] = self.groups.as_deref()? else { return None };
        let [ResourcePattern { resource: Some(resource), subresource: Some(below) }] = self.resources.as_deref()?
        else {
            return None;
        };
        (below.is_empty() && self.verbs == Some(Verbs::of(Verb::Get))).then_some((group, resource))
    }

    /// Whether the request is what the rule is about.
    pub(super) fn reach(&self, question: &Question<'_>) -> Reach {
        let info = question.info;
        let fits = self.verbs.is_none_or(|verbs| verbs.has(info.verb))
            && any(self.clusters.as_ref(), |cluster| cluster.matches(question.cluster))
            && any(self.identities.as_ref(), |identity| identity.matches(question.identity));
        if !fits {
            return Reach::No;
        }
        if !info.is_resource_request {
            let path = &info.non_resource_path;
            let fits = self.has_paths()
                && any(
                    self.paths.as_ref(),
                    |(known, below)| if *below { path.starts_with(known) } else { path == known },
                );
            return if fits { Reach::Yes } else { Reach::No };
        }
        let fits = self.has_resources()
            && any(self.groups.as_ref(), |group| group.matches(&info.api_group))
            && any(self.resources.as_ref(), |resource| resource.matches(info));
        if !fits {
            return Reach::No;
        }
        self.namespace(info).min(self.name(question))
    }

    fn namespace(&self, info: &RequestInfo) -> Reach {
        let Some(namespaces) = &self.namespaces else { return Reach::Yes };
        if !info.namespace.is_empty() {
            return yes(namespaces.iter().any(|known| known.matches(&info.namespace)));
        }
        match table::resource(&info.api_group, &info.resource).map(|resource| resource.scope) {
            // A list of all namespaces is a list of theirs, too: but all of them are none of the rule's only by `*`.
            Some(table::Scope::Namespaced) => Reach::Maybe,
            // A list of namespaces shows theirs; nothing else that is cluster-scoped is in one.
            Some(table::Scope::Cluster) if info.resource == "namespaces" && info.api_group.is_empty() => Reach::Maybe,
            Some(table::Scope::Cluster) => Reach::No,
            None => Reach::Maybe,
        }
    }

    fn name(&self, question: &Question<'_>) -> Reach {
        let Some(names) = &self.names else { return Reach::Yes };
        let name = question.object_name();
        if name.is_empty() {
            // A list, a deletecollection, or a name that the server makes.
            return Reach::Maybe;
        }
        yes(names.iter().any(|known| known.matches(name)))
    }

    /// Whether every request that the other is about is one that this is about.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let globs = |mine: &Option<Vec<Glob>>, theirs: &Option<Vec<Glob>>| {
            covers(mine.as_ref(), theirs.as_ref(), |one, another| *one == Glob::Any || one == another)
        };
        globs(&self.groups, &other.groups)
            && covers(self.resources.as_ref(), other.resources.as_ref(), ResourcePattern::covers)
            && match (self.verbs, other.verbs) {
                (None, _) => true,
                (Some(mine), Some(theirs)) => mine.or(theirs) == mine,
                (Some(_), None) => false,
            }
            && globs(&self.namespaces, &other.namespaces)
            && globs(&self.names, &other.names)
            && covers(self.identities.as_ref(), other.identities.as_ref(), |one, another| one == another)
            && globs(&self.clusters, &other.clusters)
            && covers(self.paths.as_ref(), other.paths.as_ref(), |one, another| {
                one == another || one.1 && another.0.starts_with(&one.0)
            })
            // A rule with any resource dimension says nothing of paths, and the other way round.
            && (self.has_paths() || !other.has_paths())
            && (self.has_resources() || !other.has_resources())
    }
}

fn any<T>(patterns: Option<&Vec<T>>, mut fits: impl FnMut(&T) -> bool) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(&mut fits))
}

const fn yes(fits: bool) -> Reach {
    if fits { Reach::Yes } else { Reach::No }
}

fn covers<T>(mine: Option<&Vec<T>>, theirs: Option<&Vec<T>>, one_covers: impl Fn(&T, &T) -> bool) -> bool {
    match (mine, theirs) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(mine), Some(theirs)) => theirs.iter().all(|another| mine.iter().any(|one| one_covers(one, another))),
    }
}
