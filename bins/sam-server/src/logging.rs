//! Log lines on standard error.

use sam_core::{Error, ErrorKind, Result};
use tracing_subscriber::EnvFilter;

/// Starts logging by a filter such as `info` or `sam_core=debug,warn`; once for each process.
///
/// # Errors
/// `BadInput` when the filter cannot be read or logging has started before.
pub fn start(filter: &str, json: bool) -> Result<()> {
    let bad =
        |message: String| Error::new(ErrorKind::BadInput, message).with_hint("try SAM_LOG=info");
    let filter = EnvFilter::try_new(filter).map_err(|error| bad(error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started =
        if json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    started.map_err(|error| bad(error.to_string()))
}
