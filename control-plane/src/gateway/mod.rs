//! The gateway: every operation passes here, stage by stage.

pub mod log;
