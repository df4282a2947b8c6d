//! What may not be done to a Pod later on.

use control_plane_core::risk::shown;
use serde_json::Value;

use super::read::{entries, strings, text};
use super::{INJECT, INJECTED, Objections, PREFIX, Reason, SIDECAR, Scope, claims_injection};

/// An update: the label, our annotations and the sidecar's image stay as they were. (Nothing else of a Pod that matters here can be
/// changed. The configuration is not asked: a Pod of an earlier version must remain changeable by its controllers.)
///
/// # Errors
/// What may not be changed.
pub fn update(old: &Value, new: &Value) -> Result<(), Objections> {
    let mut objections = Objections::default();
    let injected = claims_injection(old);
    for (kind, key) in [("label", "labels"), ("annotation", "annotations")] {
        let changed = |a: &Value, b: &Value| -> Vec<String> {
            let ours = strings(a, key).filter(|(name, _)| name.starts_with(PREFIX));
            ours.filter(|ours| !strings(b, key).any(|theirs| theirs == *ours))
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        let mut names = changed(new, old);
        names.extend(changed(old, new));
        names.sort();
        names.dedup();
        for name in names {
            let added = strings(new, key).any(|(theirs, _)| theirs == name);
            if injected {
                objections.changed(format!(
                    "{kind} {} can't be changed or removed, for the Pod was started with it: delete the Pod and create it anew",
                    shown(&name)
                ));
            } else if name == INJECTED {
                objections.bypass(format!("label {INJECTED} is set by Sallyport alone, when a Pod is created"));
            } else if name == INJECT && kind == "annotation" && added {
                objections.mistake(format!(
                    "annotation {INJECT} comes too late: the sidecar gets into a Pod when it is created; put the annotation into its template"
                ));
            }
        }
    }
    let images = |pod: &Value| -> Vec<String> {
        let spec = pod.get("spec").unwrap_or(&Value::Null);
        let ours = entries(spec, "initContainers").iter().filter(|container| text(container, "name") == SIDECAR);
        ours.map(|container| text(container, "image").to_owned()).collect()
    };
    if injected && images(old) != images(new) {
        objections.changed(format!(
            "the image of container \"{SIDECAR}\" can't be changed: delete the Pod and create it anew"
        ));
    }
    objections.so_far()
}

/// Ephemeral containers: they can look into any container of their Pod, the sidecar too, and mount its token.
///
/// # Errors
/// The Pod is one of ours.
pub fn ephemeral(old: &Value, new: &Value, scope: Scope) -> Result<(), Objections> {
    let annotated = strings(old, "annotations").any(|(name, value)| name == INJECT && value == "true");
    let ours = scope == Scope::Required || annotated || claims_injection(old);
    if !ours || old.pointer("/spec/ephemeralContainers") == new.pointer("/spec/ephemeralContainers") {
        return Ok(());
    }
    Err(Objections::one(
        Reason::Bypass,
        "an ephemeral container could read the sidecar's token: look into a Pod of its own, in a namespace without Sallyport",
    ))
}

/// A binding can carry labels and annotations into a Pod.
///
/// # Errors
/// It carries ours.
pub fn binding(binding: &Value) -> Result<(), Objections> {
    let found =
        strings(binding, "labels").chain(strings(binding, "annotations")).find(|(name, _)| name.starts_with(PREFIX));
    found.map_or(Ok(()), |(name, _)| {
        Err(Objections::one(
            Reason::Bypass,
            format!("a binding carries {}, which is set when a Pod is created", shown(name)),
        ))
    })
}
