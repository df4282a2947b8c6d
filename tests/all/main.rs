//! The one test binary.

mod differential;
