//! All integration tests, in one binary: one link, one cluster.

mod cluster;
mod differential;
mod stories;
mod tidy;
