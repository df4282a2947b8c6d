//! Internal operations: what Sallyport asks a cluster for itself. This is the one place that lets them, and the list is closed:
//! [`Purpose`]. Each has a built-in rule `internal/<name>`, so it is named in records and grants like any other.

use shared::ids::{OperationId, SessionId};
use shared::time::Timestamp;

use crate::attributes::Attributes;
use crate::decision::{Allowed, Effect, Explanation, Group};
use crate::grant::{Purpose, Target};
use crate::identity::{Identity, PodIdentity};
use crate::request::Request;
use crate::request_info::{RequestInfo, RequestInfoError, Verb};

/// The request is not the one that such an operation makes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no {1:?}")]
pub struct NotInternal(String, Purpose);

/// The right to one grant for an internal operation.
///
/// # Errors
/// [`NotInternal`]: a request of another shape, or [`Purpose::Operation`].
pub fn allow(purpose: Purpose, attributes: Attributes) -> Result<Allowed, NotInternal> {
    let rule = purpose.rule().filter(|_| fits(purpose, attributes.info()));
    let Some(rule) = rule else {
        let info = attributes.info();
        return Err(NotInternal(format!("{} {}", info.verb, info.resource_word()), purpose));
    };
    let explanation = Explanation {
        rule: rule.to_owned(),
        effect: Effect::Allow,
        risk: 0,
        hold_at: 0,
        deny_at: 0,
        contributions: Vec::new(),
        notes: Vec::new(),
    };
    Ok(Allowed { attributes, explanation, group: Group::Read, mask: Vec::new(), hide: Vec::new(), approval: None })
}

/// A read of one of Sallyport's own objects, asked for by nobody but us: no runner stands behind it, and its identity opens nothing else.
///
/// # Errors
/// The target is no object that a GET could read.
pub fn guard_read(
    cluster: &str,
    operation: OperationId,
    session: SessionId,
    target: &Target,
) -> Result<Attributes, RequestInfoError> {
    let pod = PodIdentity {
        cluster: cluster.to_owned(),
        namespace: "sallyport".to_owned(),
        service_account: "sallyport-control-plane".to_owned(),
        pod: String::new(),
        pod_uid: String::new(),
    };
    let identity = Identity { pod, ci: None, expires: Timestamp(0) };
    Ok(Attributes::new(identity, operation, session, Request::read(&target.info())?))
}

fn fits(purpose: Purpose, info: &RequestInfo) -> bool {
    match purpose {
        Purpose::Operation => false,
        Purpose::LiveRead | Purpose::GuardRead => {
            info.is_resource_request && info.verb == Verb::Get && !info.name.is_empty() && info.subresource.is_empty()
        }
        Purpose::TokenReview => {
            info.verb == Verb::Create
                && info.api_group == "authentication.k8s.io"
                && info.resource == "tokenreviews"
                && info.subresource.is_empty()
        }
        Purpose::IssuerKeys => {
            !info.is_resource_request && info.verb == Verb::Get && info.non_resource_path == "/openid/v1/jwks"
        }
        // The server's own dry run is not asked for yet.
        Purpose::Preview => false,
    }
}
