//! A pod has one living session, and it belongs to the key of the pod's own sidecar.
//!
//! A pod's token is good in whoever's hands it is: a copy of it, shown by another pod, verifies like the original. What a copy does not give
//! is the place of the sidecar that came first. So while that sidecar lives, another key gets nothing with a token of the same pod, and the
//! attempt is an attack signal.
//!
//! A sidecar that was killed leaves a connection that looks alive, and the kubelet starts the next one at once, with a new key and the same
//! token. It must not have to wait for [`limits::IDLE`], so here it is found out whether the old one can still be heard, which takes seconds
//! and one call. But whoever waits for that moment with a stolen token would have the same right to it. Two things tell them apart. The next
//! sidecar stands where the last one stood: a pod keeps its address while its containers restart, and no other pod has it. Or it
//! shows a token that is good for longer than the last one that the old sidecar showed: one that the kubelet has fetched since then, so that
//! a copy made before is of no use, however long its thief waits. Where neither is so, the answer is no: a pod that is made anew is
//! let in at once, for it is another pod.
//!
//! Addresses tell nothing apart where many pods come from one, as behind a NAT. That shows when somebody at the very address of a living
//! sidecar tries: from then on, for this pod, only a newer token counts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use control_plane_core::identity::PodIdentity;
use shared::limits;
use shared_net::endpoint::Connection;

use super::Session;
use crate::store::Shown;

/// Between two looks at whether somebody was heard.
const LOOK: Duration = Duration::from_millis(250);

/// What is known of the sidecar behind a session.
pub(super) struct Seat {
    /// Its connection, while there is one; not kept any longer, for it holds a place among the peers.
    connection: Option<Connection>,
    shown: Shown,
    /// Somebody else has come from the same address while it was alive.
    shares_address: bool,
}

/// How the sidecar of a pod was found when another key showed a token of that pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It was heard.
    Alive,
    /// It has gone, and whoever asks may follow it.
    Free,
    /// It has gone, and whoever asks is not known to be of its pod.
    NotForYou,
}

impl Seat {
    pub(super) const fn new(shown: Shown) -> Self {
        Self { connection: None, shown, shares_address: false }
    }

    fn may_be_followed_by(&self, next: Shown) -> bool {
        let newer = next.token_expires > self.shown.token_expires;
        newer || (next.address == self.shown.address && !self.shares_address)
    }
}

impl Session {
    /// Its sidecar has opened or renewed it on this connection.
    pub(super) fn sit(&self, connection: &Connection, shown: Shown) {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        seat.connection = Some(connection.clone());
        seat.shown = shown;
    }

    /// This connection of its sidecar has ended.
    pub fn left(&self, connection: &Connection) {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        seat.connection.take_if(|own| own.same(connection));
    }

    /// Its sidecar's connection, if there is one.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).connection.clone()
    }

    /// Finds out whether its sidecar lives, and whether another key may follow it.
    pub(super) async fn seek(&self, next: Shown) -> Found {
        while let Some(connection) = self.connection() {
            if is_heard(&connection).await {
                let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
                seat.shares_address |= seat.shown.address == next.address;
                return Found::Alive;
            }
            // It may have come back on another connection meanwhile.
            if self.connection().is_none_or(|now| now.same(&connection)) {
                break;
            }
        }
        let seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        if seat.may_be_followed_by(next) { Found::Free } else { Found::NotForYou }
    }
}

/// Whether a peer is heard within [`limits::PEER_SILENCE`].
async fn is_heard(connection: &Connection) -> bool {
    let listen = async {
        // What a dead process sent is no sign of life.
        tokio::time::sleep(limits::PEER_SETTLE).await;
        let before = connection.heard();
        let mut silence = Duration::ZERO;
        while silence < limits::PEER_SILENCE {
            tokio::time::sleep(LOOK).await;
            if connection.heard() != before {
                return true;
            }
            silence = silence.saturating_add(LOOK);
        }
        false
    };
    tokio::select! {
        biased;
        _ = connection.closed() => false,
        heard = listen => heard,
    }
}

