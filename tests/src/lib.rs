//! Harness of the stories: a real API server, unchanged clients, and the logs of our processes.
//!
//! What is missing fails a test; nothing here skips one. So the harness panics where a test would.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure of the harness is the failure of the test that uses it"
)]

pub mod bench;
pub mod canary;
pub mod cluster;
pub mod detour;
pub mod differential;
pub mod forger;
pub mod gate;
pub mod injector;
pub mod intruder;
pub mod issuer;
pub mod kubectl;
pub mod kubelet;
pub mod logs;
pub mod lossy;
pub mod node;
pub mod relay;
pub mod rogue;
pub mod stack;
pub mod tidy;
pub mod web;
