//! The attribute stage: room is taken, then the body is read to its bound and parsed. A body can be long on its way, so who asks is
//! looked at again when it is here, and a session that ends meanwhile waits for none of it.

use std::sync::Arc;

use control_plane_core::attributes::{Attributes, check_operation_id};
use control_plane_core::request::Request;
use shared::ids::OperationId;

use super::Gateway;
use super::accept::{Accepted, Read};
use super::refusal::Refusal;
use crate::sessions::{Claim, Content, Place, Running, Session, SessionError, Use};

impl Gateway {
    pub(super) async fn attribute(
        &self,
        session: &Session,
        accepted: Accepted,
    ) -> Result<(Attributes, Place), Refusal> {
        let id = accepted.id();
        check_operation_id(id, session.opened(), self.recorder.clock.steady()).map_err(Refusal::OperationId)?;
        let mut place = session.enter().map_err(Refusal::Session)?;
        let read = match accepted.body_bytes() {
            None => accepted.read().await?,
            Some(bytes) => tokio::select! {
                read = self.read(&mut place, accepted, bytes) => read?,
                why = session.ended() => return Err(Refusal::Session(SessionError::Over(why))),
            },
        };
        let identity = session.identify(self.recorder.clock.now()).map_err(Refusal::Session)?;
        let parts = read.parts;
        let request = Request::parse(&parts.method, &parts.uri, &parts.headers, read.body).map_err(Refusal::Request)?;
        place.keep(request.memory());
        Ok((Attributes::new(identity, id, session.id(), request), place))
    }

    async fn read(&self, place: &mut Place, accepted: Accepted, bytes: usize) -> Result<Read, Refusal> {
        place.make_room(&self.bodies, bytes).await.map_err(Refusal::Session)?;
        accepted.read().await
    }

    /// Registers the operation as under way, after waiting for a run of the same id to end. Says whether it may have run before.
    pub(super) async fn claim(
        &self,
        session: &Arc<Session>,
        id: OperationId,
        content: Content,
        mut place: Place,
    ) -> Result<(Running, Use), Refusal> {
        loop {
            match session.run(id, content, place) {
                Claim::Mine(running, used) => return Ok((running, used)),
                Claim::Other => return Err(Refusal::OtherContent),
                Claim::Theirs(mut done, back) => {
                    place = back;
                    drop(done.wait_for(|done| *done).await);
                }
            }
        }
    }
}
