//! What becomes of a Pod: a pure function from a Pod and the configuration to the Pod that is meant to run, or to what is wrong with it.
//!
//! [`inject`] gives the finished Pod, and given a finished Pod it gives the same again. So the patch of the mutating webhook is the
//! difference between the two, and the check of the validating webhook is that there is none. Other webhooks may come in between: what
//! they may change is what `inject` leaves as it finds it.

pub(super) mod annotations;
mod bypass;
mod changes;
mod environment;
mod objection;
pub mod patch;
mod paths;
pub(super) mod quantity;
mod read;
mod sidecar;
mod volumes;

use serde_json::{Map, Value, json};

use super::config::Config;
use annotations::Wish;
pub use changes::{binding, ephemeral, update};
pub use objection::{Objections, Reason};
use read::{CONTAINERS, text};

/// Annotation of a Pod that wants the sidecar; the label of a namespace whose Pods must have it has the same name.
pub const INJECT: &str = "sallyport.dev/inject";
/// Label of a Pod that has it. Network policies trust it.
pub const INJECTED: &str = "sallyport.dev/injected";
/// What all our labels and annotations begin with.
pub const PREFIX: &str = "sallyport.dev/";
/// Where clients look for a Pod's credentials.
/// <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>
pub const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The sidecar's container.
pub const SIDECAR: &str = "sallyport";

/// Which Pods a webhook is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that speak of us in an annotation or a label.
    Annotated,
    /// All Pods of a namespace that says so.
    Required,
}

/// The Pod that is meant to run; `None`: it is none of ours, and stays as it is.
///
/// # Errors
/// All that is wrong with it.
pub fn inject(pod: &Value, config: &Config, scope: Scope) -> Result<Option<Value>, Objections> {
    let mut objections = Objections::default();
    read::shape(pod, &mut objections);
    objections.so_far()?;
    let wish = annotations::read(pod, config, scope, &mut objections);
    if matches!(wish, Some(Wish::Leave)) && objections.is_empty() {
        return Ok(None);
    }
    let port = if let Some(Wish::Inject(options)) = &wish { options.port } else { config.port };
    bypass::check(pod, config, port, &mut objections);
    objections.so_far()?;
    let Some(Wish::Inject(options)) = wish else { return Ok(None) };

    let mut pod = pod.clone();
    let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(labels) = metadata.and_then(|metadata| object(metadata, "labels")) {
        labels.insert(INJECTED.to_owned(), json!("true"));
    }
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("automountServiceAccountToken".to_owned(), json!(false));
        volumes::replace_credentials(spec, &options);
        for kind in CONTAINERS {
            for container in spec.get_mut(*kind).and_then(Value::as_array_mut).into_iter().flatten() {
                if text(container, "name") != SIDECAR
                    && let Some(container) = container.as_object_mut()
                {
                    environment::point_home(container, options.port);
                    volumes::mount_credentials(container);
                }
            }
        }
        sidecar::put_first(spec, config, &options);
    }
    Ok(Some(pod))
}

/// Whether a Pod says of itself that it was injected.
pub fn claims_injection(pod: &Value) -> bool {
    pod.pointer("/metadata/labels").and_then(Value::as_object).is_some_and(|labels| labels.contains_key(INJECTED))
}

/// A member that is an object, made if it is not there.
fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let member = parent.entry(key).or_insert(Value::Null);
    if !member.is_object() {
        *member = json!({});
    }
    member.as_object_mut()
}

/// A member that is a list, made if it is not there.
fn list<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Vec<Value>> {
    let member = parent.entry(key).or_insert(Value::Null);
    if !member.is_array() {
        *member = json!([]);
    }
    member.as_array_mut()
}

#[cfg(test)]
pub(super) mod tests;
