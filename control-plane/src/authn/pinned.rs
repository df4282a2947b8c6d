//! The keys of one cluster's ServiceAccount issuer: those that an administrator pinned, in a file that is followed as it changes or with the
//! cluster's enrolment, and those that were adopted since, kept in the data folder.
//!
//! Invariant: a key comes in by the file or the enrolment, or by [`PinnedKeys::offer`] where the administrator lets it; an id never changes
//! its key; and nothing but the file takes a key out.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control_plane_core::identity::token::KeySet;
use serde_json::{Value, json};
use shared::limits;

use crate::config::{Cluster, Keys};

/// The keys of a cluster.
pub(crate) struct PinnedKeys {
    file: Option<PathBuf>,
    adopted_file: PathBuf,
    adopts: bool,
    state: RwLock<State>,
}

struct State {
    pinned: Vec<Value>,
    adopted: Vec<Value>,
    keys: Arc<KeySet>,
    modified: Option<SystemTime>,
    /// Ids that were said to be strange, so that each is said once.
    told: BTreeSet<String>,
}

/// What became of keys that a cluster publishes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// They count from now on.
    pub adopted: Vec<String>,
    /// They don't, and nobody has been told of them yet.
    pub strange: Vec<String>,
}

impl PinnedKeys {
    pub(super) fn read(cluster: &Cluster, data: &Path) -> Result<Self, String> {
        let (file, pinned, adopted_file) = match &cluster.keys {
            Keys::File(path) => (Some(path), read(path)?, format!("issuer-keys-{}.json", cluster.name)),
            Keys::Enrolled { number, set } => {
                let keys = parse(set.as_bytes()).filter(|keys| !keys.is_empty());
                let keys = keys.ok_or("there is no usable key among them (a JWKS is expected)")?;
                // By number: what was adopted for a cluster that was forgotten is not the next one's of that name.
                (None, keys, format!("enrolled-issuer-keys-{number}.json"))
            }
        };
        let adopted_file = data.join(adopted_file);
        let adopted = if cluster.adopt_keys && adopted_file.exists() { read(&adopted_file)? } else { Vec::new() };
        let keys = Arc::new(key_set(&pinned, &adopted));
        let modified = file.and_then(|path| modified(path));
        let state = State { pinned, adopted, keys, modified, told: BTreeSet::new() };
        Ok(Self { file: file.cloned(), adopted_file, adopts: cluster.adopt_keys, state: RwLock::new(state) })
    }

    /// Those that count.
    pub(crate) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).keys)
    }

    /// Reads the file again if it changed. One that can't be used changes nothing.
    pub(crate) fn reload(&self) {
        let Some(file) = &self.file else { return };
        let now = modified(file);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if now == state.modified {
            return;
        }
        state.modified = now;
        match read(file) {
            Ok(pinned) => {
                state.keys = Arc::new(key_set(&pinned, &state.adopted));
                state.pinned = pinned;
                let ids = ids(&state.pinned);
                tracing::info!(path = %file.display(), keys = ?ids, "pinned issuer keys in force");
            }
            Err(why) => tracing::error!(why, "pinned issuer keys refused; those that were in force stay"),
        }
    }

    /// Whether the two have a key in common, whatever they call it.
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        let all = |keys: &Self| {
            let state = keys.state.read().unwrap_or_else(PoisonError::into_inner);
            state.pinned.iter().chain(&state.adopted).cloned().collect::<Vec<_>>()
        };
        let others: Vec<_> = all(other).iter().map(material).collect();
        all(self).iter().any(|key| others.contains(&material(key)))
    }

    /// Takes keys that the cluster publishes, from an agent that was authenticated under those that count. They count once they are on
    /// disk.
    pub(crate) fn offer(&self, published: &[u8]) -> Result<Offered, String> {
        let published = parse(published).ok_or("the cluster publishes no key set")?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut offered = Offered::default();
        let mut adopted = state.adopted.clone();
        for key in &published {
            let Some(id) = id(key) else { continue };
            let known = state.pinned.iter().chain(&adopted).find(|known| known.get("kid") == key.get("kid"));
            match known {
                Some(known) if same_key(known, key) => {}
                // Whoever gives an old id to another key wants it to be taken for the old one.
                None if self.adopts && adopted.len() < limits::ADOPTED_KEYS => {
                    offered.adopted.push(id.clone());
                    adopted.push(key.clone());
                }
                Some(_) | None => {
                    if state.told.len() < limits::JWKS_KEYS && state.told.insert(id.clone()) {
                        offered.strange.push(id);
                    }
                }
            }
        }
        if !offered.adopted.is_empty() {
            write(&self.adopted_file, &adopted)
                .map_err(|error| format!("{} can't be written: {error}", self.adopted_file.display()))?;
            state.keys = Arc::new(key_set(&state.pinned, &adopted));
            state.adopted = adopted;
        }
        Ok(offered)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// The keys of a file, one at least.
fn read(path: &Path) -> Result<Vec<Value>, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| format!("{shown} can't be read: {error}"))?;
    let keys = parse(&text).filter(|keys| !keys.is_empty());
    keys.ok_or_else(|| format!("{shown} holds no usable key (a JWKS is expected)"))
}

/// The usable keys of a key set; `None` if it is none, or beyond all bounds.
fn parse(text: &[u8]) -> Option<Vec<Value>> {
    if text.len() > limits::JWKS_BYTES {
        return None;
    }
    KeySet::parse(text)?;
    let mut document: Value = serde_json::from_slice(text).ok()?;
    let keys = document.get_mut("keys")?.as_array_mut()?;
    let usable = keys.drain(..).filter(|key| !key_set(std::slice::from_ref(key), &[]).is_empty());
    Some(usable.take(limits::JWKS_KEYS).collect())
}

fn key_set(pinned: &[Value], adopted: &[Value]) -> KeySet {
    let keys: Vec<&Value> = pinned.iter().chain(adopted).collect();
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap_or_default()
}

fn id(key: &Value) -> Option<String> {
    let id = key.get("kid")?.as_str()?;
    Some(id.chars().take(80).collect()).filter(|id: &String| !id.is_empty())
}

fn ids(keys: &[Value]) -> Vec<String> {
    keys.iter().filter_map(id).collect()
}

/// Whether two spellings are of one public key.
fn same_key(one: &Value, other: &Value) -> bool {
    ["kty", "crv", "n", "e", "x", "y"].iter().all(|part| one.get(*part) == other.get(*part))
}

/// The numbers that a public key is made of, however they are spelled.
fn material(key: &Value) -> Vec<Vec<u8>> {
    let number = |part: &&str| {
        let bytes = key.get(*part).and_then(Value::as_str).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        bytes.unwrap_or_default().into_iter().skip_while(|byte| *byte == 0).collect()
    };
    ["n", "e", "x", "y"].iter().map(number).collect()
}

/// Whole or not at all, also if the power goes.
fn write(path: &Path, keys: &[Value]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(json!({ "keys": keys }).to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests;
