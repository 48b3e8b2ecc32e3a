//! `sam github`: a GitHub App's key, its token, and what is wrong with its configuration.

mod args;
mod doctor;
mod jwt;
mod key;

pub(crate) use self::args::Github;
use crate::config;
use crate::failure::Failure;
use crate::output::Output;

/// Runs a command; none of them asks a server of ours.
pub(super) async fn run(output: Output, command: Github) -> Result<u8, Failure> {
    match command {
        Github::Key { command } => key::run(output, command),
        Github::Jwt { app_id, key } => jwt::run(&config::github()?, app_id, key.as_deref()).await,
        Github::Doctor { url } => doctor::run(output, &config::github()?, url.as_deref()).await,
    }
}
