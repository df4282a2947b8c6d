//! From verified claims to who somebody is. The shapes of the tokens: a Kubernetes pod-bound ServiceAccount token
//! (KEP-1205, KEP-4193), a CI provider's OIDC token, an approver's OIDC token, an agent's ServiceAccount token.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use shared::time::Timestamp;

use super::token::{self, Expected, KeySet, TokenError};
use super::{CiIdentity, Identity, PodIdentity};

/// The audience of the tokens that a sidecar shows; useless at the API server.
pub const SIDECAR_AUDIENCE: &str = "sallyport";
/// The audience of the tokens that an agent shows.
pub const AGENT_AUDIENCE: &str = "sallyport-agent";

/// What a token of ours proves, and until when. Made in this file only.
#[derive(Debug)]
pub struct Verified<T> {
    value: T,
    expires: Timestamp,
}

impl<T> Verified<T> {
    /// What was proven.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// `exp`.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    fn of(value: T, claims: &Map<String, Value>) -> Result<Self, TokenError> {
        let expires = token::numeric_date(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
        Ok(Self { value, expires })
    }
}

/// Longest value of a CI claim that is kept.
const CLAIM_CHARS: usize = 512;

/// The pod that a token of audience `sallyport` is bound to, and until when it is good.
pub fn pod(
    token: &str,
    keys: &KeySet,
    cluster: &str,
    issuer: &str,
    now: Timestamp,
) -> Result<Verified<PodIdentity>, TokenError> {
    let claims = token::verify(token, keys, Expected { issuer, audience: SIDECAR_AUDIENCE, now })?;
    let (namespace, service_account) = service_account(&claims)?;
    let (pod, pod_uid) = bound(&claims, "pod")?;
    Verified::of(PodIdentity { cluster: cluster.to_owned(), namespace, service_account, pod, pod_uid }, &claims)
}

/// Checks that a token of audience `sallyport-agent` is of the ServiceAccount that `install` fixed.
pub fn agent(
    token: &str,
    keys: &KeySet,
    issuer: &str,
    namespace: &str,
    name: &str,
    now: Timestamp,
) -> Result<Timestamp, TokenError> {
    let claims = token::verify(token, keys, Expected { issuer, audience: AGENT_AUDIENCE, now })?;
    if service_account(&claims)? != (namespace.to_owned(), name.to_owned()) {
        return Err(TokenError::Required { claim: "sub".to_owned() });
    }
    token::numeric_date(&claims, "exp")?.ok_or(TokenError::Claim("exp"))
}

fn service_account(claims: &Map<String, Value>) -> Result<(String, String), TokenError> {
    let kubernetes =
        claims.get("kubernetes.io").and_then(Value::as_object).ok_or(TokenError::Claim("kubernetes.io"))?;
    let namespace = token::text(kubernetes, "namespace")?.to_owned();
    let (name, _) = bound(claims, "serviceaccount")?;
    // The subject says the same thing once more; where the two differ nobody knows who this is.
    if token::text(claims, "sub")? != format!("system:serviceaccount:{namespace}:{name}") {
        return Err(TokenError::Claim("sub"));
    }
    Ok((namespace, name))
}

fn bound(claims: &Map<String, Value>, what: &'static str) -> Result<(String, String), TokenError> {
    let object = claims.get("kubernetes.io").and_then(|k| k.get(what)).and_then(Value::as_object);
    let object = object.ok_or(TokenError::Claim(what))?;
    Ok((token::text(object, "name")?.to_owned(), token::text(object, "uid")?.to_owned()))
}

/// What an issuer's configuration demands of a CI token.
#[derive(Clone, Debug)]
pub struct CiRules<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `aud`.
    pub audience: &'a str,
    /// Claims that must have exactly this value.
    pub require: &'a BTreeMap<String, String>,
    /// Claim that names the person behind the job.
    pub person: Option<&'a str>,
    /// Which events may start a job, where `require` does not say it.
    pub events: Events,
}

/// What a provider calls the event that started a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// Any provider: nothing is known of its events.
    Any,
    /// GitHub Actions.
    Github,
    /// GitLab.
    Gitlab,
}

