//! Fields that are masked beside Secrets.

use shared::limits;

use super::reader::Reader;
use super::yaml::Node;
use crate::mask::MaskedFields;
use crate::request_info::RequestInfo;

/// One entry: these fields of these resources, whoever reads them.
#[derive(Debug)]
pub(super) struct MaskRule {
    groups: Vec<String>,
    resources: Vec<String>,
    pub(super) fields: Vec<String>,
}

impl MaskRule {
    pub(super) fn is_about(&self, info: &RequestInfo) -> bool {
        info.is_resource_request && self.groups.contains(&info.api_group) && self.resources.contains(&info.resource)
    }
}

/// Reads the list.
pub(super) fn read(reader: &mut Reader, node: &Node, path: &str) -> Vec<MaskRule> {
    let mut rules = Vec::new();
    let mut count = 0;
    for (node, path) in reader.list(node, path) {
        let fields = reader.fields(node, &path, &["apiGroups", "resources", "fields"]);
        let mut texts = |name: &str| {
            if let Some((node, path)) = fields.get(name) {
                return reader.texts(node, &path);
            }
            reader.wrong(node, &path, format!("has no {name}; expected apiGroups, resources and fields"));
            Vec::new()
        };
        let words = |texts: Vec<(&Node, String, String)>| texts.into_iter().map(|(_, _, text)| text).collect();
        let (groups, resources): (Vec<_>, Vec<_>) = (words(texts("apiGroups")), words(texts("resources")));
        let patterns = texts("fields");
        if groups.iter().any(String::is_empty) && resources.iter().any(|resource| resource == "secrets") {
            reader.wrong(node, &path, "names Secrets, whose values are masked whatever policy says");
        }
        for (node, path, text) in &patterns {
            if let Err(error) = MaskedFields::parse(&[text]) {
                reader.wrong(node, path, error.to_string());
            }
        }
        count += patterns.len();
        if count > limits::GRANT_MASK_PATHS {
            reader.wrong(node, &path, format!("names more than {} fields in all", limits::GRANT_MASK_PATHS));
        }
        rules.push(MaskRule { groups, resources, fields: words(patterns) });
    }
    rules
}
