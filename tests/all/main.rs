//! All integration tests, in one binary: one link, one cluster.

#[cfg(test)]
mod agent;
mod clients;
mod cluster;
mod differential;
mod hostile;
mod rbac;
mod issuers;
mod masked_fields;
mod people;
mod preconditions;
mod printed;
mod restarts;
mod stories;
mod tidy;
mod web;
