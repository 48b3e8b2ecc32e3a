//! What the adapter is told.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sam_core::dns::{RecordName, Ttl};
use sam_core::{Error, ErrorKind, Result, Secret};

/// How the adapter reaches one zone on its primary server.
#[derive(Debug, Clone)]
pub struct Rfc2136Config {
    pub(super) server: SocketAddr,
    pub(super) zone: RecordName,
    pub(super) key: TsigKey,
    pub(super) ttl_min: Ttl,
    pub(super) propagates_within: Duration,
    pub(super) answers_within: Duration,
}

impl Rfc2136Config {
    /// How long its secondaries take, unless it is said: they are told of every change, and ask.
    pub const PROPAGATES_WITHIN: Duration = Duration::from_mins(1);

    /// Longest wait for one answer, unless it is said.
    pub const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

    /// Reaches a zone on the server that updates are sent to.
    pub const fn new(server: SocketAddr, zone: RecordName, key: TsigKey) -> Self {
        Self {
            server,
            zone,
            key,
            ttl_min: Ttl::MIN,
            propagates_within: Self::PROPAGATES_WITHIN,
            answers_within: Self::ANSWERS_WITHIN,
        }
    }

    /// Raises shorter times to live to this one.
    #[must_use]
    pub const fn with_ttl_min(mut self, ttl: Ttl) -> Self {
        self.ttl_min = ttl;
        self
    }

    /// Says how long a change takes until every server of the zone has it.
    #[must_use]
    pub const fn with_propagates_within(mut self, span: Duration) -> Self {
        self.propagates_within = span;
        self
    }

    /// Waits no longer than this for one answer.
    #[must_use]
    pub const fn with_answers_within(mut self, span: Duration) -> Self {
        self.answers_within = span;
        self
    }
}

/// A key that server and client share.
#[derive(Debug, Clone)]
pub struct TsigKey {
    pub(super) name: String,
    pub(super) algorithm: TsigAlgorithm,
    pub(super) secret: Secret<Vec<u8>>,
}

impl TsigKey {
    /// Longest secret, in bytes.
    pub const SECRET_BYTES_MAX: usize = 512;
    /// Longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 253;

    /// Reads a key as `tsig-keygen` prints it: a name, an algorithm, and a secret in base64.
    ///
    /// # Errors
    /// `BadInput` for a name that is none, and for a secret that is empty, too long or no base64. The
    /// secret is not repeated.
    pub fn new(name: &str, algorithm: TsigAlgorithm, secret: &Secret<String>) -> Result<Self> {
        let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
        let legal = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if name.len() > Self::NAME_BYTES_MAX || !name.split('.').all(legal) {
            return Err(Error::new(ErrorKind::BadInput, "the name of the TSIG key is none")
                .with_hint("use the name that stands behind `key` in the server's configuration"));
        }
        let bytes = STANDARD.decode(secret.expose().trim()).unwrap_or_default();
        if bytes.is_empty() || bytes.len() > Self::SECRET_BYTES_MAX {
            return Err(Error::new(ErrorKind::BadInput, "the secret of the TSIG key is no base64")
                .with_hint("copy what stands between the quotes behind `secret`"));
        }
        Ok(Self { name, algorithm, secret: Secret::new(bytes) })
    }
}

/// How messages are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TsigAlgorithm {
    /// The usual one.
    HmacSha256,
    /// A longer one.
    HmacSha384,
    /// The longest.
    HmacSha512,
}

impl TsigAlgorithm {
    /// Returns its name in configurations.
    pub const fn code(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }
}

impl fmt::Display for TsigAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for TsigAlgorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wanted = text.trim().trim_end_matches('.').to_ascii_lowercase();
        let known = [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];
        known.into_iter().find(|algorithm| algorithm.code() == wanted).ok_or_else(|| {
            Error::new(ErrorKind::BadInput, "the algorithm of the TSIG key is not known here")
                .with_hint("use hmac-sha256, hmac-sha384 or hmac-sha512")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_shown() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let key =
            TsigKey::new("Sam-Key.", TsigAlgorithm::HmacSha256, &secret(" Y2FuYXJ5 ")).unwrap();
        assert_eq!((&*key.name, &key.secret.expose()[..]), ("sam-key", &b"canary"[..]));
        for (name, text) in [
            ("", "Y2FuYXJ5"),
            ("a b", "Y2FuYXJ5"),
            ("k", ""),
            ("k", "canary canary!"),
            ("a..b", "YQ=="),
        ] {
            let error = TsigKey::new(name, TsigAlgorithm::HmacSha512, &secret(text)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            assert!(error.hint().is_some() && !format!("{error:?}").contains("canary"));
        }
        let told = format!("{key:?}");
        assert!(!told.contains("99, 97") && !told.contains("Y2FuYXJ5"), "{told}");
    }

    #[test]
    fn algorithms_read_back() {
        for code in ["hmac-sha256", "HMAC-SHA384.", "hmac-sha512"] {
            code.parse::<TsigAlgorithm>().unwrap();
        }
        "hmac-md5".parse::<TsigAlgorithm>().unwrap_err();
    }
}
