//! What every Sallyport process needs of the network: keys, TLS, QUIC endpoints, exchanges, and the life of a process (tasks, drain,
//! readiness, telemetry). Nothing here knows what an exchange means.
//!
//! Invariant: one bidirectional QUIC stream carries one HTTP/1.1 exchange, and a stream that ends without being finished is a reset, so a
//! cancelled or broken exchange can't be taken for a complete one.

pub mod admin;
pub mod backoff;
pub mod body;
pub mod clock;
pub mod crypto;
pub mod dial;
pub mod drain;
pub mod endpoint;
pub mod enrolment;
pub mod exchange;
pub mod memory;
pub mod metrics;
pub mod pki;
pub mod quic;
pub mod ready;
pub mod shares;
pub mod signals;
pub mod strangers;
pub mod stream;
pub mod tasks;
pub mod tcp;
pub mod telemetry;
pub mod tls;
mod udp;
pub mod validity;
