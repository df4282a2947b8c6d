//! Internal operations: what we ask the cluster for ourselves. A closed list; each has an id, a record and a grant of its own, and its
//! `Allowed` comes from a built-in rule `internal/<name>`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::attributes::Attributes;
use control_plane_core::decision::Allowed;
use control_plane_core::digest::DigestKey;
use control_plane_core::grant::{Purpose, Target};
use control_plane_core::identity::Identity;
use control_plane_core::identity::verify::SIDECAR_AUDIENCE;
use control_plane_core::internal;
use control_plane_core::lifecycle::{Issued, Outcome};
use control_plane_core::mask::changes::{Reviewed, SecretWrite};
use control_plane_core::request::Request;
use control_plane_core::request_info::RequestInfo;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use serde_json::{Value, json};
use shared::ids::{OperationId, SessionId};
use shared::limits;
use shared_net::body::collect_bounded;
use uuid::Uuid;

use super::answer::AgentBody;
use super::forward::{self, ForwardError, Sent, forward_with};
use super::{AgentLink, Agents};
use crate::authn::AuthnError;
use crate::records::{Opens, OperationLog, opening};

/// An internal operation may take so long in all.
const WAIT: Duration = Duration::from_secs(10);

/// What goes with the question.
pub(super) enum Beside {
    /// It stands for itself.
    Nothing,
    /// The write that approvers look at.
    Review(Bytes),
    /// Objects that the agent looks at too.
    Reads(Vec<Target>),
}

/// Why an internal operation gave nothing. Whoever needed it fails closed.
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// No agent.
    #[error("no agent of cluster {0} is connected")]
    NoAgent(String),
    /// It could not be made or granted.
    #[error("the question could not be put")]
    NotMade(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its record was closed by somebody else.
    #[error("the question is not on record")]
    NotRecorded,
    /// No answer.
    #[error("the agent did not answer in time")]
    NoAnswer,
    /// The API server's RBAC has nothing for the group that we ask as.
    #[error("sallyport:read may not read it; an administrator can let it, see manifests/agent/rbac.yaml")]
    NoRight,
    /// An answer that helps nobody.
    #[error("the cluster answered {0}")]
    Status(u16),
    /// Not what was asked for.
    #[error("the answer is not an object")]
    Unreadable,
    /// An agent that knows nothing of the question.
    #[error("no agent of the cluster is of a version that can tell; sallyport upgrade brings one")]
    OldAgents,
}

fn not_made(error: impl std::error::Error + Send + Sync + 'static) -> InternalError {
    InternalError::NotMade(Box::new(error))
}

impl Agents {
    /// The live object that a request is about, masked, and what the request does to its masked values. The agent compares those: no
    /// value of the cluster comes here.
    pub async fn live_read(&self, for_whom: &Attributes, target: &RequestInfo) -> Result<Reviewed, InternalError> {
        let request = Request::read(target).map_err(not_made)?;
        let id = OperationId::new(Uuid::now_v7());
        let attributes = Attributes::new(for_whom.identity().clone(), id, for_whom.session(), request);
        let write = SecretWrite::of(for_whom.request());
        let review = write.map(|write| serde_json::to_vec(&write)).transpose().map_err(not_made)?.map(Bytes::from);
        let asked = review.is_some();
        let beside = review.map_or(Beside::Nothing, Beside::Review);
        let parent = Some(for_whom.operation());
        let (status, body) =
            self.ask_cluster(Purpose::LiveRead, attributes, parent, for_whom.cluster(), beside).await?;
        let unreadable = |_| InternalError::Unreadable;
        match status {
            StatusCode::OK if asked => serde_json::from_slice(&body).map_err(unreadable),
            StatusCode::OK => {
                let object: Value = serde_json::from_slice(&body).map_err(unreadable)?;
                let live = Some(object).filter(Value::is_object).ok_or(InternalError::Unreadable)?;
                Ok(Reviewed { live: Some(live), masked_fields: Some(Vec::new()) })
            }
            StatusCode::NOT_FOUND => Ok(Reviewed { live: None, masked_fields: Some(Vec::new()) }),
            StatusCode::FORBIDDEN => Err(InternalError::NoRight),
            other => Err(InternalError::Status(other.as_u16())),
        }
    }

