//! The folder that stands where a Pod's credentials stand, and the token that only the sidecar has.

use serde_json::{Map, Value, json};

use super::annotations::{CiToken, Options};
use super::read::{CONTAINERS, containers, entries, is_set, text};
use super::{CREDENTIALS, list, paths};

/// The folder that clients read; the sidecar writes it.
pub(super) const SERVED: &str = "sallyport-service-account";
/// The Pod's token of our audience.
pub(super) const IDENTITY: &str = "sallyport-identity";
/// The CI provider's token, where it comes from a Secret.
pub(super) const CI: &str = "sallyport-ci";
/// The audience of that token. An API server refuses it.
pub(super) const AUDIENCE: &str = "sallyport";
/// What the API server calls the volume with a Pod's own token.
/// <https://github.com/kubernetes/kubernetes/blob/v1.36.3/plugin/pkg/admission/serviceaccount/admission.go>
const AUTOMATIC: &str = "kube-api-access-";

/// Whether the API server put this volume there by itself: its name, and nobody mounts it but where it is always mounted.
pub(super) fn is_automatic(volume: &Value, spec: &Value) -> bool {
    let name = text(volume, "name");
    name.starts_with(AUTOMATIC)
        && is_set(volume, "projected")
        && containers(spec)
            .flat_map(|container| entries(container, "volumeMounts"))
            .filter(|mount| text(mount, "name") == name)
            .all(|mount| paths::normal(text(mount, "mountPath")) == CREDENTIALS)
}

/// Takes the automatic token away from all, and adds our volumes.
pub(super) fn replace_credentials(spec: &mut Map<String, Value>, options: &Options) {
    let whole = Value::Object(std::mem::take(spec));
    let automatic: Vec<String> = entries(&whole, "volumes")
        .iter()
        .filter(|volume| is_automatic(volume, &whole))
        .map(|volume| text(volume, "name").to_owned())
        .collect();
    if let Value::Object(whole) = whole {
        *spec = whole;
    }
    for kind in CONTAINERS {
        for container in spec.get_mut(*kind).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                mounts.retain(|mount| !automatic.iter().any(|name| name == text(mount, "name")));
            }
        }
    }
    let Some(volumes) = list(spec, "volumes") else { return };
    volumes.retain(|volume| !automatic.iter().any(|name| name == text(volume, "name")));
    let wanted = wanted(options);
    if !matches!(options.ci, Some(CiToken::Secret { .. })) {
        volumes.retain(|volume| text(volume, "name") != CI);
    }
    for new in wanted {
        let mut same = volumes.iter().filter(|volume| text(volume, "name") == text(&new, "name"));
        if same.next() != Some(&new) || same.next().is_some() {
            volumes.retain(|volume| text(volume, "name") != text(&new, "name"));
            volumes.push(new);
        }
    }
}

/// With every value that the API server would fill in, so that what comes back is what was sent.
fn wanted(options: &Options) -> Vec<Value> {
    // In memory: a token is never written to a node's disk. Three small files.
    let mut wanted = vec![
        json!({"name": SERVED, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}),
        json!({"name": IDENTITY, "projected": {
            "defaultMode": 420,
            "sources": [{"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 3600, "path": "token"}}],
        }}),
    ];
    if let Some(CiToken::Secret { name, key }) = &options.ci {
        wanted.push(json!({"name": CI, "secret": {
            "secretName": name, "defaultMode": 420, "items": [{"key": key, "path": "token"}],
        }}));
    }
    wanted
}

/// The mount of another container: it reads, and never writes.
pub(super) fn served_mount() -> Value {
    json!({"name": SERVED, "mountPath": CREDENTIALS, "readOnly": true})
}

/// Puts our folder where clients look for their credentials.
pub(super) fn mount_credentials(container: &mut Map<String, Value>) {
    let Some(mounts) = list(container, "volumeMounts") else { return };
    let mount = served_mount();
    if mounts.iter().filter(|other| **other == mount).count() != 1 {
        mounts.retain(|other| *other != mount);
        mounts.push(mount);
    }
}
