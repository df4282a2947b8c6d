//! All integration tests, in one binary: one link, one cluster.

#[cfg(test)]
mod agent;
mod agent_rights;
mod bypass;
mod check_config;
mod clients;
mod cluster;
mod differential;
mod golden;
mod hostile;
mod injection;
mod install;
mod issuer_keys;
mod issuers;
mod masked_fields;
mod node;
mod people;
mod policy_file;
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
