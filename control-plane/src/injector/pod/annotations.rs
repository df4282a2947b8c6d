//! What a Pod's author asks for. An annotation that is unknown or broken is refused: taken for none, it would leave the Pod unprotected.

use control_plane_core::risk::shown;
use serde_json::Value;

use super::read::{containers, entries, is_set, strings, text};
use super::{INJECT, INJECTED, Objections, PREFIX, Scope, paths, quantity};
use crate::injector::config::{Config, Resources};

const PORT: &str = "sallyport.dev/port";
const CLUSTER: &str = "sallyport.dev/cluster";
const CI_TOKEN_FILE: &str = "sallyport.dev/ci-token-file";
const CI_TOKEN_SECRET: &str = "sallyport.dev/ci-token-secret";
const START_WITHOUT: &str = "sallyport.dev/start-without-control-plane";
const CPU_REQUEST: &str = "sallyport.dev/sidecar-cpu-request";
const CPU_LIMIT: &str = "sallyport.dev/sidecar-cpu-limit";
const MEMORY_REQUEST: &str = "sallyport.dev/sidecar-memory-request";
const MEMORY_LIMIT: &str = "sallyport.dev/sidecar-memory-limit";

/// All that there are.
const KNOWN: [&str; 10] = [
    INJECT,
    PORT,
    CLUSTER,
    CI_TOKEN_FILE,
    CI_TOKEN_SECRET,
    START_WITHOUT,
    CPU_REQUEST,
    CPU_LIMIT,
    MEMORY_REQUEST,
    MEMORY_LIMIT,
];

/// Ports on which the javascript client speaks plain HTTP.
const PLAIN: [u16; 2] = [8001, 8080];

/// What is to become of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is none of ours.
    Leave,
    /// It gets the sidecar.
    Inject(Options),
}

/// How.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Where the sidecar listens.
    pub(super) port: u16,
    /// Where the CI provider's token is.
    pub(super) ci: Option<CiToken>,
    /// Whether the other containers wait for the control plane.
    pub(super) wait: bool,
    /// What the sidecar may use.
    pub(super) resources: Resources,
}

/// Where the CI provider's token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CiToken {
    /// In a volume of the Pod's own.
    File {
        /// Its name.
        volume: String,
        /// The part of it that is mounted.
        sub_path: Option<String>,
        /// The file below that.
        inside: String,
    },
    /// In a Secret, which is mounted in the sidecar alone.
    Secret {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
}

