//! `sallyport`: the control plane, and the command line of approvers and auditors.

use std::process::ExitCode;

fn main() -> ExitCode {
    control_plane::cli::run()
}
