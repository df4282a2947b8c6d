//! The built-in resources as a person names them: plural, singular, kind, short name. The list is what `kubectl api-resources` says of the
//! API server that the tests run; one of them compares.

/// `NAME SHORTNAMES APIVERSION NAMESPACED KIND`, a line each; `-` for no short names.
const LIST: &str = include_str!("api-resources.txt");

/// One resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resource<'a> {
    /// Plural.
    pub(super) name: &'a str,
    pub(super) short: &'a str,
    /// Empty for the core group.
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) namespaced: bool,
    pub(super) kind: &'a str,
}

impl<'a> Resource<'a> {
    /// One that isn't built in. Most are namespaced, and policy asks more of those that are not.
    pub(super) const fn custom(name: &'a str, group: &'a str, version: &'a str) -> Self {
        Self { name, short: "", group, version, namespaced: true, kind: "" }
    }
}

fn all() -> impl Iterator<Item = Resource<'static>> {
    LIST.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, short, api_version) = (words.next()?, words.next()?, words.next()?);
        let short = if short == "-" { "" } else { short };
        let (namespaced, kind) = (words.next()? == "true", words.next()?);
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some(Resource { name, short, group, version, namespaced, kind })
    })
}

/// What kubectl takes a word for: `po`, `pod`, `Pod`, `pods`, `deployments.apps`, `deployments.v1.apps`. Groups in the order of the list,
/// as the API server prefers them.
pub(super) fn named(word: &str) -> Option<Resource<'static>> {
    let (word, rest) = word.split_once('.').unwrap_or((word, ""));
    let fits = |resource: &Resource<'_>| {
        rest.is_empty() || rest == resource.group || rest.split_once('.') == Some((resource.version, resource.group))
    };
    let is = |resource: &Resource<'_>| {
        let same = |name: &str| !name.is_empty() && name.eq_ignore_ascii_case(word);
        same(resource.name) || same(resource.kind) || resource.short.split(',').any(same)
    };
    all().find(|resource| fits(resource) && is(resource))
}

/// The resource of a manifest.
pub(super) fn of_kind(group: &str, kind: &str) -> Option<Resource<'static>> {
    all().find(|resource| resource.group == group && resource.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_resource_is_known() {
        let lines = LIST.lines().count();
        assert!(lines > 50 && all().count() == lines, "each line is read");
        for word in ["po", "pod", "Pod", "pods", "PODS", "pods.v1."] {
            assert_eq!(named(word).map(|one| (one.name, one.namespaced)), Some(("pods", true)), "{word}");
        }
        for word in ["deploy", "deployment.apps", "deployments.v1.apps", "Deployment"] {
            assert_eq!(named(word).map(|one| (one.group, one.name)), Some(("apps", "deployments")), "{word}");
        }
        for (word, name) in
            [("no", "nodes"), ("ns", "namespaces"), ("crd", "customresourcedefinitions"), ("sc", "storageclasses")]
        {
            assert_eq!(named(word).map(|one| (one.name, one.namespaced)), Some((name, false)), "{word}");
        }
        assert_eq!(named("ev").map(|one| one.group), Some(""), "as kubectl: the core group first");
        assert_eq!(of_kind("networking.k8s.io", "NetworkPolicy").map(|one| one.name), Some("networkpolicies"));
        for word in ["things", "pods.apps", "-", "", "p"] {
            assert_eq!(named(word), None, "{word:?}");
        }
    }
}
