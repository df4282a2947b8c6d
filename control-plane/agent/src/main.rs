//! `sallyport-agent [FILE]`: enforces grants inside one cluster. `sallyport-agent check-config [FILE]` only says what is wrong with it.

use std::process::ExitCode;

use agent::{app, config};
use shared::config::EXIT_CONFIG;
use shared_net::clock::Clock;
use shared_net::signals;

#[expect(clippy::print_stderr, reason = "logging can't be started without a configuration")]
fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let only_check = arguments.next_if(|word| word == "check-config").is_some();
    let config = match config::load(arguments.next().map(Into::into)) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("sallyport-agent: {problems}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if only_check {
        return ExitCode::SUCCESS;
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sallyport-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: config::Config) -> anyhow::Result<()> {
    shared_net::crypto::install_default();
    app::start_logging(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = signals::stop()?;
        let bound = app::build(config, Clock::system()).await?;
        tracing::info!(admin = %bound.admin_address()?, "started");
        bound.run(stop).await
    })
}
