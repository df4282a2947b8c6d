//! The agent: the only process with a credential of its cluster. It verifies every grant itself, sends nothing that was not granted,
//! and masks inside the cluster.
//!
//! Start reading at [`operation`], which shows the path of one granted request.

pub mod answer;
pub mod apart;
pub mod app;
pub mod config;
pub mod disclosure;
pub mod enrolment;
pub mod guard;
mod hidden;
pub mod leases;
pub mod leaving;
pub mod link;
pub mod lives;
pub mod masked;
pub mod metrics;
mod obligations;
pub mod operation;
mod prepare;
pub mod ration;
pub mod refusal;
pub mod report;
pub mod review;
pub mod room;
pub mod rules;
pub mod serve;
pub mod spent;
pub mod text;
pub mod unread;
pub mod upstream;
mod warning;
