//! The `multipeer` command.

mod cli;
mod command;
mod failure;
mod given;
mod network;
mod output;
mod trust;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use self::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("MULTIPEER_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let json = cli.common.json;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::failure(&error.into(), json);
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(command::run(cli));
    // Whoever still waits for a line of input is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure, json);
            failure.exit_code()
        }
    }
}
