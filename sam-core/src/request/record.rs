//! What is stored of a request that may be repeated.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::engine::Stored;
use crate::error::{Error, ErrorKind, Result};
use crate::id::WorkspaceId;
use crate::store::{Actor, Index, Kind, RecordKey};
use crate::time::Timestamp;

/// Remembers what a key was used for, so that the same request again gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Format of this record.
    pub format: u32,
    /// SHA-256 of actor and key, in hex: a key is one actor's own.
    pub id: String,
    /// SHA-256 of the request, in hex.
    pub fingerprint: String,
    /// What the request made.
    pub workspace: WorkspaceId,
    /// When it was first made.
    pub created_at: Timestamp,
}

impl RequestRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("request");
    /// How long a key is remembered.
    pub const KEPT: Duration = Duration::from_hours(24);
    /// Longest key, in bytes.
    pub const KEY_BYTES_MAX: usize = 256;

    /// Describes a request.
    ///
    /// # Errors
    /// `BadInput` when the key is empty or longer than [`RequestRecord::KEY_BYTES_MAX`].
    pub fn new(
        actor: &Actor,
        key: &str,
        request: &str,
        workspace: WorkspaceId,
        now: Timestamp,
    ) -> Result<Self> {
        if key.is_empty() || key.len() > Self::KEY_BYTES_MAX {
            let message = format!("an idempotency key has 1 to {} bytes", Self::KEY_BYTES_MAX);
            return Err(Error::new(ErrorKind::BadInput, message));
        }
        Ok(Self {
            format: <Self as Stored>::FORMAT,
            id: sha256_hex(&[actor.as_str().as_bytes(), b"\0", key.as_bytes()]),
            fingerprint: sha256_hex(&[request.as_bytes()]),
            workspace,
            created_at: now,
        })
    }
}

fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

impl Stored for RequestRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        RecordKey::new(Self::KIND, &self.id)
    }

    fn index(&self) -> Index {
        Index::default()
    }

    fn format(&self) -> u32 {
        self.format
    }
}
