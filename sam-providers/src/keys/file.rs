//! A ring of keys in a file that replicas share.
//!
//! The file is the truth: before each use its stamp is compared (one `stat`), and it is read again
//! when another replica changed it, so a rotation is seen by the next call everywhere; on a network
//! file system that caches attributes, after as long as it does. A file that is gone is an error at
//! once, so that nothing is sealed under a key that exists in memory only.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sam_core::entropy::Entropy;
use sam_core::keys::{KeyId, KeyManager, MemoryKeys, Sealed, SecretOwner, Signer as _};
use sam_core::{Error, ErrorKind, Result, Secret};
use zeroize::Zeroizing;

use super::disk::{self, Lock, RingFile, SIGNING_KEYS_MAX, SealingEntry, SigningEntry, Stamp};
use super::entry::{open_sealing, open_signing, sealing_entry, signing_entry};
use super::environment::EnvironmentKeys;
use super::jwk::{JwkSet, SigningAlgorithm};
use super::protection::{RingProtection, Unprotected};
use super::sealing::{KEY_BYTES, name_of};
use super::signing::SigningKey;

/// Where a ring is kept, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileKeysConfig {
    /// The file. Its directory is made when absent; it holds a lock file and drafts beside it.
    pub path: PathBuf,
    /// What the first key of a new ring signs with.
    pub algorithm: SigningAlgorithm,
    /// What wraps the keys in the file.
    pub protection: Arc<dyn RingProtection>,
    /// Whether a ring is made where there is none.
    pub makes: bool,
}

impl FileKeysConfig {
    /// Keeps the ring in a file that only its rights protect; a new one signs `EdDSA`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let protection = Arc::new(Unprotected);
        let algorithm = SigningAlgorithm::EdDsa;
        Self { path: path.into(), algorithm, protection, makes: true }
    }

    /// Sets what the first key of a new ring signs with.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: SigningAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Makes no ring where there is none: for a host whose store holds sealed secrets already, which a
    /// new ring would not open.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.makes = false;
        self
    }

    /// Wraps the keys in the file.
    #[must_use]
    pub fn with_protection(mut self, protection: Arc<dyn RingProtection>) -> Self {
        self.protection = protection;
        self
    }
}

/// A ring of keys in a file: it seals, opens and signs, and its keys can be changed while replicas
/// run. At most [`MemoryKeys::KEYS_MAX`] keys seal and [`FileKeys::SIGNING_KEYS_MAX`] sign.
pub struct FileKeys {
    config: FileKeysConfig,
    entropy: Arc<dyn Entropy>,
    loaded: Mutex<Arc<Loaded>>,
}

/// What the file held when it was read last.
struct Loaded {
    stamp: Stamp,
    ring: MemoryKeys,
    sealing: Vec<(KeyId, Secret<[u8; KEY_BYTES]>)>,
    /// The current one last.
    signing: Vec<Arc<SigningKey>>,
}

impl FileKeys {
    /// Most keys that sign, the current one included.
    pub const SIGNING_KEYS_MAX: usize = SIGNING_KEYS_MAX;

    /// Reads the ring, or makes it on the first start; of several that make it at once, one does.
    ///
    /// # Errors
    /// `Denied` when the file or its directory is open to others or not ours; `Corrupt` when the
    /// file is damaged or newer; `BadInput` when something else wraps its keys; `Unavailable`, also
    /// where there is none and none is to be made; and what the protection says.
    pub async fn open(config: FileKeysConfig, entropy: Arc<dyn Entropy>) -> Result<Self> {
        disk::prepare(&config.path)?;
        let loaded = if let Some(found) = Loaded::read(&config, &entropy, &[]).await? {
            found
        } else if !config.makes {
            return Err(gone(&config.path));
        } else {
            let fresh = fresh(&config, &*entropy).await?;
            // Whoever was first, all read what is there now.
            disk::create(&config.path, &fresh, &*entropy)?;
            let found = Loaded::read(&config, &entropy, &[]).await?;
            found.ok_or_else(|| gone(&config.path))?
        };
        Ok(Self { config, entropy, loaded: Mutex::new(Arc::new(loaded)) })
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.config.path
    }

    /// Returns the names of the keys that open, oldest first; the last one seals.
    ///
    /// # Errors
    /// As [`FileKeys::open`].
    pub async fn sealing_keys(&self) -> Result<Vec<KeyId>> {
        Ok(self.loaded().await?.sealing.iter().map(|(id, _)| id.clone()).collect())
    }

    /// Adds a fresh key, which seals from now on; the others still open until they are retired.
    ///
    /// # Errors
    /// `QuotaExceeded` when the ring is full; `Conflict` when somebody else changes it right now;
    /// else as [`FileKeys::open`].
    pub async fn rotate(&self) -> Result<KeyId> {
        let entry = sealing_entry(&self.config, &fresh_key(&*self.entropy)).await?;
        let id: KeyId = entry.id.parse()?;
        self.change(|ring| push_sealing(ring, entry)).await?;
        Ok(id)
    }

