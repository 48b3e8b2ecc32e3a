//! What can be wrong with a private key, and how to get the right one.

use sam_core::{Error, ErrorKind};

/// Why a text is not a usable private key. It never holds a part of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// The text between the lines `BEGIN` and `END` is not base64.
    #[error("the private key's text is not base64")]
    Base64,
    /// It is a certificate.
    #[error("this is a certificate, not a private key")]
    Certificate,
    /// There is nothing.
    #[error("the private key is empty")]
    Empty,
    /// It is protected by a password.
    #[error("the private key is encrypted with a password")]
    Encrypted,
    /// The file that was named cannot be read.
    #[error("the private key's file cannot be read: {why}")]
    File {
        /// Why not.
        why: std::io::ErrorKind,
    },
    /// The numbers of the key do not belong together.
    #[error("the numbers of the private key do not belong together")]
    Inconsistent,
    /// The labels of the first and the last line differ.
    #[error("the BEGIN and END lines of the private key do not match")]
    LabelMismatch,
    /// What stands between the lines is not a key, or only a part of one.
    #[error("the private key is damaged or a part of it is missing")]
    Malformed,
    /// There is no `BEGIN` line, and it is not base64 of a key.
    #[error("this is not a private key in PEM")]
    NotPem,
    /// It is a private key of another sort.
    #[error("this is {found}, and GitHub signs with RSA")]
    NotRsa {
        /// What it is, with its article.
        found: &'static str,
    },
    /// It is a public key.
    #[error("this is a public key, not a private key")]
    PublicKey,
    /// It is longer than any key.
    #[error("the text is longer than any private key")]
    TooLong,
    /// The key has too few or too many bits.
    #[error("the RSA key has {bits} bits, and 2048 to 8192 are taken")]
    Size {
        /// How many it has.
        bits: usize,
    },
    /// Its end is missing.
    #[error("the private key is cut off: its end is missing")]
    Truncated,
}

impl PrivateKeyError {
    /// Says how to get the right key.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Encrypted => {
                "GitHub's keys have no password; remove it with `openssl rsa -in FILE -out NEW`, \
                 or generate a new key in the App's settings"
            }
            Self::PublicKey | Self::Certificate | Self::NotRsa { .. } | Self::Size { .. } => {
                "in the App's settings, under \"Private keys\", choose \"Generate a private key\" \
                 and use the .pem file that is downloaded"
            }
            Self::File { .. } => {
                "name a file that this program's user can read, with mode 0600, or give the key \
                 itself"
            }
            Self::Empty => {
                "put the whole .pem file there, or its base64 on one line (`base64 -w0 FILE`)"
            }
            Self::Base64
            | Self::Inconsistent
            | Self::LabelMismatch
            | Self::Malformed
            | Self::NotPem
            | Self::TooLong
            | Self::Truncated => {
                "copy the whole .pem file from -----BEGIN to the end of the -----END line; if line \
                 breaks get lost on the way, pass its base64 (`base64 -w0 FILE`)"
            }
        }
    }
}

impl From<PrivateKeyError> for Error {
    fn from(error: PrivateKeyError) -> Self {
        let hint = error.hint();
        Self::new(ErrorKind::BadInput, error.to_string())
            .with_operation("read_private_key")
            .with_hint(hint)
    }
}
