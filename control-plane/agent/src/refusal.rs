//! Every way in which the agent says no, and what it says then: one table.

use bytes::Bytes;
use control_plane_core::finish::FinishError;
use control_plane_core::grant::VerifyError;
use control_plane_core::hide::NarrowError;
use control_plane_core::ledger::SpendError;
use control_plane_core::version_pin::PinBroken;
use http::{HeaderValue, Response, StatusCode, header};
use shared::status::{Cause, Reason, Status};
use shared::wire;
use shared_net::body::{BodyError, BoxBody, full};

use crate::answer::AnswerError;
use crate::masked::BodyEnd;
use crate::rules::RuleRefusal;
use crate::text::TextError;
use crate::unread::Unread;
use crate::upstream::UpstreamError;

/// Whether the request was sent to the API server: `header::SENT`, on every answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// No byte of it.
    No,
    /// It was, and the API server answered.
    Yes,
    /// It may have been carried out; nobody here can tell.
    Unknown,
}

impl Sent {
    /// As in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) const fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }
}

/// Why a granted request is not carried out, or its answer not passed on.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No grant, two grants, or no digest key beside it.
    #[error("the request carries no readable grant")]
    NoGrant,
    /// Its body could not be read.
    #[error("the body can't be read")]
    Body(#[source] BodyError),
    /// A stream in both directions.
    #[error("exec, attach, port-forward and proxies are not carried by this version of Sallyport")]
    Connect,
    /// The grant does not give the right.
    #[error("the grant does not allow this request")]
    Verify(#[source] VerifyError),
    /// Refused whatever the grant says.
    #[error("refused inside the cluster, whatever was granted")]
    Rule(#[source] RuleRefusal),
    /// Masking rules that this agent can't carry out.
    #[error("the grant asks for masking that this agent does not know")]
    MaskRules,
    /// The ledger does not take the grant.
    #[error("the grant can't be spent")]
    Spend(#[source] SpendError),
    /// The cluster's own ledger says that the approval was spent.
    #[error("the approval was spent before")]
    ApprovalSpent,
    /// The cluster's own ledger gave no clear answer.
    #[error("the cluster's ledger of spent approvals can't be written")]
    LedgerClosed,
    /// The object that the version pin is about, or that has the values behind placeholders, could not be read.
    #[error("the object that is written can't be read")]
    Read(#[source] Unread),
    /// Others have what this would need, and had it for as long as the grant lives.
    #[error("busy with other large writes and answers: nothing was sent; try again")]
    Busy,
    /// The text of a pod whose Secrets can't be looked for in it.
    #[error(
        "this pod's text can't be shown, for the values of the Secrets that the pod uses would have to be masked in it"
    )]
    Text(#[source] TextError),
    /// A request whose answer could not be judged where objects are hidden.
    #[error("objects are hidden there")]
    Hidden(#[source] NarrowError),
    /// The pin does not hold, a placeholder can't be put back, or the precondition can't be written.
    #[error("what was approved can't be sent as it was approved")]
    Finish(#[source] FinishError),
    /// In this namespace too many releases of helm's with placeholders, or Secrets with what they show, were refused, or judged.
    #[error(
        "too many of helm's releases with placeholders were refused in this namespace today, or judged in the last hours: each tells \
         something of a value. Try again tomorrow, or let people approve it: a rule of policy can hold it"
    )]
    Releases,
    /// Preparing took longer than the grant lives.
    #[error("the grant's time was over before the request could be sent")]
    Late,
    /// The API server could not be asked, or did not answer.
    #[error("the API server gave no answer")]
    Upstream(#[source] UpstreamError),
    /// It answered in a way that is not passed on.
    #[error("the API server's answer can't be passed on")]
    Answer(#[source] AnswerError),
    /// The body of its answer is not passed on, and not a byte of it was.
    #[error("the API server's answer can't be shown")]
    Unshown(#[source] BodyEnd),
}

/// What is known of a request by the time that it is refused, or that its answer is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// It changes nothing.
    pub read: bool,
    /// What the API server answered to it.
    answered: Option<StatusCode>,
}

impl Fate {
    /// The API server answered with this status. What it says of a credential or of another place is no answer to the request.
    pub fn is_answered(&mut self, status: StatusCode) {
        let counts = status.is_success() || status.is_client_error() || status.is_server_error();
        self.answered = Some(status).filter(|status| counts && *status != StatusCode::UNAUTHORIZED);
    }

    /// For a person: whether it may be repeated.
    fn words(self, sent: Sent) -> String {
        match (sent, self.answered) {
            (Sent::No, _) => String::new(),
            (Sent::Yes | Sent::Unknown, _) if self.read => "; it only reads, so nothing was changed".to_owned(),
            (Sent::Unknown, _) => {
                "; nobody can say whether it was carried out: look at the object before you repeat it".to_owned()
            }
            (Sent::Yes, Some(status)) if status.is_success() => {
                format!("; it was carried out ({}), so don't repeat it", status.as_u16())
            }
            (Sent::Yes, Some(status)) => format!("; the API server refused it or failed ({})", status.as_u16()),
            (Sent::Yes, None) => String::new(),
        }
    }
}

impl Refusal {
    /// One word for metrics and for `header::REFUSED`; a closed list.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoGrant => "no-grant",
            Self::Body(_) => "body",
            Self::Connect => "connect",
            Self::Verify(error) => error.label(),
            Self::Rule(rule) => rule.label(),
            Self::MaskRules => "mask-rules",
            Self::Spend(error) => match error {
                SpendError::LifeTooLow { .. } => "spend-life",
                SpendError::EpochUnknown => "spend-epoch-unknown",
                SpendError::EpochSealed => "spend-epoch-sealed",
                SpendError::AlreadySpent => "spend-replay",
                SpendError::TooOld => "spend-too-old",
                SpendError::Full => "spend-full",
            },
            Self::ApprovalSpent => "approval-spent",
            Self::LedgerClosed => "spent-ledger",
            Self::Read(_) => "pin-read",
            Self::Busy => "busy",
            Self::Text(error) => error.label(),
            Self::Hidden(_) => "hidden",
            Self::Finish(FinishError::Pin(_)) => "pin-broken",
            Self::Finish(FinishError::Restore(_)) => "placeholder",
            Self::Finish(_) => "finish",
            Self::Releases => "releases-refused",
            Self::Late => "late",
            Self::Upstream(error) => error.label(),
            Self::Answer(error) => error.label(),
            Self::Unshown(end) => end.label(),
        }
    }

    /// Whether an honest control plane never causes it: counted as a signal of an attack.
    pub const fn is_attack_signal(&self) -> bool {
        match self {
            Self::NoGrant | Self::Rule(_) | Self::ApprovalSpent => true,
            // The network may have been slow.
            Self::Verify(VerifyError::Expired | VerifyError::ApprovalExpired) => false,
            Self::Verify(_) => true,
            Self::Spend(error) => match error {
                SpendError::LifeTooLow { .. } | SpendError::EpochUnknown | SpendError::AlreadySpent => true,
                SpendError::EpochSealed | SpendError::TooOld | SpendError::Full => false,
            },
            Self::Body(_)
            | Self::Connect
            | Self::MaskRules
            | Self::LedgerClosed
            | Self::Read(_)
            | Self::Busy
            | Self::Text(_)
            | Self::Hidden(_)
            | Self::Finish(_)
            | Self::Releases
            | Self::Late
            | Self::Upstream(_)
            | Self::Answer(_)
            | Self::Unshown(_) => false,
        }
    }

    /// What became of the request.
    pub const fn sent(&self) -> Sent {
        match self {
            Self::Upstream(error) => error.sent(),
            Self::Answer(_) | Self::Unshown(_) => Sent::Yes,
            // It was sent once, by whoever spent the approval, and not by anything that this process remembers.
            Self::ApprovalSpent => Sent::Unknown,
            Self::NoGrant
            | Self::Body(_)
            | Self::Connect
            | Self::Verify(_)
            | Self::Rule(_)
            | Self::MaskRules
            | Self::Spend(_)
            | Self::LedgerClosed
            | Self::Read(_)
            | Self::Busy
            | Self::Text(_)
            | Self::Hidden(_)
            | Self::Finish(_)
            | Self::Releases
            | Self::Late => Sent::No,
        }
    }

    const fn reason(&self) -> Reason {
        match self {
            // 403 and never 409 or 422: `kubectl --force` turns those into delete and create.
            Self::NoGrant
            | Self::Verify(_)
            | Self::Rule(_)
            | Self::MaskRules
            | Self::Spend(_)
            | Self::ApprovalSpent
            | Self::Finish(_)
            | Self::Releases
            | Self::Late
            | Self::Connect => Reason::Forbidden,
            Self::Body(BodyError::TooLarge { .. }) => Reason::RequestEntityTooLarge,
            Self::Body(_) | Self::Text(TextError::Limit) => Reason::BadRequest,
            // Who tries again is refused again.
            Self::Read(why) if why.is_for_good() => Reason::Forbidden,
            Self::LedgerClosed
            | Self::Read(_)
            | Self::Busy
            | Self::Text(TextError::Unread | TextError::Room | TextError::Replaced) => Reason::ServiceUnavailable,
            Self::Text(_) | Self::Hidden(_) => Reason::Forbidden,
            Self::Upstream(error) => error.reason(),
            Self::Answer(_) => Reason::BadGateway,
            Self::Unshown(end) => end.reason(),
        }
    }

    /// The sentence for a person. Written here alone: never an inner error's text, but for those that our own rules word.
    fn message(&self) -> String {
        match self {
            Self::Rule(rule) => format!("{self}: {rule}"),
            Self::Finish(FinishError::Pin(PinBroken { field, .. })) => {
                format!("the object has changed since it was approved ({field}); ask again")
            }
            Self::Finish(FinishError::Restore(error)) => error.to_string(),
            Self::Upstream(error) => format!("{self}: {error}"),
            Self::Answer(error) => format!("{self}: {error}"),
            Self::Unshown(end) => format!("{self}: {}", end.words()),
            Self::Text(error) => format!("{self}: {error}"),
            Self::Hidden(error) => error.to_string(),
            Self::Read(why) if why.is_for_good() => format!("{self}: {why}"),
            Self::NoGrant
            | Self::Body(_)
            | Self::Connect
            | Self::Verify(_)
            | Self::MaskRules
            | Self::Spend(_)
            | Self::ApprovalSpent
            | Self::LedgerClosed
            | Self::Read(_)
            | Self::Busy
            | Self::Finish(_)
            | Self::Releases
            | Self::Late => self.to_string(),
        }
    }

    /// What would help, of a request that was sent and changed nothing.
    const fn help(&self) -> &'static str {
        match self {
            Self::Unshown(end) if !end.may_pass() => {
                "; read other objects by their names, and ask whoever runs the cluster about this one"
            }
            Self::Upstream(_) | Self::Unshown(_) => ": run it again",
            Self::NoGrant
            | Self::Body(_)
            | Self::Connect
            | Self::Verify(_)
            | Self::Rule(_)
            | Self::MaskRules
            | Self::Spend(_)
            | Self::ApprovalSpent
            | Self::LedgerClosed
            | Self::Read(_)
            | Self::Busy
            | Self::Text(_)
            | Self::Hidden(_)
            | Self::Finish(_)
            | Self::Releases
            | Self::Late
            | Self::Answer(_) => "",
        }
    }

    /// The answer where nothing else is known of the request.
    pub fn reply(&self) -> Response<BoxBody> {
        self.reply_of(Fate::default())
    }

    /// The answer to the control plane, which adds the operation: a `Status`, and whether anything was sent.
    pub fn reply_of(&self, fate: Fate) -> Response<BoxBody> {
        let (reason, sent) = (self.reason(), self.sent());
        let help = if fate.read && sent != Sent::No { self.help() } else { "" };
        let message = format!("{}{}{help}", self.message(), fate.words(sent));
        let mut status = Status::failure(reason, message)
            .with_cause(Cause::new("SallyportAgentRefused", self.label()))
            .with_cause(Cause::new("SallyportSent", sent.as_str()));
        let answered = fate.answered.filter(|_| sent == Sent::Yes);
        if let Some(answered) = answered {
            status = status.with_cause(Cause::new("SallyportAnswered", answered.as_str()));
        }
        let code = StatusCode::from_u16(reason.code()).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut response = Response::new(full(Bytes::from(status.to_json())));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(wire::header::SENT, sent.header());
        if let Some(answered) = answered {
            headers.insert(wire::header::ANSWERED, HeaderValue::from(answered.as_u16()));
        }
        headers.insert(wire::header::REFUSED, HeaderValue::from_static(self.label()));
        if self.is_attack_signal() {
            headers.insert(wire::header::ATTACK, HeaderValue::from_static("1"));
        }
        response
    }
}
