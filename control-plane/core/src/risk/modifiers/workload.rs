//! What a workload adds to its pods: it makes them again, on every node, from another image, in another number.

use serde_json::Value;

use super::super::{Found, shown};
use super::patch::JSON_PATCH;
use super::{SYSTEM_NAMESPACES, at, items, text_at};
use crate::mask::values::secret_names;
use crate::policy::question::Live;
use crate::request_info::{RequestInfo, Verb};

/// From this number of replicas on it costs.
const MANY: u64 = 50;

/// Of a container: what decides nothing of what runs in it, and its image, which is judged by itself.
const STILL_THE_SAME: [&str; 6] = ["image", "imagePullPolicy", "name", "ports", "resizePolicy", "resources"];
/// Of a pod's spec: where it runs and how long, and its containers, which are looked at one by one.
const SAME_POD: [&str; 12] = [
    "activeDeadlineSeconds",
    "affinity",
    "containers",
    "imagePullSecrets",
    "initContainers",
    "nodeName",
    "nodeSelector",
    "priorityClassName",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
];

/// Templates, images, scale.
pub(super) fn apply(found: &mut Found<'_, '_>, document: &Value) {
    let info = found.question.info;
    let main = info.subresource.is_empty();
    match (info.api_group.as_str(), info.resource.as_str()) {
        ("apps", "daemonsets") if main => {
            found.plus("modifier/every-node", 15, "runs its pods on every node".into());
            images(found, document);
        }
        ("apps", "deployments" | "replicasets" | "statefulsets") | ("batch", "jobs" | "cronjobs") if main => {
            found.plus("modifier/workload", 5, "makes its pods again and again".into());
            images(found, document);
        }
        ("", "replicationcontrollers" | "podtemplates") if main => {
            found.plus("modifier/workload", 5, "makes its pods again and again".into());
            images(found, document);
        }
        ("", "pods") if main => images(found, document),
        ("autoscaling", "horizontalpodautoscalers") if main => autoscaler(found, document),
        _ => {}
    }
    if main || info.subresource == "scale" {
        scale(found, document);
    }
    if main && crate::risk::table::resource(&info.api_group, &info.resource).is_some() {
        code(found, document);
    }
}