/// Which session is a pod's.
#[derive(Default)]
pub(super) struct Seats(Mutex<HashMap<Pod, Weak<Session>>>);

/// Cluster and uid: a name is given again, a uid is not.
type Pod = (String, String);

fn of(pod: &PodIdentity) -> Pod {
    (pod.cluster.clone(), pod.pod_uid.clone())
}

impl Seats {
    /// The session of a pod, as far as this process has seen it.
    pub(super) fn get(&self, pod: &PodIdentity) -> Option<Arc<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&of(pod))?.upgrade()
    }

    /// Makes it the session of its pod, if that is still the one that was found to have gone: of several that come at once, one is first.
    pub(super) fn take(&self, session: &Arc<Session>, gone: Option<&Arc<Session>>) -> bool {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pod = of(session.identity.pod());
        let now = seats.get(&pod).and_then(Weak::upgrade);
        let free = now.is_none_or(|now| {
            now.peer == session.peer || now.is_over() || gone.is_some_and(|gone| Arc::ptr_eq(gone, &now))
        });
        if free {
            seats.insert(pod, Arc::downgrade(session));
        }
        free
    }

    /// Forgets those that nobody remembers.
    pub(super) fn sweep(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, session| session.strong_count() > 0);
    }
}

/// The address as it is compared: one that is mapped into IPv6 is that of IPv4.
pub(super) fn address(connection: &Connection) -> IpAddr {
    connection.remote_address().ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use control_plane_core::policy::SessionFacts;
    use shared::ids::SessionId;
    use shared::time::Timestamp;
    use shared_net::tls::PeerKey;
    use uuid::Uuid;

    use super::*;
    use crate::store::SessionRow;

    const fn shown(last: u8, expires: u64) -> Shown {
        Shown { address: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, last)), token_expires: Timestamp(expires) }
    }

    #[test]
    fn the_next_sidecar_is_known_by_its_place_or_by_a_newer_token() {
        let mut seat = Seat::new(shown(1, 100));
        assert!(seat.may_be_followed_by(shown(1, 100)), "the kubelet restarted it");
        assert!(!seat.may_be_followed_by(shown(2, 100)), "a copy of its token, however long after");
        assert!(!seat.may_be_followed_by(shown(2, 99)), "an older copy");
        assert!(seat.may_be_followed_by(shown(2, 101)), "what a copy made before can't be");
        seat.shares_address = true;
        assert!(!seat.may_be_followed_by(shown(1, 100)), "the address says nothing any more");
        assert!(seat.may_be_followed_by(shown(1, 101)));
    }

    fn session(key: u8, pod_uid: &str) -> Arc<Session> {
        let pod = serde_json::json!({
            "cluster": "test", "namespace": "ci", "serviceAccount": "default", "pod": "job", "podUid": pod_uid,
        });
        let identity = serde_json::from_value(serde_json::json!({"pod": pod, "expires": 100})).unwrap();
        let (id, peer) = (SessionId::new(Uuid::from_u128(key.into())), PeerKey([key; 32]));
        let row = SessionRow::of(id, peer, identity, Timestamp(1), shown(1, 100));
        Session::new(row, SessionFacts::default(), None)
    }

    #[test]
    fn of_several_that_come_at_once_one_is_first() {
        let seats = Seats::default();
        let [old, next, thief] = [1, 2, 3].map(|key| session(key, "uid"));
        assert!(seats.take(&old, None) && seats.take(&old, None));
        assert!(!seats.take(&thief, None), "nobody found the old one gone");
        assert!(seats.take(&session(4, "another"), None), "another pod of the same name");
        assert!(seats.take(&next, Some(&old)));
        assert!(!seats.take(&thief, Some(&old)), "he had found the same, and was later");
        assert!(Arc::ptr_eq(&seats.get(next.identity.pod()).unwrap(), &next));
        next.over.send_replace(Some("revoked".to_owned()));
        assert!(seats.take(&thief, None), "a session that was ended holds nothing");
        drop((thief, old, next));
        seats.sweep();
        assert_eq!(seats.0.lock().unwrap().len(), 0);
    }
}
