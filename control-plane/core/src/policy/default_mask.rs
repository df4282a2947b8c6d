//! What a policy masks that says `defaultMask: true`, beside its own list: literals in the environment of containers and keys of
//! ConfigMaps, by the names that people give to what nobody should read.
//!
//! Not without a word of policy: answers with such fields are held until they are whole, long lists have to be asked for in pages, and
//! who applies a file with the real value is told "configured" each time.

use super::file_mask::MaskRule;

/// Names of variables and keys, in either case.
const NAMES: [&str; 11] = [
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*secret*",
    "*token*",
    "*credential*",
    "*api*key*",
    "*access*key*",
    "*private*key*",
    "*connection*string*",
    "*database*url*",
];

/// Group and resource of what runs containers or will, and where in it the Pod's `spec` stands.
const PODS: [(&str, &str, &str); 11] = [
    ("", "pods", "spec"),
    ("", "podtemplates", "template.spec"),
    ("", "replicationcontrollers", "spec.template.spec"),
    ("apps", "controllerrevisions", "data.spec.template.spec"),
    // A revision has the annotations of its StatefulSet or DaemonSet, and so what was last applied of that.
    ("apps", "controllerrevisions", "spec.template.spec"),
    ("apps", "daemonsets", "spec.template.spec"),
    ("apps", "deployments", "spec.template.spec"),
    ("apps", "replicasets", "spec.template.spec"),
    ("apps", "statefulsets", "spec.template.spec"),
    ("batch", "cronjobs", "spec.jobTemplate.spec.template.spec"),
    ("batch", "jobs", "spec.template.spec"),
];

pub(super) fn rules() -> Vec<MaskRule> {
    let rule = |group: &str, resource: &str, field: &dyn Fn(&str) -> String| MaskRule {
        groups: vec![group.to_owned()],
        resources: vec![resource.to_owned()],
        fields: NAMES.iter().map(|name| field(name)).collect(),
    };
    // `*containers`: those that initialise a Pod and those that debug it too.
    let pods = PODS.map(|(group, resource, spec)| {
        rule(group, resource, &|name| format!("{spec}.*containers[*].env[name={name}].value"))
    });
    pods.into_iter().chain([rule("", "configmaps", &|name| format!("data.{name}"))]).collect()
}
