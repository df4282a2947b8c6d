//! The internal operation `issuer-keys`: which keys a cluster publishes for its ServiceAccount tokens. Asked of an agent whose own token
//! was verified under keys that are known; [`crate::issuer_keys`] judges the answer.

use bytes::Bytes;
use control_plane_core::attributes::Attributes;
use control_plane_core::grant::Purpose;
use control_plane_core::identity::Identity;
use control_plane_core::request::Request;
use http::{HeaderMap, Method, StatusCode, Uri};
use shared::ids::{OperationId, SessionId};
use uuid::Uuid;

use super::internal::Beside;
use super::{Agents, InternalError};
use crate::config::Cluster;

impl Agents {
    /// The key set (RFC 7517) as the API server gives it.
    pub async fn issuer_keys(&self, cluster: &Cluster) -> Result<Bytes, InternalError> {
        let not_made = |error| InternalError::NotMade(Box::new(error));
        let uri = Uri::from_static("/openid/v1/jwks");
        let request = Request::parse(&Method::GET, &uri, &HeaderMap::new(), Bytes::new()).map_err(not_made)?;
        let who = Identity::of_agent(&cluster.name, &cluster.agent_namespace, &cluster.agent_service_account);
        // No session of a runner's: it stands in the record by itself.
        let session = SessionId::new(Uuid::nil());
        let attributes = Attributes::new(who, OperationId::new(Uuid::now_v7()), session, request);
        match self.ask_cluster(Purpose::IssuerKeys, attributes, None, &cluster.name, Beside::Nothing).await? {
            (StatusCode::OK, body) => Ok(body),
            (StatusCode::FORBIDDEN, _) => Err(InternalError::NoRight),
            (other, _) => Err(InternalError::Status(other.as_u16())),
        }
    }
}
