//! The text of a pod (its log): before it is asked for, the agent reads the pod and the Secrets that it uses, and their values are replaced as
//! the text flows by (core's `mask::values`).
//!
//! The grant names the pod, and the pod names the Secrets. Only those are looked for: the pod has them already, so what is replaced tells it
//! nothing. What can't be read, or is too much to look for, means no text. A Secret that is gone is gone; what a pod took from it before is not
//! known to anybody here. A text is of whatever pod has the name when the API server looks, so the pod is read once more when it answers: one
//! that has taken another's place may have other Secrets.
//!
//! What looks for them is made beside the thread that serves everybody, and may be large: all of it together has a bound ([`Searchers`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use control_plane_core::grant::Target;
use control_plane_core::mask::values::{self, FoundValues, PodSecrets, SecretValues, ValuesError};
use control_plane_core::request_info::RequestInfo;
use shared::limits;
use tokio::sync::Semaphore;

use crate::apart::Apart;
use crate::obligations::Granted;
use crate::operation::Agent;
use crate::prepare::read;
use crate::refusal::Refusal;
use crate::unread::Unread;

/// Why a pod's text is not shown. `Display` is the sentence for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The pod, or a Secret that it uses.
    #[error("they could not be read")]
    Unread,
    /// More than [`limits::VALUE_SECRETS`].
    #[error("it uses more than {} of them", limits::VALUE_SECRETS)]
    TooMany,
    /// More than can be looked for.
    #[error(transparent)]
    Values(ValuesError),
    /// More than [`limits::VALUE_SEARCHERS_BYTES`] with what is looked for already.
    #[error("too many texts of pods with many secret values are open; try again when some have ended")]
    Room,
    /// When the text came, the name was no longer that of the pod that was looked at, or it had other Secrets.
    #[error(
        "while it was asked for, the pod that was looked at went, or changed, or another one took its place; ask for it again"
    )]
    Replaced,
    /// A part of it was asked for in a way that the API server wouldn't understand either.
    #[error("limitBytes must be a number greater than zero")]
    Limit,
}

impl TextError {
    /// One word for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unread => "text-unread",
            Self::TooMany => "text-secrets",
            Self::Values(_) => "text-values",
            Self::Room => "text-room",
            Self::Replaced => "text-replaced",
            Self::Limit => "text-limit",
        }
    }
}

/// Bytes of a unit in which room is counted.
const UNIT: usize = 1024;

/// What looks for values in the texts that are open. Those who read logs of pods with the same values share one.
#[derive(Debug)]
pub struct Searchers {
    room: Arc<Semaphore>,
    /// By the values' digest, as long as somebody has it.
    open: Mutex<HashMap<[u8; 32], Weak<SecretValues>>>,
}

impl Default for Searchers {
    fn default() -> Self {
        Self::with_room(limits::VALUE_SEARCHERS_BYTES)
    }
}

impl Searchers {
    fn with_room(bytes: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(bytes / UNIT)), open: Mutex::default() }
    }

    /// The searcher for the values of these Secrets. Its room is given back when the last text that it looks at has ended.
    async fn searcher(&self, apart: &Apart, found: FoundValues) -> Result<Arc<SecretValues>, Refusal> {
        let digest = found.digest();
        if let Some(same) = self.same(&digest) {
            return Ok(same);
        }
        // Most pods have none, and wait for nobody's long work.
        let none = found.is_empty();
        let work = move || SecretValues::of(&found);
        let made = if none {
            work()
        } else {
            apart.clone().run(work).await.map_err(|error| Refusal::Read(Unread::Work(error)))?
        };
        let made = made.map_err(|error| Refusal::Text(TextError::Values(error)))?;
        // Others may have made it meanwhile.
        if let Some(same) = self.same(&digest) {
            return Ok(same);
        }
        // Where nothing is looked for no room is needed, however full it is.
        let units = if made.is_empty() { 0 } else { u32::try_from(made.memory().div_ceil(UNIT)).unwrap_or(u32::MAX) };
        let room = Arc::clone(&self.room).try_acquire_many_owned(units);
        let made = Arc::new(made.keeping(room.map_err(|_| Refusal::Text(TextError::Room))?));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // No more stay than there is room for.
        open.retain(|_, searcher| searcher.strong_count() > 0);
        open.insert(digest, Arc::downgrade(&made));
        Ok(made)
    }

    fn same(&self, digest: &[u8; 32]) -> Option<Arc<SecretValues>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }
}

/// What is looked for in a text.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) values: Arc<SecretValues>,
    pod: RequestInfo,
    seen: PodSecrets,
}

