//! The agent's program for each platform, where nodes find it.
//!
//! The layout: `agents/<version>/<os>-<arch>/sam-agentd`, and beside it `sam-agentd.sha256`, a line
//! as `sha256sum` writes it. A version never changes: it is written once, the sum last, so what has
//! a sum is whole, and what is read is compared with it.

use std::fmt;

use bytes::Bytes;
use sam_core::blob::{BlobKey, BlobStore, PutBlob, PutMode};
use sam_core::{Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// The first segment of all keys of agents.
pub const AGENTS: &str = "agents";
/// The last segment: the program.
pub const AGENT_PROGRAM: &str = "sam-agentd";
/// What the name of the sum ends in.
pub const SUM_SUFFIX: &str = ".sha256";

/// Longest part of a key, in bytes.
const PART_BYTES_MAX: usize = 64;
/// Longest sum, in bytes: 64 digits, two blanks, a name and a line feed.
const SUM_BYTES_MAX: usize = 256;

/// Which agent: a version for a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRelease {
    key: BlobKey,
    sum: BlobKey,
}

impl AgentRelease {
    /// Names a version, an operating system and an architecture, such as `0.1.0`, `linux`, `x86_64`.
    ///
    /// # Errors
    /// `BadInput` when one of them cannot be a part of a key: up to 64 letters, digits, `.`, `_` and
    /// `-`, and no `-` in the operating system.
    pub fn new(version: &str, os: &str, arch: &str) -> Result<Self> {
        let fits = |part: &str| !part.is_empty() && part.len() <= PART_BYTES_MAX;
        let whole = ![version, os, arch].iter().any(|part| part.contains('/') || !fits(part));
        if !whole || os.contains('-') {
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("{version:?} for {os:?} and {arch:?} names no agent"),
            )
            .with_hint("use a version, an operating system and an architecture, such as 0.1.0, linux, x86_64"));
        }
        let key: BlobKey = format!("{AGENTS}/{version}/{os}-{arch}/{AGENT_PROGRAM}").parse()?;
        let sum: BlobKey = format!("{key}{SUM_SUFFIX}").parse()?;
        Ok(Self { key, sum })
    }

    /// Returns where the program lies.
    pub const fn key(&self) -> &BlobKey {
        &self.key
    }

    /// Returns where its sum lies.
    pub const fn sum_key(&self) -> &BlobKey {
        &self.sum
    }
}

impl fmt::Display for AgentRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// Writes an agent, and returns its SHA-256. Writing the same again succeeds.
///
/// # Errors
/// `AlreadyExists` when there is another program under this version; `BadInput` when it is larger
/// than a blob; what the store says.
pub async fn put_agent(
    blobs: &dyn BlobStore,
    release: &AgentRelease,
    program: Bytes,
) -> Result<[u8; 32]> {
    let sum: [u8; 32] = Sha256::digest(&program).into();
    put_once(blobs, release.key(), program).await?;
    let line = format!("{}  {AGENT_PROGRAM}\n", hex(&sum));
    put_once(blobs, release.sum_key(), line.into()).await?;
    Ok(sum)
}

async fn put_once(blobs: &dyn BlobStore, key: &BlobKey, content: Bytes) -> Result<()> {
    let request = PutBlob::new(key.clone(), content.clone())?.with_mode(PutMode::CreateOnly);
    match blobs.put(request).await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let Some(there) = blobs.get(key).await? else { return Err(error) };
            // Reading no more than what it should be.
            match there.collect(content.len()).await {
                Ok(there) if there == content => Ok(()),
                Err(read) if read.kind() != ErrorKind::BadInput => Err(read),
                _ => Err(error.with_hint("a version never changes: give the program another")),
            }
        }
        put => put.map(drop),
    }
}

/// Reads an agent and compares it with its sum; `None` when it was never written to its end.
///
/// # Errors
/// `Corrupt` when the program is not the one the sum is of; what the store says.
pub async fn find_agent(blobs: &dyn BlobStore, release: &AgentRelease) -> Result<Option<Bytes>> {
    let corrupt = |why: &str| {
        Error::new(ErrorKind::Corrupt, format!("{release}: {why}"))
            .with_operation("find_agent")
            .with_hint("delete it and its sum, then write it anew")
    };
    let Some(line) = blobs.get(release.sum_key()).await? else { return Ok(None) };
    let line = line.collect(SUM_BYTES_MAX).await?;
    let expected = std::str::from_utf8(&line).ok().and_then(|line| line.split_once(' '));
    let (expected, _) = expected.ok_or_else(|| corrupt("its sum cannot be read"))?;
    let Some(program) = blobs.get(release.key()).await? else {
        return Err(corrupt("there is a sum, but no program"));
    };
    let program = program.collect(PutBlob::BYTES_MAX).await?;
    let found: [u8; 32] = Sha256::digest(&program).into();
    if !hex(&found).eq_ignore_ascii_case(expected) {
        return Err(corrupt("the program is not the one its sum is of"));
    }
    Ok(Some(program))
}
