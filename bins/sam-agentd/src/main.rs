//! `sam-agentd`: holder and agent of a node.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sam_core::Report;

/// The processes of a SAM node.
#[derive(Debug, Parser)]
#[command(name = "sam-agentd", version, about)]
struct Flags {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Keep the link to the control plane, and serve what it asks
    Agent {
        /// The node's directory
        #[arg(long)]
        dir: PathBuf,
    },
    /// Answer git in a workspace when it asks for a credential
    #[command(name = "git-credential", hide = true)]
    GitCredential {
        /// What git wants: get, store or erase
        action: String,
    },
    /// Keep terminals and commands, and the agent running
    Holder {
        /// The node's directory
        #[arg(long)]
        dir: PathBuf,
    },
}

#[expect(clippy::print_stderr, reason = "a program talks to its terminal")]
fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let environment = std::env::vars_os().collect();
    let program = match std::env::current_exe() {
        Ok(program) => program.into_os_string(),
        Err(error) => {
            eprintln!("sam-agentd: this program does not know where it is: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match Flags::parse().part {
        Part::Agent { dir } => sam_agentd::agent(&dir, &program, environment),
        Part::GitCredential { action } => sam_agentd::git_credential(&action, &environment),
        Part::Holder { dir } => sam_agentd::holder(&dir, &program, environment),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sam-agentd: {}", Report::new(&error));
            ExitCode::from(error.kind().exit_code())
        }
    }
}