/// `None` if something is wrong with what is asked for.
pub(super) fn read(pod: &Value, config: &Config, scope: Scope, objections: &mut Objections) -> Option<Wish> {
    names(pod, objections);
    let get = |name: &str| strings(pod, "annotations").find(|(key, _)| *key == name).map(|(_, value)| value);
    let wanted = match get(INJECT) {
        Some("true") => true,
        Some("false") if scope == Scope::Annotated => false,
        Some("false") => {
            objections.bypass(format!(
                "annotation {INJECT} is \"false\", and this namespace is labelled {INJECT}: required: nothing in it runs without the sidecar"
            ));
            true
        }
        None => scope == Scope::Required,
        Some(other) => {
            objections.mistake(format!("annotation {INJECT} is \"{}\"; write \"true\", in quotes", shown(other)));
            true
        }
    };
    if !wanted {
        if strings(pod, "labels").any(|(name, _)| name == INJECTED) {
            objections.bypass(format!(
                "label {INJECTED} is set by Sallyport alone, on Pods that it gave a sidecar: remove it, and annotate the Pod with {INJECT}: \"true\""
            ));
        }
        let other = strings(pod, "annotations").find(|(name, _)| *name != INJECT && KNOWN.contains(name));
        if let (None, Some((name, _))) = (get(INJECT), other) {
            objections.mistake(format!("annotation {name} does nothing without {INJECT}: \"true\""));
        }
        return Some(Wish::Leave);
    }
    if let Some(cluster) = get(CLUSTER)
        && cluster != config.cluster
    {
        objections.mistake(format!(
            "annotation {CLUSTER} is \"{}\", and this is the cluster \"{}\": a Pod's session is good for its own cluster alone",
            shown(cluster),
            config.cluster
        ));
    }
    let mut take = |name: &str, result: Result<(), String>| {
        if let Err(expected) = result {
            let found = shown(get(name).unwrap_or_default());
            objections.mistake(format!("annotation {name} is \"{found}\"; {expected}"));
        }
    };
    let mut options = Options { port: config.port, ci: None, wait: false, resources: config.resources.clone() };
    take(PORT, get(PORT).map_or(Ok(()), |text| port(text).map(|port| options.port = port)));
    let wait = get(START_WITHOUT).map_or(Ok(false), without);
    take(START_WITHOUT, wait.map(|wait| options.wait = wait));
    take(CPU_REQUEST, amount(get(CPU_REQUEST), quantity::cpu, "50m", &mut options.resources.cpu_request));
    take(CPU_LIMIT, amount(get(CPU_LIMIT), quantity::cpu, "200m", &mut options.resources.cpu_limit));
    take(MEMORY_REQUEST, amount(get(MEMORY_REQUEST), quantity::memory, "16Mi", &mut options.resources.memory_request));
    take(MEMORY_LIMIT, amount(get(MEMORY_LIMIT), quantity::memory, "64Mi", &mut options.resources.memory_limit));
    let secret = get(CI_TOKEN_SECRET).map(secret).transpose();
    take(CI_TOKEN_SECRET, secret.map(|ci| options.ci = ci));
    if let Some(path) = get(CI_TOKEN_FILE) {
        let both =
            if options.ci.is_some() { Err(format!("{CI_TOKEN_SECRET} is there too; choose one")) } else { Ok(()) };
        take(CI_TOKEN_FILE, both.and_then(|()| file(path, pod)).map(|ci| options.ci = Some(ci)));
    }
    if let Err(wrong) = options.resources.check() {
        objections.mistake(format!("the sidecar's {wrong}, with annotations and Sallyport's own values together"));
    }
    Some(Wish::Inject(options))
}

/// Every name of ours must be one that there is, and an annotation must not be written as a label.
fn names(pod: &Value, objections: &mut Objections) {
    for (name, _) in strings(pod, "annotations") {
        if KNOWN.contains(&name) {
            continue;
        }
        if is_meant_for_us(name) {
            let meant = closest(name)
                .map_or_else(|| format!("there are {}", KNOWN.join(", ")), |meant| format!("did you mean {meant}?"));
            objections.mistake(format!("there is no annotation \"{}\"; {meant}", shown(name)));
        }
    }
    for (name, value) in strings(pod, "labels") {
        if name == INJECTED {
            if value != "true" {
                objections.bypass(format!("label {INJECTED} is set by Sallyport alone: remove it"));
            }
        } else if KNOWN.contains(&name) {
            objections.mistake(format!("{name} is a label here; it is an annotation"));
        } else if name.starts_with(PREFIX) {
            objections.mistake(format!(
                "there is no label \"{}\"; what Sallyport reads of a Pod are annotations",
                shown(name)
            ));
        }
    }
}

/// Whether its domain is ours, below ours, or ours with another ending. The webhooks are called for these (`manifests/injector/webhooks.yaml`).
fn is_meant_for_us(name: &str) -> bool {
    let domain = name.split_once('/').map_or("", |(domain, _)| domain).to_ascii_lowercase();
    let mut labels = domain.rsplit('.');
    labels.next() == Some("sallyport") || labels.next() == Some("sallyport")
}

