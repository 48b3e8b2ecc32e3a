//! `sam-server`: the control plane on a TCP address.

use std::process::ExitCode;

use sam_core::Report;
use sam_server::config::ServerConfig;
use sam_server::{logging, server, signals, tasks};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its terminal")]
fn main() -> ExitCode {
    let run = || {
        let config = ServerConfig::read()?;
        logging::start(&config.log, config.log_json)?;
        let started = |started: server::Started| {
            if let Some(token) = &started.fresh_admin_token {
                println!("administrator's token (shown once): {}", token.expose());
            }
            println!("listening on http://{}", started.address);
        };
        signals::block_on(tasks::carry_out(config, started, signals::ended()))
    };
    match run() {
        Ok(told) => {
            if let Some(told) = told {
                println!("{told}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sam-server: {}", Report::new(&error));
            if let Some(hint) = error.hint() {
                eprintln!("  hint: {hint}");
            }
            ExitCode::from(error.kind().exit_code())
        }
    }
}
