//! All integration tests, in one binary: one link, one cluster.

#[cfg(test)]
mod agent;
mod agent_rights;
mod bypass;
mod check_config;
mod clients;
mod cluster;
mod differential;
mod doctor;
mod golden;
mod guard;
mod holds;
mod hostile;
mod injection;
mod install;
mod intruders;
mod issuer_keys;
mod issuers;
mod masked_fields;
mod node;
mod outcomes;
mod people;
mod policy_file;
mod policy_mask;
mod policy_words;
mod preconditions;
mod printed;
mod rbac;
mod restarts;
mod scripts;
mod stories;
mod strangers;
mod tidy;
mod told;
mod web;