/// The name that was probably meant: it is part of one, or at most half of its letters differ.
fn closest(name: &str) -> Option<&'static str> {
    if name.len() > 100 {
        return None;
    }
    let word = |name: &str| name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let name = word(name);
    if name.len() >= 4
        && let Some(longer) = KNOWN.into_iter().find(|known| word(known).contains(&name))
    {
        return Some(longer);
    }
    let nearest = KNOWN.into_iter().map(|known| (distance(&name, &word(known)), known)).min()?;
    (nearest.0 * 2 <= name.len()).then_some(nearest.1)
}

/// Letters to add, take away or change.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.chars().zip(row.iter().skip(1)) {
            let best = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = *above;
            left = best;
            next.push(best);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// A port that a process without rights can have, and that no client takes for plain HTTP.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port >= 1024 && !PLAIN.contains(port)).ok_or_else(|| {
        "write a port from 1024 to 65535, not 8001 or 8080 (clients take those for plain HTTP)".to_owned()
    })
}

/// Whether to wait: the opposite of what is asked.
fn without(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(false),
        "false" => Ok(true),
        _ => Err("write \"true\" (the job starts, and gets a clear 503) or \"false\" (it waits)".to_owned()),
    }
}

fn amount(
    text: Option<&str>,
    read: impl Fn(&str) -> Option<u64>,
    example: &str,
    place: &mut Option<String>,
) -> Result<(), String> {
    let Some(text) = text else { return Ok(()) };
    read(text).ok_or_else(|| format!("write for example {example}"))?;
    *place = Some(text.to_owned());
    Ok(())
}

/// RFC 1123 subdomain, and a key of a Secret.
fn secret(text: &str) -> Result<CiToken, String> {
    let legal = |text: &str, more: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
        !text.is_empty() && text.len() <= 253 && text.chars().all(fits)
    };
    match text.split_once('/') {
        Some((name, key)) if legal(name, "-.") && legal(&key.to_ascii_lowercase(), "-._") && !key.starts_with("..") => {
            Ok(CiToken::Secret { name: name.to_owned(), key: key.to_owned() })
        }
        _ => Err("write the name of a Secret of this namespace and a key in it: name/key".to_owned()),
    }
}

/// The volume in which a file of the job's is: of the mounts that are over it, the nearest.
fn file(path: &str, pod: &Value) -> Result<CiToken, String> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("write the absolute path of a file".to_owned());
    }
    let path = paths::normal(path);
    if paths::hides_credentials(&path) {
        return Err("that is where Sallyport's own files are; a CI provider's token is somewhere else".to_owned());
    }
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let over = containers(spec)
        .filter(|container| text(container, "name") != super::SIDECAR)
        .flat_map(|container| entries(container, "volumeMounts"))
        .filter_map(|mount| {
            let folder = paths::normal(text(mount, "mountPath"));
            paths::below(&path, &folder).map(|inside| (folder.len(), inside.to_owned(), mount))
        })
        .max_by_key(|(length, ..)| *length);
    let Some((_, inside, mount)) = over else {
        return Err(
            "no container mounts a volume over that path, and the sidecar reads nothing else of theirs".to_owned()
        );
    };
    if inside.is_empty() {
        return Err("a volume is mounted on the file itself; mount its folder".to_owned());
    }
    if is_set(mount, "subPathExpr") {
        return Err("the volume over it has a subPathExpr; use subPath".to_owned());
    }
    let sub_path = Some(text(mount, "subPath")).filter(|path| !path.is_empty()).map(str::to_owned);
    Ok(CiToken::File { volume: text(mount, "name").to_owned(), sub_path, inside })
}

#[cfg(test)]
mod tests {
    use super::KNOWN;

    #[test]
    fn the_readme_names_all_that_there_are() {
        let rows = include_str!("../../../../README.md").lines().filter(|line| line.starts_with("| `sallyport.dev/"));
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        let mut named: Vec<_> =
            cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim().trim_matches('`')).collect();
        let mut known = KNOWN.to_vec();
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known);
    }
}
