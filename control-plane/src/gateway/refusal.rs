//! What a client is told when an operation is refused: one exhaustive table from cause to HTTP code, reason, sentence, label.
//!
//! The sentence comes from here, never from the `Display` of a foreign source. It always names the operation, and what would help.

use bytes::Bytes;
use control_plane_core::attributes::OperationIdError;
use control_plane_core::decision::Explanation;
use control_plane_core::headers::HeaderRefusal;
use control_plane_core::lifecycle::{HoldError, Outcome};
use control_plane_core::request::RequestError;
use control_plane_core::request_info::RequestInfo;
use shared::chain::Chain;
use shared::ids::{HoldId, OperationId};
use shared::status::{Cause, Details, Reason, Status};
use shared_net::body::BodyError;

use crate::sessions::SessionError;
use crate::store::StoreError;

/// Why an operation is not carried out, or its answer can't be given.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The connection has no session.
    #[error("no session")]
    NoSession,
    /// The session may do nothing new.
    #[error("session")]
    Session(#[source] SessionError),
    /// A header that no honest client sends.
    #[error("header")]
    Header(#[source] HeaderRefusal),
    /// The sidecar's operation id is missing or no UUID.
    #[error("no operation id")]
    NoOperationId,
    /// It is too old or from the future.
    #[error("operation id")]
    OperationId(#[source] OperationIdError),
    /// The body did not come, or is too large.
    #[error("body")]
    Body(#[source] BodyError),
    /// The request has no single reading.
    #[error("request")]
    Request(#[source] RequestError),
    /// exec, attach, port-forward: not carried yet.
    #[error("stream")]
    Stream,
    /// The session used this operation id for something else.
    #[error("same id, other content")]
    OtherContent,
    /// It can't be recorded, so it is not forwarded.
    #[error("record")]
    Record(#[source] StoreError),
    /// Policy says no.
    #[error("denied by {}", .0.rule)]
    Denied(Box<Explanation>),
    /// People said no.
    #[error("denied by {by}")]
    HoldDenied {
        /// The hold.
        hold: HoldId,
        /// Who.
        by: String,
        /// Their words.
        reason: String,
    },
    /// The hold ended without a yes that this operation could use.
    #[error("hold over")]
    HoldOver {
        /// The hold.
        hold: HoldId,
        /// Why, as a clause: `nobody approved it in time`.
        why: String,
    },
    /// It can't wait for people.
    #[error("no hold")]
    NoHold(#[source] HoldError),
    /// The object changed between the approval and now.
    #[error("approval outdated")]
    Outdated(String),
    /// The grant could not be made.
    #[error("issue")]
    Issue(String),
    /// No agent of the cluster is connected.
    #[error("no agent of {0}")]
    NoAgent(String),
    /// The agent's connection broke before anything was sent.
    #[error("not sent")]
    NotSent,
    /// Sent, and no answer: nobody can say whether it was carried out.
    #[error("unknown outcome")]
    Unknown,
    /// The same of what only reads, so that it doesn't matter.
    #[error("no answer")]
    NoAnswer,
    /// It ran before under this id, and its answer is not kept whole.
    #[error("ended")]
    Ended(Outcome),
    /// The process ends while the operation waits in a hold: the connection is closed under it, and its sidecar asks again.
    #[error("going away")]
    GoingAway,
    /// A stage of ours failed in a way that it must not.
    #[error("internal")]
    Internal(&'static str),
}

/// How a refusal looks.
pub struct Shape {
    /// HTTP code and Kubernetes' word for it.
    pub reason: Reason,
    /// Label of metrics and of the golden table.
    pub kind: &'static str,
    /// The sentence.
    pub message: String,
    /// Whether client-go may simply try again: only where it is certain that nothing was sent.
    pub retry: bool,
    /// Whether no honest peer causes it.
    pub attack: bool,
}

impl Refusal {
    /// It was sent, and no answer came.
    pub(super) const fn no_answer(is_read: bool) -> Self {
        if is_read { Self::NoAnswer } else { Self::Unknown }
    }

    /// The table.
    #[expect(clippy::too_many_lines, reason = "one row per cause, in one place to review")]
    pub fn shape(&self) -> Shape {
        let shape = |reason, kind, message: String| Shape { reason, kind, message, retry: false, attack: false };
        match self {
            Self::NoSession => Shape {
                retry: true,
                ..shape(Reason::ServiceUnavailable, "no_session", "this runner's sidecar has no session yet".into())
            },
            Self::Session(error @ (SessionError::Expired(_) | SessionError::Over(_))) => {
                // Not Unauthorized: kubectl throws the sentence of a 401 away and asks for credentials.
                shape(Reason::Forbidden, "session", format!("{error}; start a new job, or see the sidecar's log"))
            }
            Self::Session(
                error @ (SessionError::Busy | SessionError::Full | SessionError::NoStream | SessionError::Unread),
            ) => Shape { retry: true, ..shape(Reason::TooManyRequests, "busy", error.to_string()) },
            Self::Header(error) => Shape { attack: true, ..shape(error.reason(), "header", error.to_string()) },
            Self::NoOperationId => {
                Shape { attack: true, ..shape(Reason::BadRequest, "operation_id", "the operation id is missing".into()) }
            }
            Self::OperationId(error) => shape(Reason::BadRequest, "operation_id", error.to_string()),
            Self::Body(BodyError::TooLarge { .. }) => shape(
                Reason::RequestEntityTooLarge,
                "body_size",
                format!("the body is larger than {} bytes, as much as an API server takes", shared::limits::REQUEST_BODY_BYTES),
            ),
            Self::Body(_) => shape(Reason::BadRequest, "body", "the body did not arrive whole".into()),
            Self::Request(error) => shape(error.reason(), "request", Chain(error).to_string()),
            Self::Stream => shape(
                Reason::Forbidden,
                "stream",
                "exec, attach, port-forward and proxy are not carried by this version of Sallyport; \
                 read logs with `kubectl logs`, or ask an operator to run the command"
                    .into(),
            ),
            Self::OtherContent => Shape {
                attack: true,
                ..shape(Reason::Conflict, "other_content", "this operation id was used for another request".into())
            },
            Self::Record(_) => Shape {
                retry: true,
                ..shape(Reason::ServiceUnavailable, "record", "it can't be recorded right now, so it was not sent".into())
            },
            Self::Denied(explanation) => shape(Reason::Forbidden, "denied", denied(explanation)),
            Self::HoldDenied { hold, by, reason } => {
                let words = if reason.is_empty() { String::new() } else { format!(": {reason:?}") };
                shape(Reason::Forbidden, "hold_denied", format!("{by} denied it{words} (hold {hold}); it was not sent"))
            }
            Self::HoldOver { hold, why } => {
                shape(Reason::Forbidden, "hold_over", format!("{why} (hold {hold}); it was not sent; run it again to ask again"))
            }
            Self::NoHold(error @ HoldError::NobodyCould) => shape(Reason::Forbidden, "nobody_could", error.to_string()),
            Self::NoHold(error @ (HoldError::SessionFull(_) | HoldError::AskerFull(_) | HoldError::Full(_))) => {
                Shape { retry: true, ..shape(Reason::TooManyRequests, "too_many_holds", error.to_string()) }
            }
            Self::Outdated(why) => {
                shape(Reason::Forbidden, "outdated", format!("{why}; it was not sent; run it again to ask again"))
            }
            Self::Issue(_) => Shape {
                retry: true,
                ..shape(Reason::ServiceUnavailable, "issue", "no grant could be made for it; it was not sent".into())
            },
            Self::NoAgent(cluster) => Shape {
                retry: true,
                ..shape(Reason::ServiceUnavailable, "no_agent", format!("no agent of cluster {cluster} is connected; it was not sent"))
            },
            Self::NotSent => {
                shape(Reason::ServiceUnavailable, "not_sent", "the agent went away before it was sent; run it again".into())
            }
            Self::Unknown => shape(
                Reason::BadGateway,
                "unknown",
                "it was sent, and no answer came: nobody can say whether it was carried out; look at the object before you repeat it"
                    .into(),
            ),
            Self::NoAnswer => shape(
                Reason::BadGateway,
                "no_answer",
                "it was sent, and no answer came; it only reads, so nothing was changed: run it again".into(),
            ),
            Self::Ended(outcome) => shape(
                Reason::BadGateway,
                "ended",
                format!("it ran before under this id, and its answer is no longer to be had; its outcome was: {outcome}"),
            ),
            Self::GoingAway => shape(
                Reason::ServiceUnavailable,
                "going_away",
                "the control plane is restarting; the operation still waits for approval; run it again to go on waiting".into(),
            ),
            Self::Internal(what) => shape(Reason::InternalError, "internal", format!("a fault of Sallyport's own: {what}")),
        }
    }

    /// The `Status` that the client gets.
    pub fn status(&self, operation: Option<OperationId>, info: Option<&RequestInfo>) -> Status {
        let shape = self.shape();
        let subject = info.map(subject).unwrap_or_default();
        let id = operation.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let verb = if shape.reason == Reason::Forbidden { " is forbidden" } else { "" };
        let message = match subject.as_str() {
            "" => shape.message,
            subject => format!("{subject}{verb}: {}", shape.message),
        };
        let details = info.map(|info| Details {
            name: info.name.clone(),
            group: info.api_group.clone(),
            kind: info.resource.clone(),
            ..Details::default()
        });
        let mut status = Status::failure(shape.reason, message).with_details(details.unwrap_or_default());
        status = status.with_cause(Cause::new("SallyportRefusal", shape.kind)).of_operation(id);
        for (name, value) in self.facts() {
            status = status.with_cause(Cause::new(name, value));
        }
        status
    }

    /// Machine-readable facts beyond the sentence: AI agents read them.
    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Denied(e) => {
                let mut facts = vec![
                    ("SallyportRule", e.rule.to_string()),
                    ("SallyportRisk", format!("{} (held from {}, denied from {})", e.risk, e.hold_at, e.deny_at)),
                ];
                facts.extend(e.contributions.iter().map(|c| ("SallyportRiskFactor", c.fact.to_string())));
                facts.extend(e.notes.iter().map(|note| ("SallyportHelp", note.to_string())));
                facts
            }
            Self::HoldDenied { hold, by, reason } => vec![
                ("SallyportHold", hold.to_string()),
                ("SallyportDeniedBy", by.clone()),
                ("SallyportDenialReason", reason.clone()),
            ],
            Self::HoldOver { hold, .. } => vec![("SallyportHold", hold.to_string())],
            Self::NoSession
            | Self::Session(_)
            | Self::Header(_)
            | Self::NoOperationId
            | Self::OperationId(_)
            | Self::Body(_)
            | Self::Request(_)
            | Self::Stream
            | Self::OtherContent
            | Self::Record(_)
            | Self::NoHold(_)
            | Self::Outdated(_)
            | Self::Issue(_)
            | Self::NoAgent(_)
            | Self::NotSent
            | Self::Unknown
            | Self::NoAnswer
            | Self::Ended(_)
            | Self::GoingAway
            | Self::Internal(_) => Vec::new(),
        }
    }
}

/// A refusal that an agent worded, with the operation as our own have it: an agent need not be able to read a grant to refuse it. Words that
/// are no `Status` stay as they are.
pub(super) fn of_agent(words: Bytes, operation: OperationId) -> Bytes {
    match serde_json::from_slice::<Status>(&words) {
        Ok(status) => status.of_operation(operation).to_json().into(),
        Err(_) => words,
    }
}

/// `serviceaccounts "bot"`: how the API server begins its own sentences, which tools search for.
fn subject(info: &RequestInfo) -> String {
    match (info.is_resource_request, info.name.as_str()) {
        (false, _) => info.non_resource_path.clone(),
        (true, "") => info.resource_word(),
        (true, name) => format!("{} {name:?}", info.resource_word()),
    }
}

fn denied(e: &Explanation) -> String {
    let mut text = format!("rule {} denies it (risk {})", e.rule, e.risk);
    let reasons: Vec<String> = e.contributions.iter().map(|c| c.fact.to_string()).take(5).collect();
    if !reasons.is_empty() {
        text.push_str(": ");
        text.push_str(&reasons.join("; "));
    }
    for note in &e.notes {
        text.push_str("; ");
        text.push_str(note);
    }
    text
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// What kubectl prints, and what programs read, of who refused whatever.
    #[test]
    fn refusals_of_agents_name_the_operation_as_ours_do() {
        let id = OperationId::new(Uuid::now_v7());
        let ours = Refusal::NotSent.status(Some(id), None);
        let words = Status::failure(Reason::Forbidden, "a placeholder stands in a wrong place")
            .with_cause(Cause::new("SallyportAgentRefused", "placeholder"));
        let agents: Status = serde_json::from_slice(&of_agent(words.to_json().into(), id)).unwrap();
        let end = format!(" [sallyport operation {id}]");
        assert_eq!(agents.message, format!("{}{end}", words.message));
        assert!(ours.message.ends_with(&end), "{}", ours.message);
        let cause = Cause::new("SallyportOperation", id.to_string());
        for (status, refused_by) in [(agents, "SallyportAgentRefused"), (ours, "SallyportRefusal")] {
            let causes = status.details.unwrap().causes;
            assert!(causes.contains(&cause) && causes.iter().any(|cause| cause.reason == refused_by), "{causes:?}");
        }
        assert_eq!(of_agent("no Status".into(), id), "no Status");
    }

    /// Only of what changes something must anybody look before he repeats it.
    #[test]
    fn a_read_without_an_answer_may_be_repeated() {
        let told = Refusal::NoAnswer.status(None, None).message;
        assert!(told.contains("nothing was changed: run it again") && !told.contains("nobody can say"), "{told}");
        assert!(!Refusal::NoAnswer.shape().retry, "by people, who see that something is wrong");
    }

    /// A place comes free, so it may be tried again; what nobody could approve may not.
    #[test]
    fn who_finds_no_place_to_wait_may_try_again() {
        let at = shared::time::Timestamp(1_800_000_000_000);
        for full in [HoldError::SessionFull(at), HoldError::AskerFull(at), HoldError::Full(at)] {
            let shape = Refusal::NoHold(full).shape();
            assert_eq!((shape.reason.code(), shape.retry), (429, true), "{full}");
            assert!(shape.message.ends_with("the first at 2027-01-15T08:00:00.000Z"), "{full}");
        }
        let shape = Refusal::NoHold(HoldError::NobodyCould).shape();
        assert_eq!((shape.reason.code(), shape.retry), (403, false));
    }
}
