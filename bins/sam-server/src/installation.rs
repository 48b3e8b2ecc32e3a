//! The keys of an installation: made on first start, kept in a file that replicas share, never shown.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sam_core::entropy::Entropy;
use sam_core::{Error, ErrorKind, Result, Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The keys, each 32 random bytes.
#[derive(Debug)]
pub struct Keys {
    /// Seed of the Ed25519 key that signs tokens for nodes.
    pub signing: Secret<[u8; 32]>,
    /// Makes bootstrap tokens.
    pub boot: Secret<[u8; 32]>,
    /// Makes the nonces of links.
    pub challenge: Secret<[u8; 32]>,
}

impl Keys {
    /// Makes the key that sign-ins under way are sealed with. It is derived, so that the file of the
    /// keys is as it was.
    pub(crate) fn sign_in(&self) -> Secret<[u8; 32]> {
        let mut hash = Sha256::new();
        hash.update(b"sam-sign-in-v1");
        hash.update(self.challenge.expose());
        Secret::new(hash.finalize().into())
    }
}

/// An installation's identity and keys.
#[derive(Debug)]
pub struct Installation {
    /// Names it; everything it buys is labelled with it.
    pub id: String,
    /// Its keys.
    pub keys: Keys,
    /// SHA-256 of the administrator's token.
    pub admin_sha256: [u8; 32],
    /// The administrator's token, on the first start only: it is not kept anywhere.
    pub fresh_admin_token: Option<Secret<String>>,
}

/// The file, version 1. All bytes are base64url without padding.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    installation: String,
    signing: String,
    boot: String,
    challenge: String,
    admin_sha256: String,
}

const FORMAT: u32 = 1;
/// The keys' usual name in the data directory.
pub(crate) const FILE: &str = "keys.json";
/// Names a directory of local nodes.
const NODES_FILE: &str = ".id";

/// Makes the data directory, readable by its owner alone.
///
/// # Errors
/// `Denied` or `Unavailable` with the directory's name.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| trouble("the data directory cannot be made", path, error))
}

fn trouble(what: &str, path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::Denied
        }
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("{what}: {}", path.display()))
        .with_operation("open_data_directory")
        .with_hint(
            "check its owner, its rights and the free space, or choose another with --data-dir",
        )
        .with_source(error)
}

impl Installation {
    /// Reads the keys, or makes them on the first start; of several that make them at once, one
    /// does.
    ///
    /// # Errors
    /// `Denied` or `Unavailable` when the file cannot be read or written; `Corrupt` when it is
    /// damaged.
    pub fn open(path: &Path, entropy: &dyn Entropy) -> Result<Self> {
        if let Some(found) = Self::load(path)? {
            return Ok(found);
        }
        match Self::make(path, entropy)? {
            Some(made) => Ok(made),
            // Another replica made them in the meantime.
            None => Self::load(path)?.ok_or_else(|| {
                let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
                trouble("the keys cannot be read", path, gone)
            }),
        }
    }

    /// Reads the keys, if there are any.
    ///
    /// # Errors
    /// As [`Installation::open`].
    pub(crate) fn load(path: &Path) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(bytes) => Self::read(&bytes).map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, format!("{} is damaged", path.display())).with_hint(
                    "restore it from a backup; without it the nodes of this installation are cut off",
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble("the keys cannot be read", path, error)),
        }
    }

    /// Returns a text by which replicas compare their keys without showing them.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"sam-installation-v1");
        hash.update(self.id.as_bytes());
        for key in [&self.keys.signing, &self.keys.boot, &self.keys.challenge] {
            hash.update(key.expose());
        }
        hash.update(self.admin_sha256);
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let file: KeyFile = serde_json::from_slice(bytes).ok()?;
        if file.format != FORMAT {
            return None;
        }
        let bytes =
            |text: &str| -> Option<[u8; 32]> { URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok() };
        Some(Self {
            id: file.installation,
            keys: Keys {
                signing: Secret::new(bytes(&file.signing)?),
                boot: Secret::new(bytes(&file.boot)?),
                challenge: Secret::new(bytes(&file.challenge)?),
            },
            admin_sha256: bytes(&file.admin_sha256)?,
            fresh_admin_token: None,
        })
    }

    /// Makes the keys; `None` when they are there by now.
    fn make(path: &Path, entropy: &dyn Entropy) -> Result<Option<Self>> {
        let random = || {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes);
            bytes
        };
        let text = |bytes: &[u8; 32]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = Keys {
            signing: Secret::new(random()),
            boot: Secret::new(random()),
            challenge: Secret::new(random()),
        };
        let token = Secret::new(format!("sam_admin_{}", text(&random())));
        let admin_sha256: [u8; 32] = Sha256::digest(token.expose().as_bytes()).into();
        let mut id = [0; 16];
        entropy.fill(&mut id);
        let id = format!("{:032x}", u128::from_be_bytes(id));
        let file = KeyFile {
            format: FORMAT,
            installation: id.clone(),
            signing: text(keys.signing.expose()),
            boot: text(keys.boot.expose()),
            challenge: text(keys.challenge.expose()),
            admin_sha256: text(&admin_sha256),
        };
        let written = write_private(path, &serde_json::to_vec_pretty(&file).unwrap_or_default())
            .map_err(|error| trouble("the keys cannot be written", path, error))?;
        Ok(written.then_some(Self { id, keys, admin_sha256, fresh_admin_token: Some(token) }))
    }
}

/// Returns the name of a directory of local nodes, which it is given on first use: by it replicas see
/// that they look at the same one.
pub(crate) fn nodes_id(dir: &Path, entropy: &dyn Entropy) -> Result<String> {
    let path = dir.join(NODES_FILE);
    let failed = |error| trouble("the directory of local nodes cannot be used", dir, error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    if !path.exists() {
        let mut id = [0; 16];
        entropy.fill(&mut id);
        let id = format!("{:032x}", u128::from_be_bytes(id));
        write_private(&path, id.as_bytes()).map_err(failed)?;
    }
    std::fs::read_to_string(&path).map(|id| id.trim().to_owned()).map_err(failed)
}

/// Writes a file that is whole or absent, readable by its owner alone; `false` when there is one by
/// that name already.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.draft", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // A link does not replace what is there, as a rename would.
    let linked = match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        linked => linked.map(|()| true),
    };
    std::fs::remove_file(&draft)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::File::open(directory)?.sync_all()?;
    linked
}

#[cfg(test)]
mod tests {
    use super::*;
    use sam_core::entropy::SeededEntropy;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_made_once_and_the_token_is_shown_once() {
        let directory = tempfile::tempdir().unwrap();
        let entropy = SeededEntropy::new(1);
        let path = directory.path().join(FILE);
        let first = Installation::open(&path, &entropy).unwrap();
        let second = Installation::open(&path, &entropy).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        let token = first.fresh_admin_token.unwrap();
        assert_eq!(first.id, second.id);
        assert_eq!(first.keys.boot.expose(), second.keys.boot.expose());
        assert!(second.fresh_admin_token.is_none());
        // Another that makes keys at the same time has its own thrown away.
        assert!(Installation::make(&path, &entropy).unwrap().is_none());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(!std::fs::read_to_string(&path).unwrap().contains(token.expose()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), b"{").unwrap();
        let error =
            Installation::open(&directory.path().join(FILE), &SeededEntropy::new(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(std::fs::read(directory.path().join(FILE)).unwrap(), b"{");
    }
}
