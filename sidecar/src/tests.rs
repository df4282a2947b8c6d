//! The sidecar as a whole, between real clients on one side and a control plane in this process on the other.

mod corpus;
mod fake;
mod lost;
mod round_trip;
mod smuggling;
mod upgrade;

/// What a connection needs, with a control plane that is never reached.
fn gate(clock: &shared_net::clock::Clock) -> crate::listener::Gate {
    let identity = shared_net::pki::Identity::self_signed(clock.now(), std::time::Duration::from_secs(60)).unwrap();
    let address = crate::config::Address { host: "127.0.0.1".to_owned(), port: 1 };
    let tokens = crate::session::TokenFiles { pod: None, ci: None };
    let (link, _keeper) = crate::link::new(address, &identity, identity.pin(), tokens, clock.clone()).unwrap();
    let (_trigger, drain) = shared_net::drain::channel();
    std::mem::forget(_trigger);
    crate::listener::Gate {
        guard: crate::guard::Guard::new(
            crate::hosts::Hosts::new("127.0.0.1:6443".parse().unwrap()),
            shared::secret::Secret::new("token".to_owned()),
        ),
        forwarder: crate::forward::Forwarder::new(link, clock.clone(), std::time::Duration::from_secs(1)),
        clock: clock.clone(),
        tasks: shared_net::tasks::TaskSet::new(),
        drain,
    }
}
