//! The daemon that serves one data directory over a Unix socket.

use serde::{Deserialize, Serialize};

use sam_core::{Error, ErrorKind};

use crate::Time;

/// The line a daemon writes to its standard output once it accepts connections.
pub const DAEMON_READY_LINE: &str = "ready";

/// What a daemon says of itself: `GET /api/daemon`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The directory it holds.
    pub data_dir: String,
    /// When it started.
    pub started_at: Time,
    /// Nodes that are not deleted.
    pub nodes: u64,
    /// Workspaces that are not deleted.
    pub workspaces: u64,
}

/// The answer to `POST /api/daemon/stop`: it stops after this reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStopping {
    /// Its process id, so that a caller can tell when it is gone.
    pub pid: u32,
}

/// The line of JSON a daemon writes to its standard output, instead of
/// [`DAEMON_READY_LINE`], when it cannot start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// The kind, as [`ErrorKind::code`] writes it.
    pub code: String,
    /// What failed.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl StartFailure {
    /// Turns the line back into an error; an unknown code becomes `Unavailable`.
    pub fn to_error(&self) -> Error {
        let kind = ErrorKind::from_code(&self.code).unwrap_or(ErrorKind::Unavailable);
        let error = Error::new(kind, self.detail.clone()).with_operation("start_daemon");
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }
}

impl From<&Error> for StartFailure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.kind().code().to_owned(),
            detail: sam_core::Report::new(error).to_string(),
            hint: error.hint().map(str::to_owned),
        }
    }
}
