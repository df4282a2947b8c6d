//! What a grant says.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::ids::{ApprovalId, GrantId, HoldId, OperationId, SessionId};
use shared::time::Timestamp;

use crate::decision::Group;
use crate::digest::Digest;
use crate::hide::HideRule;
use crate::identity::Asker;
use crate::ledger::Epoch;
use crate::lifecycle::Life;
use crate::request_info::{RequestInfo, Verb};
use crate::statement::SignedVote;
use crate::version_pin::VersionPin;

/// The claims, complete. A claim more, a claim less or a claim twice is refused.
///
/// There is no `iat`, `nbf` or `exp`: `ttl` counts on the agent's monotonic clock from receipt, so no two clocks must agree.
/// There is no user either: the agent impersonates one fixed user, and groups are one of four, so no claim can name another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantClaims {
    /// Id of this grant; spent at most once.
    pub jti: GrantId,
    /// The operation that it is for.
    pub operation: OperationId,
    /// The session that the operation belongs to.
    pub session: SessionId,
    /// The one connection that it may be used on.
    pub aud: Epoch,
    /// Our name of the one cluster that it may be used in.
    pub cluster: String,
    /// Life of the control plane's database; agents refuse a lower one than they have seen.
    pub life: Life,
    /// Milliseconds from receipt within which it must be spent.
    pub ttl: u64,
    /// Milliseconds from the send after which the agent ends the answer, however long the stream could be.
    pub until: u64,
    /// What kind of operation it is; the agent treats the internal ones by their kind.
    pub purpose: Purpose,
    /// What was judged; the agent reads the arrived request itself and compares.
    pub info: RequestInfo,
    /// Request digest: of exactly what the agent receives. Its key travels beside the grant.
    pub digest: Digest,
    /// As whom; absent only for the token review and for guard reads, which the agent makes as itself.
    pub impersonation: Option<Impersonation>,
    /// JSON paths masked in addition to what the agent always masks. There is no claim that masks less.
    pub mask: Vec<String>,
    /// Objects that are not shown. There is no claim that shows more than the others let through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hide: Vec<HideRule>,
    /// Objects that the agent may read to restore placeholders and compare the version pin; their bodies never leave it.
    pub reads: Vec<Target>,
    /// The spent approval, where people had to say yes.
    pub approval: Option<ApprovalClaim>,
}

/// What kind of operation a grant is for: a runner's, or one of the closed list of internal ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A runner's own operation.
    Operation,
    /// The live object for policy and approvers, masked.
    LiveRead,
    /// What the server would make of a write; the agent adds `dryRun=All`.
    Preview,
    /// Whether a runner's pod token is alive. Without impersonation.
    TokenReview,
    /// The cluster's ServiceAccount issuer keys.
    IssuerKeys,
    /// Our own policies, RBAC and webhooks: the agent reads them as itself, compares them with what was installed, and tells what is not.
    GuardRead,
}

impl Purpose {
    /// The name of its built-in rule; `None` for a runner's operation, which a rule of the policy file or a default allows.
    pub const fn rule(self) -> Option<&'static str> {
        match self {
            Self::Operation => None,
            Self::LiveRead => Some("internal/live-read"),
            Self::Preview => Some("internal/preview"),
            Self::TokenReview => Some("internal/token-review"),
            Self::IssuerKeys => Some("internal/issuer-keys"),
            Self::GuardRead => Some("internal/guard-read"),
        }
    }

    /// The purpose that a rule's name stands for. Policy files can't define names below `internal/`; an unknown one there gets none.
    pub(crate) fn of_rule(rule: &str) -> Option<Self> {
        if !rule.starts_with("internal/") {
            return Some(Self::Operation);
        }
        [Self::LiveRead, Self::Preview, Self::TokenReview, Self::IssuerKeys, Self::GuardRead]
            .into_iter()
            .find(|purpose| purpose.rule() == Some(rule))
    }
}

/// As whom the agent asks the API server. The user is fixed and is the agent's own constant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Impersonation {
    /// The one group.
    pub group: Group,
    /// Hash of the asker, for the API server's audit log: joins its lines with ours without telling a backend who it is.
    pub subject: String,
}

impl Impersonation {
    /// Impersonation of a group on behalf of an asker.
    pub(crate) fn new(group: Group, asker: &Asker) -> Self {
        // Serialising a struct of strings can't fail; were it to, all askers would look alike in the audit log and nowhere else.
        let asker = serde_json::to_vec(asker).unwrap_or_default();
        Self { group, subject: URL_SAFE_NO_PAD.encode(digest(&SHA256, &asker)) }
    }
}

impl Impersonation {
    /// As whom the objects are read that the agent needs inside the operation.
    #[must_use]
    pub fn reading(&self) -> Self {
        let group = match self.group {
            Group::Approved => Group::Approved,
            Group::Read | Group::Write | Group::DryRun => Group::Read,
        };
        Self { group, subject: self.subject.clone() }
    }
}

/// One object, by its path in the API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Group, empty for the core group.
    pub api_group: String,
    /// Version.
    pub api_version: String,
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Resource (plural).
    pub resource: String,
    /// Name; empty for any one of the namespace.
    pub name: String,
}

impl Target {
    /// The object that a read of it would show.
    pub fn of(info: &RequestInfo) -> Self {
        Self {
            api_group: info.api_group.clone(),
            api_version: info.api_version.clone(),
            namespace: info.namespace.clone(),
            resource: info.resource.clone(),
            name: info.name.clone(),
        }
    }

    /// All objects of this one's resource in its namespace, by name.
    pub fn all_beside(info: &RequestInfo) -> Self {
        Self { name: String::new(), ..Self::of(info) }
    }

    /// The GET of it.
    pub fn info(&self) -> RequestInfo {
        RequestInfo {
            is_resource_request: true,
            non_resource_path: String::new(),
            verb: Verb::Get,
            api_group: self.api_group.clone(),
            api_version: self.api_version.clone(),
            namespace: self.namespace.clone(),
            resource: self.resource.clone(),
            subresource: String::new(),
            name: self.name.clone(),
            proxy_path: String::new(),
        }
    }

    /// Its path in the API, escaped.
    pub fn path(&self) -> String {
        self.info().path()
    }
}

/// The spent approval, and what it was given for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalClaim {
    /// The approval; its hash names the spent-Lease.
    pub approval: ApprovalId,
    /// The hold that it answered.
    pub hold: HoldId,
    /// What the people saw.
    pub intent: Digest,
    /// The state of the object that they saw.
    pub pin: VersionPin,
    /// From then on it is worth nothing; the spent-Lease is kept beyond it.
    pub expires: Timestamp,
    /// The approvers' signatures over its [`crate::statement::Statement`], where votes had one. Agents take them and don't verify them:
    /// keys of approvers (`approvers.yaml`) are not there yet, and until then an approval rests on the control plane alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<SignedVote>,
}
