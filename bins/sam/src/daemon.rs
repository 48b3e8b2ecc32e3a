//! Being the daemon: leaving the session of whoever started it, serving, and saying on standard
//! output when it is ready, or why it is not.

use std::io::{self, Write as _};
use std::path::Path;

use sam_api::{DAEMON_READY_LINE, StartFailure};
use sam_core::{Error, ErrorKind, Result};
use sam_server::daemon::DaemonConfig;
use sam_server::signals;

use crate::config;

/// Serves `data_dir` until the daemon is told to end or has nothing to do.
pub(crate) fn run(data_dir: &Path) -> Result<()> {
    // So that no Ctrl-C and no closed window of the starter reaches it. Fails where it leads a
    // group already, that is where a person or a service started it by itself: then it may stay.
    let _session = rustix::process::setsid();
    let outcome = serve(data_dir, &|| say(DAEMON_READY_LINE));
    if let Err(error) = &outcome
        && let Ok(line) = serde_json::to_string(&StartFailure::from(error))
    {
        say(&line);
    }
    outcome
}

/// Runs the server; `ready` is called once connections are accepted.
fn serve(data_dir: &Path, ready: &dyn Fn()) -> Result<()> {
    config::start_log();
    let program = config::current_exe().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "this program does not know where it is")
            .with_source(error)
    })?;
    let config = DaemonConfig::new(data_dir.to_owned(), vec![program.into_os_string()])
        .with_environment(sam_server::config::node_environment())
        .with_policy(config::policy()?)
        .with_github(config::github()?)
        .with_providers(config::providers()?);
    signals::block_on(sam_server::daemon::run(config, ready, signals::ended()))
}

fn say(line: &str) {
    // Whoever started it may be gone; that is no reason to end.
    let _outcome = writeln!(io::stdout().lock(), "{line}");
}
