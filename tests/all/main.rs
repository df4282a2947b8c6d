//! All integration tests, in one binary: one link, one cluster.

#[cfg(test)]
mod agent;
mod clients;
mod cluster;
mod differential;
mod hostile;
mod preconditions;
mod rbac;
mod restarts;
mod stories;
mod tidy;