/// The path of the containers of this resource's pods.
fn spec<'v>(info: &RequestInfo, object: &'v Value) -> Option<&'v Value> {
    match info.resource.as_str() {
        "pods" => object.get("spec"),
        "podtemplates" => at(object, &["template", "spec"]),
        "cronjobs" => at(object, &["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => at(object, &["spec", "template", "spec"]),
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = (&str, &str)> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| items(spec, list))
        .map(|container| (text_at(container, &["name"]), text_at(container, &["image"])))
        .filter(|(_, image)| !image.is_empty())
}

/// Who decides what runs in a pod has what the pod has. A body that gives it something is judged by that (`pods`); what it has already the
/// body of a change needn't say, so the live object does. As long as that isn't read the pod may have anything.
fn code(found: &mut Found<'_, '_>, document: &Value) {
    let question = found.question;
    let changes = matches!(question.info.verb, Verb::Update | Verb::Patch);
    let Some(spec) = spec(question.info, document).filter(|_| changes) else { return };
    let live = match question.live {
        Live::Present(object) => self::spec(question.info, object),
        Live::NotRead => None,
        Live::Absent => return,
    };
    let operations = question.body.content_type() == JSON_PATCH;
    if !changes_what_runs(spec, live, lists_whole(found), operations) {
        return;
    }
    let fact = match live {
        None => "may change what runs in pods that take Secrets: what they take was not read".to_owned(),
        Some(live) => {
            let account = text_at(live, &["serviceAccountName"]);
            match secret_names(live).first() {
                Some(name) => format!("changes what runs in pods that take Secret \"{}\"", shown(name)),
                None if !account.is_empty() && account != "default" => {
                    format!("changes what runs with the rights of ServiceAccount \"{}\"", shown(account))
                }
                None if takes_more(live) => {
                    "changes what runs in pods that are given credentials in a volume".to_owned()
                }
                None => return,
            }
        }
    };
    found.at_least("modifier/code-with-secrets", 60, fact.into());
}

/// Whether a pod's volumes give it what no Secret is named for: a driver's, or a token that was asked for. (The one that every pod has, of its
/// ServiceAccount, is judged by that.)
fn takes_more(spec: &Value) -> bool {
    let asked = |volume: &Value| {
        let usual = text_at(volume, &["name"]).starts_with("kube-api-access-");
        let mut sources = volume.get("projected").into_iter().flat_map(|projected| items(projected, "sources"));
        !usual
            && sources
                .any(|source| source.get("serviceAccountToken").is_some() || source.get("podCertificate").is_some())
    };
    items(spec, "volumes").any(|volume| !text_at(volume, &["csi", "driver"]).is_empty() || asked(volume))
}

/// Whether the lists of the body are those that will be: of a patch that merges them, by name or place, what it doesn't name stays.
fn lists_whole(found: &Found<'_, '_>) -> bool {
    let question = found.question;
    question.info.verb == Verb::Update || question.body.content_type() == "application/merge-patch+json"
}

/// Whether the pods of `spec` do something else than those of `live`. `whole`: containers have nothing that isn't named. `operations`: of a JSON
/// Patch.
fn changes_what_runs(spec: &Value, live: Option<&Value>, whole: bool, operations: bool) -> bool {
    let changed = |new: &Value, old: Option<&Value>, same: &[&str], whole: bool| {
        let members =
            |value: &'_ Value| value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let mut keys = members(new);
        keys.extend(old.filter(|_| whole).into_iter().flat_map(members));
        keys.iter().any(|key| {
            // kubectl's patches say in what order a list is, also where nothing else of it changes.
            let what = key.strip_prefix("$setElementOrder/").unwrap_or(key);
            !same.contains(&what) && new.get(key) != old.and_then(|old| old.get(key))
        })
    };
    let containers = ["initContainers", "containers"].into_iter().any(|list| {
        items(spec, list).any(|container| {
            // A JSON Patch puts a container that has a name in the place of another one.
            let whole = whole || operations && container.get("name").is_some();
            if whole && live.is_none() {
                return true;
            }
            let name = text_at(container, &["name"]);
            let known = live.into_iter().flat_map(|live| items(live, list));
            let same = known.into_iter().find(|known| text_at(known, &["name"]) == name);
            changed(container, same, &STILL_THE_SAME, whole)
        })
    });
    containers || changed(spec, live, &SAME_POD, false)
}

/// An image of a running workload is its supply chain. Whether it changes can be told from the live object alone; without that
/// every image in the body counts as another one.
fn images(found: &mut Found<'_, '_>, document: &Value) {
    let question = found.question;
    let Some(spec) = spec(question.info, document) else { return };
    let creates = question.info.verb == Verb::Create || matches!(question.live, Live::Absent);
    let live = match question.live {
        Live::Present(object) => self::spec(question.info, object),
        Live::NotRead | Live::Absent => None,
    };
    for (name, image) in containers(spec) {
        let unchanged = live.is_some_and(|live| containers(live).any(|known| known == (name, image)));
        if unchanged {
            continue;
        }
        let pinned = Pinned::of(image);
        let image = shown(image);
        if creates {
            if pinned == Pinned::No && !found.has("modifier/image-unpinned") {
                found.plus("modifier/image-unpinned", 3, format!("image \"{image}\" has no fixed tag").into());
            }
            continue;
        }
        let risk = if pinned == Pinned::No { 60 } else { 45 };
        found.at_least("modifier/image-change", risk, format!("changes an image to \"{image}\"").into());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pinned {
    No,
    Tag,
    Digest,
}

impl Pinned {
    /// How surely a reference means one image: by digest, by a tag that somebody chose, or by whatever is newest.
    fn of(image: &str) -> Self {
        if image.contains("@sha256:") {
            return Self::Digest;
        }
        // A colon before the last slash belongs to a registry's port.
        let last = image.rsplit('/').next().unwrap_or_default();
        match last.split_once(':') {
            None | Some((_, "latest" | "")) => Self::No,
            Some(_) => Self::Tag,
        }
    }
}

/// To nothing is an outage, to very many is a bill.
fn scale(found: &mut Found<'_, '_>, document: &Value) {
    let question = found.question;
    let info = question.info;
    let scalable = matches!(
        (info.api_group.as_str(), info.resource.as_str()),
        ("apps", "deployments" | "replicasets" | "statefulsets") | ("", "replicationcontrollers")
    ) || info.subresource == "scale";
    let Some(wanted) = at(document, &["spec", "replicas"]).filter(|_| scalable) else { return };
    let live = match question.live {
        Live::Present(object) => at(object, &["spec", "replicas"]),
        Live::NotRead | Live::Absent => None,
    };
    if live == Some(wanted) {
        return;
    }
    let wanted = wanted.as_u64().unwrap_or(0);
    if wanted == 0 && info.verb != Verb::Create {
        let system = SYSTEM_NAMESPACES.contains(&info.namespace.as_str());
        found.at_least(
            "modifier/scale-zero",
            if system { 80 } else { 50 },
            "scales to zero: nothing of it runs".into(),
        );
    } else if wanted >= MANY {
        found.at_least("modifier/scale-large", 40, format!("scales to {wanted}").into());
    }
}

fn autoscaler(found: &mut Found<'_, '_>, document: &Value) {
    let most = at(document, &["spec", "maxReplicas"]).and_then(Value::as_u64).unwrap_or(0);
    if most >= MANY {
        found.at_least("modifier/scale-large", 40, format!("may scale to {most}").into());
    }
}
