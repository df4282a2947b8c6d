//! The one connection to the control plane: made again whenever it is lost, with a session on it.

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::chain::Chain;
use shared::{limits, wire};
use shared_net::backoff::{Backoff, jitter};
use shared_net::clock::Clock;
use shared_net::dial::{self, DialError};
use shared_net::endpoint::{Connection, Endpoint};
use shared_net::pki::{Identity, KeyPin};
use shared_net::quic::{self, ConfigError};
use tokio::sync::{Notify, watch};

use crate::config::Address;
use crate::session::{self, Session, SessionError, TokenFiles, Verdict};

/// A connection with a session.
#[derive(Clone, Debug)]
pub(crate) struct Up {
    pub(crate) connection: Connection,
    pub(crate) session: Session,
}

#[derive(Clone, Debug)]
enum State {
    Down(Arc<str>),
    Refused(Arc<str>),
    Over(Arc<str>),
    Up(Up),
}

/// Why there is nothing to send on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoLink {
    /// Not reached in time; the last reason.
    Down(String),
    /// Reached, but it does not accept who we are; a fresh token may change that.
    Refused(String),
    /// Reached, and it has said that this key gets no session any more.
    Over(String),
}

/// What requests see of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    state: watch::Receiver<State>,
    signals: Arc<Signals>,
}

#[derive(Debug, Default)]
struct Signals {
    waiting: AtomicUsize,
    wake: Notify,
    renew: Notify,
    leave: Notify,
}

/// The task that keeps the connection.
#[derive(Debug)]
pub(crate) struct Keeper {
    address: Address,
    config: quinn::ClientConfig,
    tokens: TokenFiles,
    clock: Clock,
    /// The socket of the last attempt, with the connection that came of it.
    endpoint: Mutex<Option<Endpoint>>,
    state: watch::Sender<State>,
    signals: Arc<Signals>,
}

/// Counts a request that waits, so that attempts come faster.
struct Waiting<'a>(&'a Signals);