    /// Takes a key out of the ring; what it sealed cannot be opened any more.
    ///
    /// # Errors
    /// `Conflict` for the key that seals now; `NotFound` for one that is not in the ring; else as
    /// [`FileKeys::rotate`].
    pub async fn retire(&self, id: &KeyId) -> Result<()> {
        self.change(|ring| {
            let ids = ring.sealing.iter().map(|entry| entry.id.as_str());
            let at = retirable(ids, id.as_str(), "seals")?;
            ring.sealing.remove(at);
            Ok(())
        })
        .await
    }

    /// Returns the key that signs now. It stays what it is: ask again after a rotation.
    ///
    /// # Errors
    /// As [`FileKeys::open`].
    pub async fn signer(&self) -> Result<Arc<SigningKey>> {
        let loaded = self.loaded().await?;
        loaded.signing.last().cloned().ok_or_else(|| gone(&self.config.path))
    }

    /// Adds a fresh key that [`FileKeys::signer`] returns from now on; the public halves of the
    /// others stay published until they are retired.
    ///
    /// # Errors
    /// As [`FileKeys::rotate`].
    pub async fn rotate_signer(&self, algorithm: SigningAlgorithm) -> Result<Arc<SigningKey>> {
        let key = SigningKey::generate(algorithm, &*self.entropy)?;
        let entry = signing_entry(&self.config, &key).await?;
        self.change(|ring| push_signing(ring, entry)).await?;
        self.signer().await
    }

    /// Takes a signing key out of the ring; what it signed is refused from now on.
    ///
    /// # Errors
    /// As [`FileKeys::retire`].
    pub async fn retire_signer(&self, id: &str) -> Result<()> {
        self.change(|ring| {
            let at = retirable(ring.signing.iter().map(|entry| entry.id.as_str()), id, "signs")?;
            ring.signing.remove(at);
            Ok(())
        })
        .await
    }

    /// Returns the public halves of all keys that sign, the current one first: to be published, and
    /// to check signatures with.
    ///
    /// # Errors
    /// As [`FileKeys::open`].
    pub async fn jwks(&self) -> Result<JwkSet> {
        let loaded = self.loaded().await?;
        Ok(JwkSet::new(loaded.signing.iter().rev().map(|key| key.public_key().clone())))
    }

    /// Takes keys that came from variables into the ring: those it does not hold yet become the
    /// current ones, in their order. Those it holds stay where they are, so a restart with the same
    /// variables does not undo a rotation. Returns how many were new.
    ///
    /// # Errors
    /// As [`FileKeys::rotate`].
    pub async fn import(&self, keys: &EnvironmentKeys) -> Result<usize> {
        let known = self.loaded().await?;
        let (mut sealing, mut signing) = (Vec::new(), Vec::new());
        for (id, key) in keys.sealing() {
            if known.sealing.iter().all(|(known, _)| known != id) {
                sealing.push(sealing_entry(&self.config, key).await?);
            }
        }
        if let Some(key) = keys.signer()
            && known.signing.iter().all(|known| known.key_id() != key.key_id())
        {
            signing.push(signing_entry(&self.config, key).await?);
        }
        let new = sealing.len() + signing.len();
        if new > 0 {
            self.change(|ring| {
                // Another replica may have been quicker with the same keys.
                sealing.retain(|new| ring.sealing.iter().all(|known| known.id != new.id));
                signing.retain(|new| ring.signing.iter().all(|known| known.id != new.id));
                sealing.drain(..).try_for_each(|entry| push_sealing(ring, entry))?;
                signing.drain(..).try_for_each(|entry| push_signing(ring, entry))
            })
            .await?;
        }
        Ok(new)
    }

    /// Changes the file as it is now, alone.
    async fn change(&self, change: impl FnOnce(&mut RingFile) -> Result<()> + Send) -> Result<()> {
        let path = &self.config.path;
        {
            let lock = Lock::take(path)?;
            let (_, mut ring) = disk::read(path)?.ok_or_else(|| gone(path))?;
            check_protection(&self.config, &ring)?;
            change(&mut ring).map_err(|error| error.with_operation("change_keys"))?;
            lock.replace(&ring, &*self.entropy)?;
        }
        self.loaded().await.map(drop)
    }

