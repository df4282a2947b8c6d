//! All integration tests, in one binary: one link, one cluster.

mod cluster;
mod differential;
mod preconditions;
mod stories;
mod tidy;
