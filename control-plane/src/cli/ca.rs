//! `sallyport ca`: a new authority for the control plane, whose key agents and sidecars pin.

use std::path::PathBuf;

use shared_net::clock::Clock;
use shared_net::pki::Ca;

use super::print;

/// What to do.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a new one, which the one before vouches for: whoever pins either is served, from the control plane's next start on.
    Rotate {
        /// The control plane's data folder, or the folder that its configuration names as `ca`.
        data: PathBuf,
    },
    /// Trust the one before no more, from the control plane's next start on.
    Finish {
        /// The same folder.
        data: PathBuf,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Rotate { data } => {
            let ca = Ca::rotate(&data, super::CA_NAME, Clock::system().now())?;
            print(&format!(
                "The authority is new; its pin is {}\n\
                 1. Start the control plane again: whoever pins the one before goes on.\n\
                 2. Install each cluster again with the new pin (--pin); agents restart, and new Pods get it.\n\
                 3. When the Pods from before have ended: sallyport ca finish {}",
                ca.pin(),
                data.display()
            ));
        }
        Command::Finish { data } => {
            let was = Ca::finish(&data, super::CA_NAME)?;
            print(if was {
                "Start the control plane again: then whoever pins the authority before is refused."
            } else {
                "There is no authority before that would be trusted."
            });
        }
    }
    Ok(())
}
