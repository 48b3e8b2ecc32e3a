//! Who this node is: a key pair made here, and what the control plane gave in exchange for the
//! token of the boot data.
//!
//! `boot.json` is written by whoever made the machine and holds the token; `identity.json` is ours.
//! The key is on disk before the token is used, so a lost answer is asked for again with the same
//! key (I9); the token leaves the disk once the exchange is done.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use sam_core::keys::{Ed25519Signer, Ed25519Verifier};
use sam_core::{Error, ErrorKind, NodeId, Result, Secret};

use super::files;
use crate::wire::{BootstrapReply, BootstrapRequest, ServerKey};

const FILE_BYTES_MAX: u64 = 64 * 1024;

/// `boot.json`.
#[derive(Serialize, Deserialize)]
struct Boot {
    node_id: NodeId,
    control_url: String,
    /// Absent once it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// `identity.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    node_id: NodeId,
    /// The seed of the key pair, base64url without padding.
    seed: String,
    /// Absent until the exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_keys: Option<Vec<ServerKey>>,
}

/// The identity of a node, complete or on its way.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) node: NodeId,
    pub(super) control_url: String,
    pub(super) signer: Ed25519Signer,
    seed: Secret<String>,
    server_keys: Option<Vec<ServerKey>>,
    token: Option<Secret<String>>,
    directory: PathBuf,
}

impl Identity {
    /// Reads the two files, and makes the key pair on the first start.
    ///
    /// # Errors
    /// `NotFound` without boot data; `Corrupt`; `Conflict` when the files are of two nodes;
    /// `Denied`, `Unavailable`.
    pub(super) async fn open(directory: &Path) -> Result<Self> {
        let boot: Option<Boot> = read(&boot_path(directory)).await?;
        let boot = boot.ok_or_else(|| {
            let text = format!("there is no boot.json in {}", directory.display());
            Error::new(ErrorKind::NotFound, text)
                .with_hint("the agent is started by the node's provider, which writes it")
        })?;
        let stored: Option<Stored> = read(&identity_path(directory)).await?;
        let (seed, server_keys, is_new) = match stored {
            Some(stored) if stored.node_id == boot.node_id => {
                (Secret::new(stored.seed), stored.server_keys, false)
            }
            Some(stored) => {
                let text = format!("boot.json is for {}, not for {}", boot.node_id, stored.node_id);
                return Err(Error::new(ErrorKind::Conflict, text)
                    .with_hint("give every node a directory of its own"));
            }
            None => (fresh_seed()?, None, true),
        };
        let bytes: Option<[u8; 32]> =
            URL_SAFE_NO_PAD.decode(seed.expose()).ok().and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.ok_or_else(|| corrupt(&identity_path(directory)))?;
        let identity = Self {
            node: boot.node_id,
            control_url: boot.control_url,
            signer: Ed25519Signer::from_seed(&Secret::new(bytes)),
            seed,
            server_keys,
            token: boot.token.map(Secret::new),
            directory: directory.to_owned(),
        };
        if is_new {
            identity.save().await?;
        }
        Ok(identity)
    }

    /// Returns what to send for an identity, or `None` when that was done before.
    ///
    /// # Errors
    /// `NotFound` when it was not done and there is no token.
    pub(super) fn request(&self) -> Result<Option<BootstrapRequest>> {
        match (&self.server_keys, &self.token) {
            (Some(_), _) => Ok(None),
            (None, Some(token)) => Ok(Some(BootstrapRequest {
                node_id: self.node,
                token: token.expose().clone(),
                public_key: URL_SAFE_NO_PAD.encode(self.signer.public_key()),
            })),
            (None, None) => Err(Error::new(ErrorKind::NotFound, "boot.json holds no token")
                .with_hint("create the node anew: its token was used or taken away")),
        }
    }

    /// Keeps what came back, then takes the token off the disk. Repeatable.
    ///
    /// # Errors
    /// `BadInput` when the keys are none; else those of the files.
    pub(super) async fn complete(&mut self, reply: Option<BootstrapReply>) -> Result<()> {
        if let Some(reply) = reply {
            verifier(&reply.server_keys)?;
            self.server_keys = Some(reply.server_keys);
            self.save().await?;
        }
        if self.token.take().is_some() {
            let boot =
                Boot { node_id: self.node, control_url: self.control_url.clone(), token: None };
            write(&boot_path(&self.directory), &boot).await?;
        }
        Ok(())
    }

    /// Returns the keys whose tokens this node believes.
    ///
    /// # Errors
    /// `Corrupt` or `BadInput` when they cannot be read.
    pub(super) fn verifier(&self) -> Result<Ed25519Verifier> {
        verifier(self.server_keys.as_deref().unwrap_or_default())
    }

    async fn save(&self) -> Result<()> {
        let stored = Stored {
            node_id: self.node,
            seed: self.seed.expose().clone(),
            server_keys: self.server_keys.clone(),
        };
        write(&identity_path(&self.directory), &stored).await
    }
}

fn boot_path(directory: &Path) -> PathBuf {
    directory.join("boot.json")
}

fn identity_path(directory: &Path) -> PathBuf {
    directory.join("identity.json")
}

async fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = files::read(path, FILE_BYTES_MAX).await? else { return Ok(None) };
    // Without the parser's text: it may quote a secret.
    serde_json::from_slice(&bytes).map(Some).map_err(|_| corrupt(path))
}

async fn write(path: &Path, value: &(impl Serialize + Sync)) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| {
        Error::new(ErrorKind::Bug, "the identity cannot be written").with_source(error)
    })?;
    files::replace(path, bytes).await
}

fn corrupt(path: &Path) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{} cannot be read", path.display()))
        .with_hint("delete the node and create it anew")
}

fn verifier(keys: &[ServerKey]) -> Result<Ed25519Verifier> {
    let decoded = keys.iter().map(|key| {
        let bytes = URL_SAFE_NO_PAD.decode(&key.public_key).ok();
        bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or_else(|| {
            Error::new(ErrorKind::BadInput, format!("server key {} is none", key.key_id))
        })
    });
    Ed25519Verifier::new(decoded.collect::<Result<Vec<_>>>()?)
}

fn fresh_seed() -> Result<Secret<String>> {
    let mut seed = Secret::new(random::<32>()?);
    let text = URL_SAFE_NO_PAD.encode(seed.expose());
    seed = Secret::new([0; 32]);
    drop(seed);
    Ok(Secret::new(text))
}

/// Returns random bytes of the system.
///
/// # Errors
/// `Unavailable` when it has none.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match filled {
        // Up to 256 bytes come whole or not at all.
        Ok(length) if length == N => Ok(bytes),
        _ => Err(Error::new(ErrorKind::Unavailable, "the system has no random bytes")),
    }
}
