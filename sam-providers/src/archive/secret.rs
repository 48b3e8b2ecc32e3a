//! A sealed secret as a line of an archive.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sam_core::Error;
use sam_core::keys::{Sealed, SecretOwner};
use sam_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A secret that is read is known to be in its format; whether it is genuine is known when it is
/// opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub(crate) struct SecretLine {
    name: SecretOwner,
    sealed: Sealed,
    /// How long it had been kept at the moment of the backup.
    kept_for: Duration,
}

#[derive(Serialize, Deserialize)]
struct Text {
    name: String,
    /// Base64 with padding.
    sealed: String,
    kept_micros: u64,
}

impl SecretLine {
    pub(crate) const fn new(name: SecretOwner, sealed: Sealed, kept_for: Duration) -> Self {
        Self { name, sealed, kept_for }
    }

    /// Returns the name, what is kept there, and when it was put by the time of the store it is
    /// restored into.
    pub(crate) fn into_parts(self, now: Timestamp) -> (SecretOwner, Sealed, Timestamp) {
        let kept = i64::try_from(self.kept_for.as_micros()).unwrap_or(i64::MAX);
        let put_at = Timestamp::from_micros(now.as_micros().saturating_sub(kept));
        (self.name, self.sealed, put_at)
    }
}

impl From<SecretLine> for Text {
    fn from(line: SecretLine) -> Self {
        Self {
            name: line.name.to_string(),
            sealed: STANDARD.encode(line.sealed.as_bytes()),
            kept_micros: u64::try_from(line.kept_for.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl TryFrom<Text> for SecretLine {
    type Error = Error;

    fn try_from(text: Text) -> Result<Self, Error> {
        let bytes = STANDARD.decode(&text.sealed).map_err(|error| {
            Error::new(sam_core::ErrorKind::Corrupt, "a sealed secret is not base64")
                .with_source(error)
        })?;
        let kept_for = Duration::from_micros(text.kept_micros);
        Ok(Self { name: text.name.parse()?, sealed: Sealed::from_bytes(bytes)?, kept_for })
    }
}
