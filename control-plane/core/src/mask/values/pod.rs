//! Whose values are looked for: those of the Secrets that the pod itself uses, by their names in its spec.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shared::limits;
use zeroize::Zeroizing;

use super::forms::Lines;
use super::{SecretValues, ValuesError};
use crate::body::{BodyError, Budget, json};
use crate::mask::key::Key;
use crate::request::{Request, WireError, WireRequest, path_and_query};
use crate::request_info::{RequestInfo, Verb};
use crate::restore::ReadObject;

/// What a Secret for image registries has in each of its entries (`kubectl create secret docker-registry`).
const REGISTRY: [&str; 4] = ["password", "auth", "identitytoken", "registrytoken"];

/// The pod whose text a request reads, as the GET of it; `None`: it reads no text of a pod.
pub fn pod_of(info: &RequestInfo) -> Option<RequestInfo> {
    let log = info.is_resource_request
        && info.api_group.is_empty()
        && info.resource == "pods"
        && info.subresource == "log"
        && info.verb == Verb::Get;
    if log { info.live_object() } else { None }
}

/// How much of a log is asked for (k8s.io/api core/v1 `PodLogOptions.limitBytes`).
const LIMIT: &str = "limitBytes";
/// From where on.
const FROM: [&str; 3] = ["tailLines", "sinceTime", "sinceSeconds"];

/// The part of a pod's text that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextPart {
    /// No more bytes than that. Cut where it comes from, a value that stands at the cut would be none that anybody looks for, and all of it but
    /// a byte be shown: so the text is asked for without this ([`without_limit`]), and cut when it is masked.
    pub limit: Option<u64>,
    /// Whether it may begin within a line, and a value.
    pub begins_within: bool,
}

/// It is no positive number, which the API server would refuse as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limitBytes is no positive number")]
pub struct LimitError;

impl TextPart {
    /// What a request asks for: all, where it asks for no such text.
    ///
    /// # Errors
    /// [`LimitError`].
    pub fn of(request: &Request) -> Result<Self, LimitError> {
        if pod_of(request.info()).is_none() {
            return Ok(Self::default());
        }
        let limit = request.query().get(LIMIT);
        let limit = limit.map(|limit| limit.parse().ok().filter(|bytes| *bytes > 0).ok_or(LimitError));
        let begins_within = FROM.iter().any(|name| request.query().get(name).is_some());
        Ok(Self { limit: limit.transpose()?, begins_within })
    }
}

/// The request for the whole text.
///
/// # Errors
/// It can't be read.
pub fn without_limit(request: WireRequest) -> Result<WireRequest, WireError> {
    let (info, query) = request.read()?;
    Ok(WireRequest { path_and_query: path_and_query(&info, &query.without(&[LIMIT])), ..request })
}

/// A pod, and the Secrets that it mounts or takes its environment from, as GETs. Whatever its spec calls a Secret counts, so that a kind of volume
/// that is not known here is none too few. But not those that images are pulled with: the node has them, and no process of the pod could print
/// one. Looked for, they would be told to whoever may make a pod, which needs nobody's approval while it uses no Secret: he has it print all
/// guesses, and the one that is masked is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSecrets {
    /// Which pod it is: another one may have its name later.
    uid: String,
    /// In the order of their names.
    pub secrets: Vec<RequestInfo>,
}

impl PodSecrets {
    /// Of the pod that this GET has read.
    pub fn of(pod: &RequestInfo, object: &ReadObject) -> Self {
        let real = object.real();
        let uid = real.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        let secret = |name: &str| RequestInfo { resource: "secrets".to_owned(), name: name.to_owned(), ..pod.clone() };
        let names = secret_names(real.get("spec").unwrap_or(&Value::Null));
        Self { uid, secrets: names.into_iter().map(secret).collect() }
    }
}

/// The names of those in a pod's spec.
pub(crate) fn secret_names(spec: &Value) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    note(spec, &mut names);
    names
}

/// serde_json reads no deeper than 128, so the recursion is bounded.
fn note<'a>(value: &'a Value, names: &mut BTreeSet<&'a str>) {
    let named = |value: &'a Value| value.get("name").and_then(Value::as_str);
    match value {
        Value::Array(items) => items.iter().for_each(|item| note(item, names)),
        Value::Object(members) => {
            for (key, member) in members.iter().filter(|(key, _)| *key != "imagePullSecrets") {
                // As in what is shown of the pod itself.
                let key = Key::of(key.as_bytes());
                if key == Key::SecretName {
                    names.extend(member.as_str());
                } else if key == Key::Secret {
                    names.extend(named(member));
                }
                note(member, names);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The values of some Secrets, as far as they can be looked for, and nothing else of them: whole objects can be very large.
#[derive(Default)]
pub struct FoundValues {
    values: Vec<Zeroizing<Vec<u8>>>,
    bytes: usize,
}

impl FoundValues {
    /// Takes the values of one more.
    ///
    /// # Errors
    /// [`ValuesError`]: the text must not be passed on then.
    pub fn add(&mut self, secret: &ReadObject) -> Result<(), ValuesError> {
        let data = secret.real().get("data").and_then(Value::as_object).into_iter().flatten();
        for (key, text) in data.filter_map(|(key, value)| Some((key, value.as_str()?))) {
            // The API server lets nothing else through; what is no base64 is taken as it is.
            let value = Zeroizing::new(STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()));
            if key == ".dockerconfigjson" || key == ".dockercfg" {
                registries(&value, self)?;
            }
            self.value(value)?;
        }
        Ok(())
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn value(&mut self, value: Zeroizing<Vec<u8>>) -> Result<(), ValuesError> {
        if value.len() < limits::VALUE_BYTES_MIN {
            return Ok(());
        }
        // Each is looked for as it is, and in other forms.
        let limit = limits::VALUE_PATTERN_BYTES;
        self.bytes += value.len();
        if self.bytes > limit {
            return Err(ValuesError::TooMuch { limit });
        }
        self.values.push(value);
        Ok(())
    }

    /// The same for the same values: those who look for them can share what looks. It is for this process only.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = digest::Context::new(&digest::SHA256);
        for value in &self.values {
            // As long as it is long, so that no two lists of values are written alike.
            digest.update(&(value.len() as u64).to_be_bytes());
            digest.update(value);
        }
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(digest.finish().as_ref()).for_each(|(to, byte)| *to = *byte);
        bytes
    }
}

impl SecretValues {
    /// Looks for these values in a log.
    ///
    /// # Errors
    /// [`ValuesError`]: the text must not be passed on then.
    pub fn of(found: &FoundValues) -> Result<Self, ValuesError> {
        Self::with_lines(found.values.iter().map(|value| value.as_slice()), Lines::All)
    }
}

/// The passwords in a file for image registries: the file is printed by nobody, they might be.
///
/// # Errors
/// It stands for more than anybody would read: what passwords are in it nobody knows.
fn registries(file: &[u8], found: &mut FoundValues) -> Result<(), ValuesError> {
    let file = match json::read_answer(file, &mut Budget::of_annotation()) {
        Ok(file) => file.value,
        Err(BodyError::Memory { limit }) => return Err(ValuesError::TooMuch { limit }),
        // Kubernetes takes it for none either.
        Err(_) => return Ok(()),
    };
    let entries = file.get("auths").unwrap_or(&file).as_object().into_iter().flatten();
    for (_, entry) in entries {
        let texts = REGISTRY.iter().filter_map(|name| entry.get(*name)?.as_str());
        for text in texts {
            found.value(Zeroizing::new(text.as_bytes().to_vec()))?;
        }
    }
    Ok(())
}
