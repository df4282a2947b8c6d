//! Enrolling and forgetting clusters, for whoever is at the local socket.

use std::time::Duration;

use control_plane_core::four_eyes::Voter;
use serde::Deserialize;
use serde_json::json;
use shared::limits;

use super::Parts;
use super::answer::{self, Answer, Problem};
use crate::enrolments::{AskError, ForgetError, Wanted};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnrolmentWanted {
    name: String,
    #[serde(default)]
    seconds: Option<u64>,
    #[serde(default)]
    require_ci: bool,
    #[serde(default)]
    adopt_keys: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterName {
    name: String,
}

pub(super) async fn enrol(parts: &Parts, who: &Voter, body: &[u8]) -> Result<Answer, Problem> {
    let form = "the body must be {\"name\": \"…\", \"seconds\"?: 3600, \"requireCi\"?: true, \"adoptKeys\"?: false}";
    let wanted: EnrolmentWanted = serde_json::from_slice(body).map_err(|_| Problem::Bad(form.to_owned()))?;
    let EnrolmentWanted { name, seconds, require_ci, adopt_keys } = wanted;
    let life = seconds.map_or(limits::ENROLMENT_LIFE, Duration::from_secs);
    let made = parts.enrolments.ask(Wanted { name, life, require_ci, adopt_keys }, who.subject.clone()).await;
    let made = made.map_err(|error| match error {
        AskError::Name(_) | AskError::Life => Problem::Bad(error.to_string()),
        AskError::Enrolled(_) | AskError::Configured(_) | AskError::TooMany => Problem::Conflict(error.to_string()),
        AskError::Store(error) => error.into(),
    })?;
    Ok(answer::json(&json!({
        "token": made.token.expose(),
        "expires": made.expires,
        "replaced": made.replaced,
        "address": parts.address,
    })))
}

pub(super) async fn forget(parts: &Parts, who: &Voter, body: &[u8]) -> Result<Answer, Problem> {
    let wrong = |_| Problem::Bad("the body must be {\"name\": \"…\"}".to_owned());
    let ClusterName { name } = serde_json::from_slice(body).map_err(wrong)?;
    let was_enrolled = parts.enrolments.forget(&name, &who.subject).await.map_err(|error| match error {
        ForgetError::Unknown => Problem::NoCluster,
        ForgetError::Configured(_) => Problem::Conflict(error.to_string()),
        ForgetError::Store(error) => error.into(),
    })?;
    Ok(answer::json(&json!({ "result": if was_enrolled { "forgotten" } else { "taken back" } })))
}
