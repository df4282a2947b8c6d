//! All integration tests, in one binary: one link, one cluster.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod cluster;
mod tidy;