/// What is looked for in the text that a request asks for; `None`: it asks for none, or there is no such pod.
/// `left`: how long there is time for it.
pub(crate) async fn wanted(agent: &Agent, granted: &Granted, left: Duration) -> Result<Option<Wanted>, Refusal> {
    let grant = &granted.grant;
    let Some(pod) = values::pod_of(grant.request().info()) else { return Ok(None) };
    if !grant.claims().reads.contains(&Target::of(&pod)) {
        return Err(Refusal::Read(Unread::NotListed));
    }
    within(agent, granted, left, looked_for(agent, granted, pod)).await
}

impl Wanted {
    /// Whether the pod is still the one that was looked at, now that its text is there.
    pub(crate) async fn check(&self, agent: &Agent, granted: &Granted) -> Result<(), Refusal> {
        let again = async {
            let looked = read(agent, granted, &self.pod).await.map_err(|_| Refusal::Text(TextError::Unread))?;
            Ok(looked.map(|looked| PodSecrets::of(&self.pod, &looked.object)))
        };
        let again = within(agent, granted, limits::GRANT_TTL, again).await;
        let again = again.map_err(|_| Refusal::Text(TextError::Unread))?;
        if again.as_ref() == Some(&self.seen) { Ok(()) } else { Err(Refusal::Text(TextError::Replaced)) }
    }
}

/// With a place for one object at a time, and for the values in them.
async fn within<T>(
    agent: &Agent,
    granted: &Granted,
    left: Duration,
    look: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let bytes = limits::LIVE_OBJECT_BYTES + limits::VALUE_PATTERN_BYTES;
    let deadline = agent.clock.monotonic().saturating_add(left);
    let session = granted.grant.claims().session;
    let _place = agent.waiting.take(session, bytes, left).await.map_err(|_| Refusal::Busy)?;
    tokio::select! {
        biased;
        looked = look => looked,
        () = agent.clock.sleep(deadline.saturating_sub(agent.clock.monotonic())) => Err(Refusal::Late),
    }
}

/// The same of that pod.
async fn looked_for(agent: &Agent, granted: &Granted, pod: RequestInfo) -> Result<Option<Wanted>, Refusal> {
    let unread = |_| Refusal::Text(TextError::Unread);
    let Some(looked) = read(agent, granted, &pod).await.map_err(unread)? else { return Ok(None) };
    let seen = PodSecrets::of(&pod, &looked.object);
    // It has a turn, which the next read needs.
    drop(looked);
    if seen.secrets.len() > limits::VALUE_SECRETS {
        return Err(Refusal::Text(TextError::TooMany));
    }
    let mut found = FoundValues::default();
    for secret in &seen.secrets {
        if let Some(looked) = read(agent, granted, secret).await.map_err(unread)? {
            found.add(&looked.object).map_err(|error| Refusal::Text(TextError::Values(error)))?;
        }
    }
    let values = agent.searchers.searcher(&agent.apart, found).await?;
    Ok(Some(Wanted { values, pod, seen }))
}

#[cfg(test)]
mod tests {
    use control_plane_core::mask::{MaskContext, PlaceholderKey, PlaceholderKeys};
    use control_plane_core::query::Query;
    use control_plane_core::request_info::RequestInfo;
    use control_plane_core::restore::ReadObject;
    use http::Method;

    use super::*;

    fn found(value: &str) -> FoundValues {
        let info =
            RequestInfo::parse(&Method::GET, "/api/v1/namespaces/x/secrets/s", &Query::parse("").unwrap()).unwrap();
        let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
        let secret =
            format!(r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"s"}},"data":{{"k":"{value}"}}}}"#);
        let secret = ReadObject::new(secret.as_bytes(), &MaskContext::response(Arc::new(keys), "test", &info)).unwrap();
        let mut found = FoundValues::default();
        found.add(&secret).unwrap();
        found
    }

    #[tokio::test]
    async fn what_looks_for_values_has_its_room_until_the_last_text_ends() {
        let apart = Apart::default();
        let size = SecretValues::of(&found("c3dvcmRmaXNo")).unwrap().memory();
        assert!(size > 32 * 1024, "{size}");
        let searchers = Searchers::with_room(2 * size.next_multiple_of(UNIT));
        let get = async |value| searchers.searcher(&apart, found(value)).await;
        let first = get("c3dvcmRmaXNo").await.unwrap();
        let second = get("c3dvcmRmaXNp").await.unwrap();
        let refused = get("c3dvcmRmaXNq").await.unwrap_err();
        assert!(matches!(refused, Refusal::Text(TextError::Room)) && refused.label() == "text-room");
        assert_eq!(refused.reply().status(), 503);
        // Who looks for the same takes no more.
        let again = get("c3dvcmRmaXNo").await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        drop(first);
        assert!(get("c3dvcmRmaXNq").await.is_err());
        drop(again);
        let third = get("c3dvcmRmaXNq").await.unwrap();
        drop((second, third));
        assert_eq!(searchers.room.available_permits(), 2 * size.div_ceil(UNIT));
    }
}
