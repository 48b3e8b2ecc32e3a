//! Whether the server is well.

use serde::{Deserialize, Serialize};

/// The answer to `GET /api/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The server's version.
    pub version: String,
    /// Names the server process; another value after a restart.
    pub server_id: String,
}