impl Events {
    /// The claim, and those of its values that anybody can cause who may open a pull request or write a comment (SECURITY.md T7).
    const fn doubtful(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Any => None,
            Self::Github => Some((
                "event_name",
                &[
                    "pull_request",
                    "pull_request_target",
                    "pull_request_review",
                    "pull_request_review_comment",
                    "workflow_run",
                    "issues",
                    "issue_comment",
                    "discussion",
                    "discussion_comment",
                    "fork",
                    "watch",
                ],
            )),
            Self::Gitlab => Some(("pipeline_source", &["merge_request_event", "external_pull_request_event"])),
        }
    }

    /// Such an event is refused unless the configuration names it; so is a token that does not say its event.
    fn check(self, claims: &Map<String, Value>, require: &BTreeMap<String, String>) -> Result<(), TokenError> {
        let Some((claim, doubtful)) = self.doubtful().filter(|(claim, _)| !require.contains_key(*claim)) else {
            return Ok(());
        };
        match claims.get(claim).and_then(Value::as_str) {
            Some(event) if !doubtful.contains(&event) => Ok(()),
            Some(_) | None => Err(TokenError::Required { claim: claim.to_owned() }),
        }
    }
}

/// Claims that tell one job from the next of the same workflow, as GitHub and GitLab name them.
const JOB_CLAIMS: [&str; 4] = ["run_id", "run_attempt", "pipeline_id", "job_id"];

/// A CI provider's token, after its rules passed, and until when it is good.
pub fn ci(token: &str, keys: &KeySet, rules: &CiRules<'_>, now: Timestamp) -> Result<Verified<CiIdentity>, TokenError> {
    let claims = token::verify(token, keys, Expected { issuer: rules.issuer, audience: rules.audience, now })?;
    for (claim, wanted) in rules.require {
        if claims.get(claim).and_then(scalar).as_ref() != Some(wanted) {
            return Err(TokenError::Required { claim: claim.clone() });
        }
    }
    rules.events.check(&claims, rules.require)?;
    let person = match rules.person {
        None => None,
        Some(name) => {
            // A person that is configured but absent must not turn into "no person".
            let value = claims.get(name).and_then(scalar).filter(|value| !value.is_empty());
            Some(value.ok_or_else(|| TokenError::Required { claim: name.to_owned() })?)
        }
    };
    let identity = CiIdentity {
        issuer: rules.issuer.to_owned(),
        subject: token::text(&claims, "sub")?.to_owned(),
        jti: token::text(&claims, "jti")?.to_owned(),
        person,
        claims: claims
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), scalar(value)?)))
            .filter(|(_, value)| value.len() <= CLAIM_CHARS)
            .collect(),
    };
    Verified::of(identity, &claims)
}

/// Strings as they are, numbers and booleans as JSON writes them; GitLab sends ids as either.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A person who may vote, as an OIDC issuer knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// What identifies the person across issuers, where the configuration maps it.
    pub person: Option<String>,
    /// Groups, each as one whole string.
    pub groups: BTreeSet<String>,
}

/// An approver's token.
pub fn approver(
    token: &str,
    keys: &KeySet,
    expected: Expected<'_>,
    groups_claim: &str,
    person_claim: Option<&str>,
) -> Result<Verified<Approver>, TokenError> {
    let claims = token::verify(token, keys, expected)?;
    let groups = match claims.get(groups_claim) {
        None => BTreeSet::new(),
        Some(Value::Array(list)) => {
            let texts: Option<BTreeSet<String>> = list.iter().map(|group| group.as_str().map(str::to_owned)).collect();
            texts.ok_or(TokenError::Claim("groups"))?
        }
        Some(_) => return Err(TokenError::Claim("groups")),
    };
    let approver = Approver {
        issuer: expected.issuer.to_owned(),
        subject: token::text(&claims, "sub")?.to_owned(),
        person: person_claim.and_then(|name| claims.get(name)).and_then(scalar),
        groups,
    };
    Verified::of(approver, &claims)
}

impl Identity {
    /// A pod, and the CI job beside it. Expires with the first of its tokens.
    pub fn of_pod(pod: Verified<PodIdentity>, ci: Option<Verified<CiIdentity>>) -> Self {
        let expires = ci.as_ref().map_or(pod.expires, |ci| pod.expires.min(ci.expires));
        Self { pod: pod.value, ci: ci.map(|ci| ci.value), expires }
    }

    /// Whether a renewal shows the same pod and the same job: a session's identity can't be changed once set.
    pub fn is_same_runner(&self, renewed: &Self) -> bool {
        let job = |identity: &Self| {
            identity.ci.as_ref().map(|ci| {
                let run = JOB_CLAIMS.map(|claim| ci.claims.get(claim).cloned());
                (ci.issuer.clone(), ci.subject.clone(), ci.person.clone(), run)
            })
        };
        self.pod == renewed.pod && job(self) == job(renewed)
    }

    /// The same with a later (or earlier) expiry.
    #[must_use]
    pub fn expiring(mut self, expires: Timestamp) -> Self {
        self.expires = expires;
        self
    }
}
