//! What can be wrong with a key somebody hands in, and how to get the right one. Nothing of the
//! key is ever in it.

use sam_core::{Error, ErrorKind};

use super::SigningAlgorithm;

/// Why a text or bytes are not the key that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    Base64,
    Certificate,
    Empty,
    Encrypted,
    Inconsistent,
    LabelMismatch,
    Malformed,
    NotPem,
    /// A private key where a public one is wanted.
    PrivateKey,
    /// A public key where a private one is wanted.
    PublicKey,
    Size(usize),
    /// Another sort of key, with its article.
    Sort(&'static str),
    TooLong,
    Truncated,
    /// A good key, but not for the algorithm that was asked for.
    WrongAlgorithm(SigningAlgorithm),
}

impl Flaw {
    fn says(self) -> String {
        match self {
            Self::Base64 => "the text between its BEGIN and END lines is not base64".to_owned(),
            Self::Certificate => "this is a certificate, not a key".to_owned(),
            Self::Empty => "the key is empty".to_owned(),
            Self::Encrypted => "the private key is encrypted with a password".to_owned(),
            Self::Inconsistent => "the numbers of the key do not belong together".to_owned(),
            Self::LabelMismatch => "the BEGIN and END lines of the key do not match".to_owned(),
            Self::Malformed => "the key is damaged or a part of it is missing".to_owned(),
            Self::NotPem => "this is neither PEM nor base64 of PEM".to_owned(),
            Self::PrivateKey => "this is a private key, not a public key".to_owned(),
            Self::PublicKey => "this is a public key, not a private key".to_owned(),
            Self::Size(bits) => format!("the RSA key has {bits} bits, and 2048 to 8192 are taken"),
            Self::Sort(found) => {
                format!("this is {found}, and RSA (RS256) or Ed25519 (EdDSA) is taken")
            }
            Self::TooLong => "the text is longer than any key".to_owned(),
            Self::Truncated => "the key is cut off: its end is missing".to_owned(),
            Self::WrongAlgorithm(wanted) => format!("this key cannot sign {}", wanted.name()),
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Encrypted => {
                "remove the password: `openssl pkcs8 -in FILE -out NEW -topk8 -nocrypt`"
            }
            Self::PublicKey
            | Self::Certificate
            | Self::Sort(_)
            | Self::Size(_)
            | Self::WrongAlgorithm(_) => {
                "make a key: `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, or \
                 `openssl genpkey -algorithm ED25519`"
            }
            Self::PrivateKey => "take the public half: `openssl pkey -in FILE -pubout`",
            Self::Empty => "put the whole PEM there, or its base64 on one line (`base64 -w0 FILE`)",
            Self::Base64
            | Self::Inconsistent
            | Self::LabelMismatch
            | Self::Malformed
            | Self::NotPem
            | Self::TooLong
            | Self::Truncated => {
                "copy the whole PEM from -----BEGIN to the end of the -----END line; if line \
                 breaks get lost on the way, pass its base64 (`base64 -w0 FILE`)"
            }
        }
    }

    /// Makes an error of it; `whose` is the name of the variable, or of whatever holds the key.
    pub(super) fn of(self, whose: &str) -> Error {
        Error::new(ErrorKind::BadInput, format!("{whose}: {}", self.says()))
            .with_operation("read_key")
            .with_hint(self.hint())
    }
}