    /// Returns what the file holds, read again only if it changed.
    async fn loaded(&self) -> Result<Arc<Loaded>> {
        let stamp = Stamp::at(&self.config.path)?;
        let known = Arc::clone(&self.loaded.lock().unwrap_or_else(PoisonError::into_inner));
        if known.stamp == stamp {
            return Ok(known);
        }
        let read = Loaded::read(&self.config, &self.entropy, &known.sealing).await?;
        let read = Arc::new(read.ok_or_else(|| gone(&self.config.path))?);
        // An older state that wins a race here has another stamp, so the next call reads again.
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&read);
        Ok(read)
    }
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeys").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyManager for FileKeys {
    async fn current_key(&self) -> Result<KeyId> {
        self.loaded().await?.ring.current_key().await
    }

    async fn wrap(&self, plain: &Secret<Vec<u8>>, owner: &SecretOwner) -> Result<Sealed> {
        self.loaded().await?.ring.wrap(plain, owner).await
    }

    async fn unwrap(&self, sealed: &Sealed, owner: &SecretOwner) -> Result<Secret<Vec<u8>>> {
        self.loaded().await?.ring.unwrap(sealed, owner).await
    }
}

impl Loaded {
    /// Reads the file, if there is one; keys that are known already are not unwrapped again.
    async fn read(
        config: &FileKeysConfig,
        entropy: &Arc<dyn Entropy>,
        known: &[(KeyId, Secret<[u8; KEY_BYTES]>)],
    ) -> Result<Option<Self>> {
        let path = &config.path;
        let Some((stamp, file)) = disk::read(path)? else { return Ok(None) };
        check_protection(config, &file)?;
        let ring = MemoryKeys::empty(Arc::clone(entropy));
        let (mut sealing, mut signing) = (Vec::new(), Vec::<Arc<SigningKey>>::new());
        for entry in &file.sealing {
            let key = match known.iter().find(|(id, _)| id.as_str() == entry.id) {
                Some((_, key)) => key.clone(),
                None => open_sealing(config, entry).await?,
            };
            let id = name_of(&key)?;
            if id.as_str() != entry.id {
                return Err(disk::damaged(path, "a key has another name than it should"));
            }
            ring.add(id.clone(), key.clone())
                .map_err(|error| disk::damaged(path, "a key is there twice").with_source(error))?;
            sealing.push((id, key));
        }
        for entry in &file.signing {
            let key = open_signing(config, entry).await?;
            if signing.iter().any(|known| known.key_id() == key.key_id()) {
                return Err(disk::damaged(path, "two keys that sign have one name"));
            }
            signing.push(Arc::new(key));
        }
        Ok(Some(Self { stamp, ring, sealing, signing }))
    }
}

fn check_protection(config: &FileKeysConfig, file: &RingFile) -> Result<()> {
    let (found, expected) = (&file.protection, config.protection.name());
    if found == expected {
        return Ok(());
    }
    let shown = config.path.display();
    let message = format!("the keys in {shown} are wrapped by {found:?}, not by {expected:?}");
    Err(Error::new(ErrorKind::BadInput, message)
        .with_operation("open_keys")
        .with_hint("configure what wrapped them, or name another file"))
}

fn gone(path: &Path) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{} is gone", path.display()))
        .with_operation("open_keys")
        .with_hint("bring it back from a backup; a new one opens nothing that was sealed before")
}

/// A new ring: one key that seals, and one that signs.
async fn fresh(config: &FileKeysConfig, entropy: &dyn Entropy) -> Result<RingFile> {
    let mut ring = RingFile::new(config.protection.name());
    ring.sealing.push(sealing_entry(config, &fresh_key(entropy)).await?);
    let signer = SigningKey::generate(config.algorithm, entropy)?;
    ring.signing.push(signing_entry(config, &signer).await?);
    Ok(ring)
}

fn fresh_key(entropy: &dyn Entropy) -> Secret<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    entropy.fill(&mut *key);
    Secret::new(*key)
}

fn push_sealing(ring: &mut RingFile, entry: SealingEntry) -> Result<()> {
    if ring.sealing.len() >= MemoryKeys::KEYS_MAX {
        return Err(full("seal everything under the newest key, then retire the oldest"));
    }
    ring.sealing.push(entry);
    Ok(())
}

fn push_signing(ring: &mut RingFile, entry: SigningEntry) -> Result<()> {
    if ring.signing.len() >= SIGNING_KEYS_MAX {
        return Err(full("retire the oldest key that signs"));
    }
    ring.signing.push(entry);
    Ok(())
}

fn full(hint: &str) -> Error {
    Error::new(ErrorKind::QuotaExceeded, "the ring of keys is full").with_hint(hint)
}

/// Returns where a key stands that may go: it is there, and it is not the last.
fn retirable<'a>(
    ids: impl ExactSizeIterator<Item = &'a str>,
    id: &str,
    does: &str,
) -> Result<usize> {
    let last = ids.len().saturating_sub(1);
    match ids.enumerate().find(|(_, known)| *known == id) {
        None => Err(Error::new(ErrorKind::NotFound, format!("the key {id} is not in the ring"))
            .with_hint("name a key that is")),
        Some((at, _)) if at == last => {
            Err(Error::new(ErrorKind::Conflict, format!("the key {id} {does} now"))
                .with_hint("rotate first: its successor has to be there"))
        }
        Some((at, _)) => Ok(at),
    }
}
