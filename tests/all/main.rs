//! All integration tests, in one binary: one link, one cluster.

#[cfg(test)]
mod agent;
mod bypass;
mod clients;
mod cluster;
mod differential;
mod hostile;
mod injection;
mod install;
mod issuers;
mod masked_fields;
mod node;
mod people;
mod preconditions;
mod printed;
mod rbac;
mod restarts;
mod rogue;
mod stories;
mod tidy;
mod web;
