//! What is in the cluster otherwise than it was installed, to the letter.
//!
//! `kubectl apply` leaves alone what it did not write: an `ingress` that somebody added to a policy without one stays, and a dry run of it
//! says that nothing changes. So what protects the cluster is compared with what a *replacement* of it would leave behind, which the API
//! server tells by a dry run too.

use serde_json::Value;

use super::kubectl::Kubectl;
use super::upgrade::{comparable, name, same};
use super::{Installation, yaml};

/// Kinds that are compared so: who may do what, what the API server asks, what the network lets through.
pub const GUARDED: [&str; 11] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "CiliumNetworkPolicy",
    "CiliumClusterwideNetworkPolicy",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];
/// Places of one object that are named.
const PLACES: usize = 3;

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its kind.
    pub kind: String,
    /// What of it, as a sentence.
    pub sentence: String,
}

/// The objects of [`GUARDED`] kinds that are not exactly as they were rendered.
///
/// # Errors
/// What kubectl said.
pub fn differences(kubectl: &Kubectl, installation: &Installation) -> anyhow::Result<Vec<Difference>> {
    let guarded =
        |object: &&Value| object.get("kind").and_then(Value::as_str).is_some_and(|kind| GUARDED.contains(&kind));
    let wanted: Vec<_> = installation.objects().iter().filter(guarded).cloned().collect();
    let (there, complaint) =
        kubectl.documents(&["get", "--ignore-not-found", "-f", "-", "-o", "json"], &yaml::file(&wanted))?;
    if let Some(complaint) = complaint {
        anyhow::bail!("{complaint}");
    }
    let (present, gone): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|one| there.iter().any(|other| same(one, other)));
    let replace = ["replace", "--dry-run=server", "-f", "-", "-o", "json"];
    let (would_be, _) = kubectl.documents(&replace, &yaml::file(&present))?;
    let mut found: Vec<_> = gone.iter().map(|object| difference(object, "is missing")).collect();
    for live in &there {
        let Some(would_be) = would_be.iter().find(|other| same(live, other)) else {
            found.push(difference(live, "can't be what was installed: the API server would not change it into that"));
            continue;
        };
        let (live, would_be) = (comparable(live), comparable(would_be));
        let mut places = Vec::new();
        for (key, value) in live.as_object().into_iter().flatten().filter(|(key, _)| *key != "metadata") {
            compare(value, would_be.get(key).unwrap_or(&Value::Null), key, &mut places);
        }
        let missing = would_be.as_object().into_iter().flatten().filter(|(key, _)| live.get(*key).is_none());
        places.extend(missing.map(|(key, _)| key.clone()));
        if !places.is_empty() {
            let more = places.len().saturating_sub(PLACES);
            places.truncate(PLACES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            found.push(difference(&live, &format!("is not as it was installed: {}{more}", places.join(", "))));
        }
    }
    Ok(found)
}

fn difference(object: &Value, what: &str) -> Difference {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    Difference { kind, sentence: format!("{} {what}", name(object)) }
}

/// Names the smallest places at which the two are not the same.
fn compare(live: &Value, wanted: &Value, at: &str, places: &mut Vec<String>) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (key, value) in live {
                compare(value, wanted.get(key).unwrap_or(&Value::Null), &format!("{at}.{key}"), places);
            }
            let missing = wanted.keys().filter(|key| !live.contains_key(*key));
            places.extend(missing.map(|key| format!("{at}.{key}")));
        }
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            for (index, (live, wanted)) in live.iter().zip(wanted).enumerate() {
                compare(live, wanted, &format!("{at}[{index}]"), places);
            }
        }
        (live, wanted) if live != wanted => places.push(at.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_smallest_place_is_named() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1}), &[][..]),
            (json!({"a": {"b": [1, 2]}}), json!({"a": {"b": [1, 3]}}), &["spec.a.b[1]"]),
            (json!({"a": {"b": [1]}}), json!({"a": {"b": [1, 3]}}), &["spec.a.b"]),
            (json!({"ingress": [{}]}), json!({}), &["spec.ingress"]),
            (json!({}), json!({"a": 1, "b": {}}), &["spec.a", "spec.b"]),
            (json!([]), json!({}), &["spec"]),
        ];
        for (live, wanted, expected) in cases {
            let mut places = Vec::new();
            compare(&live, &wanted, "spec", &mut places);
            assert_eq!(places, expected, "{live} {wanted}");
        }
    }
}
