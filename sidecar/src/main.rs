//! `sallyport-sidecar [ready | wait | check-config | probe]`; everything else is said by the environment.

use std::process::ExitCode;

use shared::chain::Chain;
use shared::config::EXIT_CONFIG;
use shared_net::clock::Clock;
use shared_net::signals;
use sidecar::config::{Config, Network};
use sidecar::{app, probe, ready, runtime};

#[expect(clippy::print_stderr, reason = "a command line program says why it ends")]
fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    if command.as_deref() == Some("probe") {
        return probe();
    }
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    shared_net::crypto::install_default();
    let result = match command.as_deref() {
        None => shared_net::telemetry::init(&config.log).map_err(Into::into).and_then(|()| {
            runtime::block_on(async {
                let stop = signals::stop()?;
                app::build(config, Clock::system()).await?.run(stop).await
            })
        }),
        Some("ready") => runtime::block_on(async { Ok(ready::check(&config).await?) }),
        Some("wait") => runtime::block_on(async { Ok(ready::wait(&config).await?) }),
        Some("check-config") => Ok(()),
        Some(other) => {
            Err(anyhow::anyhow!("unknown command {other:?}; expected ready, wait, check-config, probe, or none"))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sallyport-sidecar: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Prints what is open from here, and whether a call gets through, as one line.
#[expect(clippy::print_stderr, clippy::print_stdout, reason = "a command line program prints")]
fn probe() -> ExitCode {
    let network = match Network::from_env() {
        Ok(network) => network,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    shared_net::crypto::install_default();
    let probed = runtime::block_on(async { Ok(serde_json::to_string(&probe::run(&network).await)?) });
    match probed {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sallyport-sidecar: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}
