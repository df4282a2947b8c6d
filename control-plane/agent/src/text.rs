//! The text of a pod (its log): before it is asked for, the agent reads the pod and the Secrets that it uses, and their values are replaced as
//! the text flows by (core's `mask::values`).
//!
//! The grant names the pod, and the pod names the Secrets. Only those are looked for: the pod has them already, so what is replaced tells it
//! nothing. What can't be read, or is too much to look for, means no text. A Secret that is gone is gone; what a pod took from it before is not
//! known to anybody here.

use std::sync::Arc;

use control_plane_core::grant::Target;
use control_plane_core::mask::values::{self, SecretValues, ValuesError};
use shared::limits;

use crate::obligations::Granted;
use crate::operation::{Agent, read};
use crate::refusal::Refusal;

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
}

impl TextError {
    /// One word for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unread => "text-unread",
            Self::TooMany => "text-secrets",
            Self::Values(_) => "text-values",
        }
    }
}

/// What is looked for in the text that a request asks for; `None`: it asks for none, or there is no such pod.
pub(crate) async fn wanted(agent: &Agent, granted: &Granted) -> Result<Option<Arc<SecretValues>>, Refusal> {
    let grant = &granted.grant;
    let Some(pod) = values::pod_of(grant.request().info()) else { return Ok(None) };
    if !grant.claims().reads.contains(&Target::of(&pod)) {
        return Err(Refusal::Read);
    }
    let unread = |_| Refusal::Text(TextError::Unread);
    let Some(object) = read(agent, granted, &pod).await.map_err(unread)? else { return Ok(None) };
    let names = values::secrets_of(&pod, &object);
    if names.len() > limits::VALUE_SECRETS {
        return Err(Refusal::Text(TextError::TooMany));
    }
    let mut secrets = Vec::with_capacity(names.len());
    for name in &names {
        secrets.extend(read(agent, granted, name).await.map_err(unread)?);
    }
    let values = SecretValues::of(&secrets).map_err(|error| Refusal::Text(TextError::Values(error)))?;
    Ok(Some(Arc::new(values)))
}
