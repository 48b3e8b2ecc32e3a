//! The part of an error that a record keeps.

use serde::{Deserialize, Serialize};

use super::{Error, ErrorKind};

/// A failure as a record and a client keep it: no Rust type, no chain, no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorRecord {
    /// What sort of failure it was.
    pub kind: ErrorKind,
    /// The step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The other side's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The text a user may see; at most [`ErrorRecord::MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ErrorRecord {
    /// Longest message kept, in bytes; what is longer is cut at a character.
    pub const MESSAGE_BYTES_MAX: usize = 2_048;

    /// Makes a record for a failure that has no [`Error`] behind it.
    pub fn new(kind: ErrorKind, operation: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            operation: Some(operation.to_owned()),
            code: None,
            message: cut(message.into()),
            hint: None,
        }
    }

    /// Says what the reader should do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the step that failed, where the error did not.
    #[must_use]
    pub fn or_operation(mut self, operation: &str) -> Self {
        self.operation.get_or_insert_with(|| operation.to_owned());
        self
    }

    /// Turns the record back into an error, for a caller that waits for the work it describes.
    pub fn to_error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        let error = match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        };
        match &self.operation {
            Some(operation) => error.with_context("step", operation),
            None => error,
        }
    }
}

impl From<&Error> for ErrorRecord {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            operation: error.operation().map(str::to_owned),
            code: error.provider_code().map(str::to_owned),
            message: cut(error.public_message().to_owned()),
            hint: error.hint().map(str::to_owned),
        }
    }
}

fn cut(mut message: String) -> String {
    if message.len() > ErrorRecord::MESSAGE_BYTES_MAX {
        let mut end = ErrorRecord::MESSAGE_BYTES_MAX;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let record = ErrorRecord::new(ErrorKind::Bug, "prepare", "ä".repeat(2_000));
        assert_eq!(record.message.len(), 2_048);
        let record = ErrorRecord::new(ErrorKind::Bug, "prepare", format!("a{}", "ä".repeat(2_000)));
        assert_eq!(record.message.len(), 2_047);
    }
}
