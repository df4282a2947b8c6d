//! Harness.

pub mod differential;
