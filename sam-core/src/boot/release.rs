//! Where a machine gets its agent from, and how it knows that it is the right one.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::keys::Ed25519Verifier;

/// A processor, by the name its kernel gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub enum Arch {
    /// 64-bit ARM.
    #[serde(rename = "aarch64")]
    Aarch64,
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
}

/// The agent for one processor: an address and what its bytes must be.
///
/// ```
/// use sam_core::boot::Download;
/// let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// let download = Download::new("https://example.org/sam-agentd-x86_64", sha256)?;
/// // An address with a query may carry a credential.
/// assert!(Download::new("https://example.org/agent?key=1", sha256).is_err());
/// # Ok::<(), sam_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Download {
    url: String,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

impl Download {
    /// Longest address, in bytes.
    pub const URL_BYTES_MAX: usize = 1_024;

    /// Names an address (`http` or `https`, without user, query and fragment: boot data holds no
    /// secret but its token) and the SHA-256 of what is there, in hex.
    ///
    /// # Errors
    /// `BadInput`.
    pub fn new(url: &str, sha256: &str) -> Result<Self> {
        check_url(url)?;
        let sha256 = sha256.to_ascii_lowercase();
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let text = "the checksum of the agent is not a SHA-256 in hex";
            return Err(
                Error::new(ErrorKind::BadInput, text).with_hint("`sha256sum sam-agentd` prints it")
            );
        }
        Ok(Self { url: url.to_owned(), sha256, signature: None, public_key: None })
    }

    /// Demands a signature, too: Ed25519 over the bytes of the file.
    ///
    /// # Errors
    /// `BadInput` when the public key is no usable one.
    pub fn signed(mut self, signature: &[u8; 64], public_key: &[u8; 32]) -> Result<Self> {
        Ed25519Verifier::new([*public_key])?;
        self.signature = Some(STANDARD.encode(signature));
        self.public_key = Some(STANDARD.encode(public_key));
        Ok(self)
    }
}

fn check_url(url: &str) -> Result<()> {
    let refused = |why: &str| {
        // Without the address: what is refused here may be a secret.
        Err(Error::new(ErrorKind::BadInput, format!("the address of the agent {why}"))
            .with_hint("write it as https://host/path, without user, query and fragment"))
    };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
        return refused("has no host, or is not of http");
    };
    if url.len() > Download::URL_BYTES_MAX {
        return refused("is too long");
    }
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['@', '?', '#', '\\']) {
        return refused("has a user, a query, a fragment or a character that belongs in none");
    }
    Ok(())
}

/// The agent for each processor that machines may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AgentRelease(BTreeMap<Arch, Download>);

impl AgentRelease {
    /// An agent for one processor.
    pub fn new(arch: Arch, download: Download) -> Self {
        Self(BTreeMap::from([(arch, download)]))
    }

    /// Adds the agent for another one.
    #[must_use]
    pub fn with(mut self, arch: Arch, download: Download) -> Self {
        self.0.insert(arch, download);
        self
    }

    pub(super) fn is_signed(&self) -> bool {
        self.0.values().any(|download| download.signature.is_some())
    }
}

/// The user that workspaces run as: 1 to 32 lower-case letters, digits, `_` and `-`, beginning with a
/// letter; not one that a system has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

/// Users of every system, or of what is installed; a workspace that was one of them would be more.
const TAKEN: [&str; 12] = [
    "root", "admin", "bin", "daemon", "docker", "mail", "man", "nobody", "sync", "sys", "sudo",
    "www-data",
];

impl UserName {
    /// Longest name, in bytes.
    pub const BYTES_MAX: usize = 32;

    /// Takes a name.
    ///
    /// # Errors
    /// `BadInput`.
    pub fn new(name: &str) -> Result<Self> {
        let legal = name.len() <= Self::BYTES_MAX
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
            && !TAKEN.contains(&name)
            && !name.starts_with("systemd-");
        if legal {
            return Ok(Self(name.to_owned()));
        }
        let shown: String = name.chars().take(Self::BYTES_MAX).collect();
        Err(Error::new(ErrorKind::BadInput, format!("{shown:?} cannot be the user of workspaces"))
            .with_hint("use up to 32 lower-case letters, digits, _ and -; not a system's own user"))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for UserName {
    /// `workspace`.
    fn default() -> Self {
        Self("workspace".to_owned())
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn an_address_carries_no_secret_and_nothing_that_is_no_address() {
        for good in ["https://example.org/a", "http://127.0.0.1:8080/a-b_c/d.e", "https://[::1]/a"]
        {
            Download::new(good, SHA256).unwrap();
        }
        let long = format!("https://example.org/{}", "a".repeat(Download::URL_BYTES_MAX));
        for bad in [
            "",
            "https://",
            "https:///a",
            "ftp://a/b",
            "file:///etc/passwd",
            "HTTPS://a/b",
            "https://canary@a/b",
            "https://a/b?canary=1",
            "https://a/b#canary",
            "https://a/b c",
            "https://a/b\nX: y",
            "https://a/\u{e4}",
            "https://a\\@b/",
            &long,
        ] {
            let error = Download::new(bad, SHA256).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{bad:?}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn a_checksum_is_64_hex_digits_and_a_key_is_usable() {
        let download = Download::new("https://a/b", SHA256).unwrap();
        assert_eq!(download.sha256, SHA256.to_ascii_lowercase());
        for bad in ["", "abc", &SHA256.replace('9', "g"), &format!("{SHA256}0")] {
            let error = Download::new("https://a/b", bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{bad:?}");
        }
        // The neutral element is a key that anybody can sign for.
        let mut weak = [0; 32];
        weak[0] = 1;
        let error = download.signed(&[0; 64], &weak).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }

    #[test]
    fn the_user_of_workspaces_is_nobody_who_exists() {
        for good in ["workspace", "a", "dev_1-x"] {
            assert_eq!(UserName::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(33);
        for bad in
            ["", "root", "Root", "1a", "-a", "a b", "a:b", "a%n", "a\nb", "docker", "\u{e4}", &long]
        {
            assert_eq!(UserName::new(bad).unwrap_err().kind(), ErrorKind::BadInput, "{bad:?}");
        }
    }
}
