//! All integration tests, in one binary: one link, one cluster.

#[cfg(test)]
mod agent;
mod bypass;
mod clients;
mod cluster;
mod differential;
mod doctor;
mod guard;
mod holds;
mod hostile;
mod injection;
mod install;
mod intruders;
mod issuers;
mod masked_fields;
mod node;
mod outcomes;
mod people;
mod preconditions;
mod printed;
mod rbac;
mod restarts;
mod stories;
mod tidy;
mod web;
