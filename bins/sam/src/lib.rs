//! Workspaces for coding agents from the command line.
//!
//! Invariants: standard output belongs to what a command gives, standard error to what it tells;
//! the environment is read in `config` alone; the exit status is the one
//! [`sam_core::ErrorKind::exit_code`] names, except that `exec` and `--exec` pass the command's
//! own on and use 125 for SAM's failures.

mod args;
mod attach;
mod commands;
mod config;
mod connect;
mod daemon;
mod deadline;
mod exec;
mod failure;
mod finding;
mod input;
mod logins;
mod node;
mod output;
mod progress;
mod repo;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use self::args::Args;
use self::failure::Failure;

/// Runs the command that the process was started with and returns its exit status.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help goes to standard output with status 0, a mistake to standard error with 2;
            // nothing is left to do where neither can be written.
            let _outcome = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let json = args.global.json;
    let own_failure = args.command.own_failure();
    match start(args) {
        Ok(status) => ExitCode::from(status),
        Err(Failure::Pipe) => ExitCode::from(failure::PIPE_STATUS),
        Err(Failure::Sam(error)) => {
            failure::tell(&error, json);
            ExitCode::from(own_failure.unwrap_or_else(|| error.kind().exit_code()))
        }
    }
}

fn start(args: Args) -> Result<u8, Failure> {
    let settings = config::settings(&args.global)?;
    if let Some(outcome) = commands::run_process(&args.command, &settings) {
        return outcome;
    }
    // Two threads: the renewal of a lease must not wait for a terminal that takes no output.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|cause| failure::system("the runtime cannot be started", cause))?;
    let outcome = runtime.block_on(commands::run(args.command, settings));
    // A thread that waits for input that never comes must not hold up the exit.
    runtime.shutdown_background();
    outcome
}
