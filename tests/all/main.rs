//! All integration tests, in one binary: one link, one cluster.

#[cfg(test)]
mod agent;
mod agents;
mod bypass;
mod clients;
mod clocks;
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
mod stories;
mod tidy;
mod web;
