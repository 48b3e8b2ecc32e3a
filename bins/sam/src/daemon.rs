//! Being the daemon: leaving the session of whoever started it, serving, and saying on standard
//! output when it is ready, or why it is not.

use std::io::{self, Write as _};
use std::path::Path;

use sam_api::{DAEMON_READY_LINE, StartFailure};
use sam_core::{Error, ErrorKind, Result};

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
fn serve(data_dir: &Path, _ready: &dyn Fn()) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "this build of sam has no daemon")
        .with_context("data_dir", data_dir.display())
        .with_hint("use --server URL, or build sam with its server"))
}

fn say(line: &str) {
    // Whoever started it may be gone; that is no reason to end.
    let _outcome = writeln!(io::stdout().lock(), "{line}");
}