    /// Whether the cluster says that a pod's token is alive. An agent can only say no: the signature was checked here before.
    pub async fn review_token(&self, identity: &Identity, session: SessionId, token: &str) -> Result<(), AuthnError> {
        let cluster = &identity.pod().cluster;
        if self.pick_or_wait(cluster).await.is_none() {
            return Err(AuthnError::NoReview(cluster.clone()));
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token, "audiences": [SIDECAR_AUDIENCE] },
        });
        let failed = |error: InternalError| AuthnError::Review(shared::chain::Chain(&error).to_string());
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let uri = Uri::from_static("/apis/authentication.k8s.io/v1/tokenreviews");
        let request = Request::parse(&Method::POST, &uri, &headers, Bytes::from(review.to_string()))
            .map_err(not_made)
            .map_err(failed)?;
        let attributes = Attributes::new(identity.clone(), OperationId::new(Uuid::now_v7()), session, request);
        let permit = tokio::time::timeout(WAIT, self.reviews.turn(cluster)).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(failed(InternalError::NoAnswer));
        };
        let answer = self.ask_cluster(Purpose::TokenReview, attributes, None, cluster, Beside::Nothing).await;
        let (status, body) = answer.map_err(failed)?;
        if !status.is_success() {
            return Err(failed(InternalError::Status(status.as_u16())));
        }
        let answer: Value = serde_json::from_slice(&body).map_err(|_| failed(InternalError::Unreadable))?;
        agrees(&answer, identity).map_err(|why| AuthnError::Review(why.to_owned()))
    }

    pub(super) async fn ask_cluster(
        &self,
        what: Purpose,
        attributes: Attributes,
        parent: Option<OperationId>,
        cluster: &str,
        beside: Beside,
    ) -> Result<(StatusCode, Bytes), InternalError> {
        let link = self.pick_or_wait(cluster).await.ok_or_else(|| InternalError::NoAgent(cluster.to_owned()))?;
        self.ask_through(what, attributes, parent, &link, beside).await
    }

    /// The same, of a certain agent first.
    pub(super) async fn ask_through(
        &self,
        what: Purpose,
        attributes: Attributes,
        parent: Option<OperationId>,
        link: &Arc<AgentLink>,
        beside: Beside,
    ) -> Result<(StatusCode, Bytes), InternalError> {
        tokio::time::timeout(WAIT, self.ask_agent(what, attributes, parent, link, beside))
            .await
            .map_err(|_| InternalError::NoAnswer)?
    }

    /// The whole path of an operation, as short as it is for one of ours: open, allow, issue, forward, record. When it is dropped on the
    /// way, its record is closed with what is known by then.
    async fn ask_agent(
        &self,
        what: Purpose,
        attributes: Attributes,
        parent: Option<OperationId>,
        link: &Arc<AgentLink>,
        beside: Beside,
    ) -> Result<(StatusCode, Bytes), InternalError> {
        let key = DigestKey::new(shared_net::crypto::random());
        let opens = if attributes.info().is_read() { Opens::Soon } else { Opens::WithGrant };
        let asker = attributes.identity().asker().to_string();
        let rule = what.rule().unwrap_or_default();
        let opening = opening::internal(rule, &attributes, parent, &key, &self.recorder);
        let opened = OperationLog::open(&self.recorder, opening, &key, asker, opens).await;
        let (mut log, _) = opened.map_err(not_made)?;
        let allowed = internal::allow(what, attributes).map_err(not_made)?;
        log.decided(allowed.explanation());
        let mut response = self.granted(what, allowed, &mut log, link, beside).await?;
        let (sent, refused) = forward::sent(response.headers_mut());
        let status = response.status();
        if refused.is_some() || sent != Sent::Yes {
            let reason = Some("the agent refused it, or could not say what became of it".to_owned());
            log.close_later(sent.outcome(status.as_u16()), status.as_u16(), reason);
            return Err(InternalError::Status(status.as_u16()));
        }
        // Its answer is not kept: of a live read the hold has what people see, of a review the token would be in it.
        log.answered(status.as_u16(), None);
        let body = collect_bounded(response.into_body(), limits::LIVE_OBJECT_BYTES, WAIT).await.map_err(not_made)?;
        log.close_later(Outcome::of_status(status.as_u16()), status.as_u16(), None);
        Ok((status, body))
    }

    /// issue → forward, and again on another connection where it is certain that nothing was sent.
    async fn granted(
        &self,
        what: Purpose,
        mut allowed: Allowed,
        log: &mut OperationLog,
        link: &Arc<AgentLink>,
        beside: Beside,
    ) -> Result<Response<AgentBody>, InternalError> {
        let (review, reads) = match beside {
            Beside::Nothing => (None, Vec::new()),
            Beside::Review(review) => (Some(review), Vec::new()),
            Beside::Reads(reads) => (None, reads),
        };
        let (mut link, mut again) = (Arc::clone(link), 0);
        loop {
            // First, for who has a place of a question waits for nothing.
            let (session, body) = (log.opening().session, review.as_ref().map_or(0, Bytes::len));
            let room = link.body_room(session, body).await.map_err(not_made)?;
            let share = link.streams.question(what, session).await.map_err(not_made)?;
            let issued = if log.is_durable() { Some(self.issued(log, &link).await?) } else { None };
            let outgoing = self.grants.issue_with(allowed, issued, &link, reads.clone()).map_err(not_made)?;
            log.sent(&outgoing.grant, link.id);
            let unspent = match forward_with(&link, outgoing, review.clone(), (share, room)).await {
                Ok(response) => return Ok(response),
                Err(ForwardError::NotSent { unspent, source }) => {
                    log.unsent();
                    if again == limits::ISSUED_AGAIN {
                        return Err(not_made(source));
                    }
                    unspent
                }
                Err(error) => return Err(not_made(error)),
            };
            again += 1;
            link = self.pick_other(&link).await.ok_or_else(|| InternalError::NoAgent(link.cluster.clone()))?;
            let now = self.recorder.clock.now();
            let returned = !log.is_durable()
                || self.recorder.store.never_spent(log.key(), unspent.jti(), now).await.map_err(not_made)?;
            if !returned {
                return Err(InternalError::NotRecorded);
            }
            allowed = unspent.again();
        }
    }

    async fn issued(&self, log: &mut OperationLog, link: &AgentLink) -> Result<Issued, InternalError> {
        let new = link.new_issue(self.recorder.store.life());
        log.issuing(&new);
        let issued = self.recorder.store.issue(log.key(), new, self.recorder.clock.now()).await.map_err(not_made)?;
        issued.ok_or(InternalError::NotRecorded)
    }
}

/// Compares the review with what the signature said.
fn agrees(answer: &Value, identity: &Identity) -> Result<(), &'static str> {
    let status = answer.get("status").ok_or("no status")?;
    if status.get("authenticated") != Some(&Value::Bool(true)) {
        return Err("the token is not alive: its pod or ServiceAccount is gone, or it was revoked");
    }
    let audiences = status.get("audiences").and_then(Value::as_array).ok_or("no audiences")?;
    if !audiences.iter().any(|audience| audience == SIDECAR_AUDIENCE) {
        return Err("the token is for another audience");
    }
    let pod = identity.pod();
    let user = status.get("user").ok_or("no user")?;
    let name = format!("system:serviceaccount:{}:{}", pod.namespace, pod.service_account);
    if user.get("username").and_then(Value::as_str) != Some(&name) {
        return Err("the cluster takes the token for another ServiceAccount's");
    }
    let uid = user.pointer("/extra/authentication.kubernetes.io~1pod-uid/0").and_then(Value::as_str);
    if uid != Some(&pod.pod_uid) {
        return Err("the cluster takes the token for another pod's");
    }
    Ok(())
}