impl<'a> Waiting<'a> {
    fn new(signals: &'a Signals) -> Self {
        signals.waiting.fetch_add(1, Ordering::Relaxed);
        signals.wake.notify_one();
        Self(signals)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Link {
    /// A live connection with a session; waits for one up to `wait`.
    pub(crate) async fn ready(&self, wait: Duration) -> Result<Up, NoLink> {
        let mut state = self.state.clone();
        if let State::Up(up) = &*state.borrow_and_update()
            && up.connection.close_reason().is_none()
        {
            return Ok(up.clone());
        }
        let _waiting = Waiting::new(&self.signals);
        let settled = |state: &State| match state {
            State::Up(up) => up.connection.close_reason().is_none(),
            State::Refused(_) | State::Over(_) => true,
            State::Down(_) => false,
        };
        // Whatever ends the wait, the state says why.
        drop(tokio::time::timeout(wait, state.wait_for(settled)).await);
        match &*state.borrow() {
            State::Up(up) if up.connection.close_reason().is_none() => Ok(up.clone()),
            State::Up(_) => Err(NoLink::Down("connection lost".to_owned())),
            State::Refused(why) => Err(NoLink::Refused(why.as_ref().to_owned())),
            State::Over(why) => Err(NoLink::Over(why.as_ref().to_owned())),
            State::Down(why) => Err(NoLink::Down(why.as_ref().to_owned())),
        }
    }

    /// The connection with a session that there is just now. Unlike [`Link::ready`] it hurries nobody.
    pub(crate) fn now(&self) -> Option<Up> {
        match &*self.state.borrow() {
            State::Up(up) if up.connection.close_reason().is_none() => Some(up.clone()),
            State::Up(_) | State::Refused(_) | State::Over(_) | State::Down(_) => None,
        }
    }

    /// Resolves when there is a connection with a session; the keeper's pace is left as it is.
    pub(crate) async fn up(&self) -> Option<Up> {
        let mut state = self.state.clone();
        let up = |state: &State| matches!(state, State::Up(up) if up.connection.close_reason().is_none());
        state.wait_for(up).await.ok()?;
        self.now()
    }

    /// The control plane did not know our session any more: renew it now.
    pub(crate) fn renew(&self) {
        self.signals.renew.notify_one();
    }

    /// Has goodbye said, and waits until it was heard. There is no connection any more, and no other one will be made.
    pub(crate) async fn close(&self) {
        self.signals.leave.notify_one();
        let mut state = self.state.clone();
        // The keeper has the other end of this, and ends after its goodbye.
        while state.changed().await.is_ok() {}
    }
}

/// A link that is down until [`Keeper::run`] brings it up.
pub(crate) fn new(
    address: Address,
    identity: &Identity,
    pin: KeyPin,
    tokens: TokenFiles,
    clock: Clock,
) -> Result<(Link, Keeper), ConfigError> {
    let config = quic::client_config(identity, pin)?;
    let (sender, state) = watch::channel(State::Down("not tried yet".into()));
    let signals = Arc::new(Signals::default());
    let endpoint = Mutex::new(None);
    let keeper = Keeper { address, config, tokens, clock, endpoint, state: sender, signals: Arc::clone(&signals) };
    Ok((Link { state, signals }, keeper))
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("can't resolve {0}")]
    Resolve(String, #[source] io::Error),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("can't bind a UDP socket")]
    Bind(#[source] io::Error),
    #[error("can't connect to {0}")]
    Connect(SocketAddr, #[source] Box<DialError>),
}

impl Keeper {
    /// Keeps the connection until [`Link::close`], then says goodbye on whatever there is, be it without a session yet: a control plane
    /// that was not told takes the peer for alive until [`limits::IDLE`], and so long its own end would wait.
    pub(crate) async fn run(self) {
        tokio::select! {
            never = self.keep_trying() => match never {},
            () = self.signals.leave.notified() => {}
        }
        let endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(endpoint) = endpoint {
            // It is sent at once; what takes longer is to see that it was heard, by a peer that may not be there.
            let goodbye = endpoint.close(wire::code::SHUTDOWN, "sidecar stops");
            drop(tokio::time::timeout(limits::PEER_SETTLE, goodbye).await);
        }
    }

    async fn keep_trying(&self) -> Infallible {
        let mut backoff = Backoff::default();
        loop {
            match self.connect(backoff.patience(self.clock.monotonic())).await {
                Ok(connection) => self.keep(connection, &mut backoff).await,
                Err(error) => self.down(&Chain(&error)),
            }
            backoff.failed(self.clock.monotonic());
            self.pause(&backoff).await;
        }
    }

    fn down(&self, why: &dyn Display) {
        tracing::warn!(%why, "control plane can't be reached");
        self.state.send_replace(State::Down(why.to_string().into()));
    }

    async fn connect(&self, wait: Duration) -> Result<Connection, AttemptError> {
        let Address { host, port } = &self.address;
        let addresses = tokio::net::lookup_host((host.as_str(), *port))
            .await
            .map_err(|error| AttemptError::Resolve(host.clone(), error))?;
        let mut last = AttemptError::NoAddress(host.clone());
        for address in addresses {
            // A fresh socket for every attempt: a NAT that lost our mapping must not stand in the way of the next one.
            let any = match address {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            let endpoint = Endpoint::client(any).map_err(AttemptError::Bind)?;
            *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint.clone());
            match endpoint.dial(address, self.config.clone(), wait).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = AttemptError::Connect(address, Box::new(error)),
            }
        }
        Err(last)
    }

    /// Opens the session, renews it in time, and returns when the connection is lost.
    async fn keep(&self, connection: Connection, backoff: &mut Backoff) {
        let mut up = false;
        loop {
            let tokens = self.tokens.read();
            let result = match &tokens {
                Ok(tokens) => session::open(&connection, tokens, &self.clock).await,
                Err(_) => Err(SessionError::Garbled),
            };
            let result = match tokens {
                Ok(tokens) => result.map(|session| (session, tokens)),
                Err(error) => Err(error.into()),
            };
            if let Some(reason) = connection.close_reason() {
                self.down(&reason);
                return;
            }
            let wait = async {
                match result {
                    Ok((session, tokens)) => {
                        backoff.succeeded();
                        if !up {
                            tracing::info!(session.id = %session.id, peer = %connection.remote_address(), "session is open");
                            dial::tell(&connection);
                        }
                        up = true;
                        self.state.send_replace(State::Up(Up { connection: connection.clone(), session }));
                        self.renewal(&session, &tokens).await;
                    }
                    Err(error) => {
                        backoff.failed(self.clock.monotonic());
                        let why = Chain(&error).to_string();
                        tracing::warn!(why, up, "session was not opened");
                        // A session that is open stays in use until the control plane refuses it.
                        if !up {
                            self.state.send_replace(match error.verdict() {
                                Some(Verdict::Refused) => State::Refused(why.into()),
                                Some(Verdict::Over) => State::Over(why.into()),
                                None => State::Down(why.into()),
                            });
                        }
                        self.pause(backoff).await;
                    }
                }
            };
            tokio::select! {
                () = wait => {}
                reason = connection.closed() => {
                    self.down(&reason);
                    return;
                }
            }
        }
    }

    /// Resolves when the session should be renewed: in time, when a token changed, or when the control plane forgot it.
    async fn renewal(&self, session: &Session, tokens: &session::Tokens) {
        loop {
            let left = session.renew_at().saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                // A session with no life left, as with a token that has expired and is still let in for its leeway: each renewal costs the
                // cluster a review, so that is no loop to be in a hurry in.
                tokio::time::sleep(limits::RENEW_PAUSE).await;
                return;
            }
            tokio::select! {
                () = self.clock.sleep(left.min(limits::TOKEN_POLL)) => {}
                () = self.signals.renew.notified() => {
                    tokio::time::sleep(limits::BACKOFF_FIRST).await;
                    return;
                }
            }
            // A file that can't be read just now is no reason to drop a good session.
            if self.tokens.read().is_ok_and(|now| !now.same(tokens)) {
                return;
            }
        }
    }

    /// Exponential back-off with full jitter; short while a request waits.
    async fn pause(&self, backoff: &Backoff) {
        let ceiling = backoff.ceiling(self.clock.monotonic());
        if self.signals.waiting.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(jitter(ceiling.min(limits::BACKOFF_BUSY))).await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(jitter(ceiling)) => {}
            () = self.signals.wake.notified() => tokio::time::sleep(jitter(ceiling.min(limits::BACKOFF_BUSY))).await,
        }
    }
}
