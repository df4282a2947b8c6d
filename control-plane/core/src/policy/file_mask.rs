//! Fields that are masked beside Secrets.

use shared::limits;

use super::file_match;
use super::glob::Glob;
use super::reader::Reader;
use super::yaml::Node;
use crate::mask::MaskedFields;
use crate::request_info::RequestInfo;

/// One entry: these fields of these resources, whoever reads them.
#[derive(Debug)]
pub(super) struct MaskRule {
    pub(super) groups: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) fields: Vec<String>,
}

impl MaskRule {
    pub(super) fn is_about(&self, info: &RequestInfo) -> bool {
        info.is_resource_request && self.groups.contains(&info.api_group) && self.resources.contains(&info.resource)
    }
}

/// What of one resource's objects is masked.
pub(super) fn fields<'r>(rules: &'r [MaskRule], group: &str, resource: &str) -> Vec<&'r str> {
    let has = |names: &[String], name: &str| names.iter().any(|own| own == name);
    let about = rules.iter().filter(|rule| has(&rule.groups, group) && has(&rule.resources, resource));
    about.flat_map(|rule| &rule.fields).map(String::as_str).collect()
}

/// Reads the list, whose entries are added to `rules`.
pub(super) fn read(reader: &mut Reader, node: &Node, path: &str, rules: &mut Vec<MaskRule>) {
    for (node, path) in reader.list(node, path) {
        let fields = reader.fields(node, &path, &["apiGroups", "resources", "fields"]);
        for name in ["apiGroups", "resources", "fields"] {
            if fields.get(name).is_none() {
                reader.wrong(node, &path, format!("has no {name}; expected apiGroups, resources and fields"));
            }
        }
        let groups = fields.get("apiGroups").map(|(node, path)| groups(reader, node, &path)).unwrap_or_default();
        let resources = fields.get("resources").map(|(node, path)| resources(reader, node, &path, &groups));
        let resources = resources.unwrap_or_default();
        let patterns = fields.get("fields").map(|(node, path)| reader.texts(node, &path)).unwrap_or_default();
        if groups.iter().any(String::is_empty) && resources.iter().any(|resource| resource == "secrets") {
            reader.wrong(node, &path, "names Secrets, whose values are masked whatever policy says");
        }
        for (node, path, text) in &patterns {
            if let Err(error) = MaskedFields::parse(&[text]) {
                reader.wrong(node, path, error.to_string());
            }
        }
        let fields = patterns.into_iter().map(|(_, _, text)| text).collect();
        rules.push(MaskRule { groups, resources, fields });
        if let Some(resource) = rules.last().and_then(|rule| too_many(rules, rule)) {
            let limit = limits::GRANT_MASK_PATHS;
            reader.wrong(node, &path, format!("with it, more than {limit} fields of {resource} are named"));
        }
    }
}

/// A resource of this rule of whose fields more are named than a grant can carry.
fn too_many<'r>(rules: &[MaskRule], rule: &'r MaskRule) -> Option<&'r String> {
    let most = |group: &String| {
        rule.resources.iter().find(|resource| fields(rules, group, resource).len() > limits::GRANT_MASK_PATHS)
    };
    rule.groups.iter().find_map(most)
}

/// Checked as a rule's are. A star would mask less than somebody thinks, or more than anybody can read: each is named.
fn groups(reader: &mut Reader, node: &Node, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    for group in file_match::groups(reader, node, path) {
        match group {
            Glob::Exact(name) => names.push(name),
            Glob::Any | Glob::Parts(_) => reader.wrong(node, path, "name each group: `*` is not for this list"),
        }
    }
    names
}

fn resources(reader: &mut Reader, node: &Node, path: &str, groups: &[String]) -> Vec<String> {
    let groups: Vec<Glob> = groups.iter().cloned().map(Glob::Exact).collect();
    let mut names = Vec::new();
    for pattern in file_match::resources(reader, node, path, Some(&groups)) {
        match (pattern.resource, pattern.subresource.as_deref()) {
            (Some(name), Some("")) => names.push(name),
            _ => reader.wrong(
                node,
                path,
                "name each resource, without a subresource or `*`: `pods` has its subresources with it",
            ),
        }
    }
    names
}
