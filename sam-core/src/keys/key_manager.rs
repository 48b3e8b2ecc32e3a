//! Envelope encryption: secrets at rest are sealed under a key that can change.
//!
//! # The sealed format
//! One sealed value, from its first byte:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the format, `0x01` |
//! | 1 | *n*, the length of the key's id, 1 to 64 |
//! | *n* | the key's id, ASCII |
//! | 12 | the nonce, random for each value |
//! | as many as the plain text | the AES-256-GCM cipher text |
//! | 16 | its tag |
//!
//! What the tag covers beside the cipher text is the header (all bytes before the nonce) followed by
//! the owner the caller named. The header says its own length, so no two pairs of header and owner
//! give the same bytes. Nonces are random: one key seals at most 2³² values, so change it before.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use async_trait::async_trait;
use zeroize::Zeroize as _;

use crate::Secret;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind, Result};

/// Seals and opens small secrets.
///
/// # Contract
/// - **C1** `unwrap` of what `wrap` gave returns the same bytes, for the same owner, as long as its
///   key is in the ring.
/// - **C2** `wrap` uses the key that `current_key` names; after a new key came, older ones still
///   open.
/// - **C3** Another owner, a changed byte or a cut end is `Corrupt`, and nothing of the plain text
///   comes out.
/// - **C4** A key that is not in the ring is `NotFound`, and the error names it.
/// - **C5** Sealing the same twice gives different bytes.
/// - **C6** A secret of [`Sealed::PLAIN_BYTES_MAX`] bytes is sealed, a larger one is `BadInput`.
///
/// ```
/// use std::sync::Arc;
/// use sam_core::Secret;
/// use sam_core::entropy::SeededEntropy;
/// use sam_core::keys::{KeyManager, MemoryKeys, SecretOwner};
/// # futures_util::future::FutureExt::now_or_never(async {
/// // Seeded bytes are for tests only: a host hands in the system's.
/// let keys = MemoryKeys::new(Arc::new(SeededEntropy::new(1)));
/// let owner: SecretOwner = "credential/cr-1".parse()?;
/// let sealed = keys.wrap(&Secret::new(b"hunter2".to_vec()), &owner).await?;
/// assert_eq!(sealed.key_id(), &keys.current_key().await?);
/// assert_eq!(keys.unwrap(&sealed, &owner).await?.expose(), b"hunter2");
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait KeyManager: fmt::Debug + Send + Sync + 'static {
    /// Returns the id of the key that seals now.
    ///
    /// # Errors
    /// `NotFound` when there is no key; `Unavailable`, `Timeout`, …
    async fn current_key(&self) -> Result<KeyId>;

    /// Seals a secret for an owner.
    ///
    /// # Errors
    /// `BadInput` when it is larger than [`Sealed::PLAIN_BYTES_MAX`]; `NotFound` when there is no
    /// key; `Unavailable`, `Timeout`, …
    async fn wrap(&self, plain: &Secret<Vec<u8>>, owner: &SecretOwner) -> Result<Sealed>;

    /// Opens a sealed secret of an owner.
    ///
    /// # Errors
    /// `Corrupt` for another owner or changed bytes; `NotFound` when its key is not in the ring;
    /// `Unavailable`, `Timeout`, …
    async fn unwrap(&self, sealed: &Sealed, owner: &SecretOwner) -> Result<Secret<Vec<u8>>>;
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: KeyManager + ?Sized> KeyManager for $pointer {
            async fn current_key(&self) -> Result<KeyId> {
                (**self).current_key().await
            }
            async fn wrap(&self, plain: &Secret<Vec<u8>>, owner: &SecretOwner) -> Result<Sealed> {
                (**self).wrap(plain, owner).await
            }
            async fn unwrap(&self, sealed: &Sealed, owner: &SecretOwner) -> Result<Secret<Vec<u8>>> {
                (**self).unwrap(sealed, owner).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);

/// Names a key of a ring: 1 to 64 characters of `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Longest id, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(legal) {
            return Err(Error::new(
                ErrorKind::BadInput,
                "a key's id is 1 to 64 letters, digits, '.', '_' or '-'",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whose secret it is, such as `credential/cr-…`: 1 to [`SecretOwner::BYTES_MAX`] bytes of printable
/// ASCII. A sealed secret opens only for the owner it was sealed for, so that swapping two rows of
/// a table gives nobody another's secret. It is also the name under which a
/// [`SecretStore`](crate::secrets::SecretStore) keeps it, and is itself no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretOwner(String);

impl SecretOwner {
    /// Longest text, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SecretOwner {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let legal = |b: u8| b.is_ascii_graphic();
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(legal) {
            return Err(Error::new(
                ErrorKind::BadInput,
                "a secret's owner is 1 to 255 printable characters without blanks",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A sealed secret, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    key_id: KeyId,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Largest secret, in bytes.
    pub const PLAIN_BYTES_MAX: usize = 64 << 10;

    const FORMAT: u8 = 1;
    const NONCE_BYTES: usize = 12;
    const TAG_BYTES: usize = 16;

    /// Reads the header of sealed bytes. Whether they are genuine is known when they are opened.
    ///
    /// # Errors
    /// `Corrupt` when they are not in the format.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let corrupt = |why: &str| Error::new(ErrorKind::Corrupt, why);
        let (Some(&format), Some(&length)) = (bytes.first(), bytes.get(1)) else {
            return Err(corrupt("the sealed secret is cut off"));
        };
        if format != Self::FORMAT {
            return Err(corrupt("the sealed secret has an unknown format")
                .with_hint("it was written by a newer version: use that one"));
        }
        let head = usize::from(length) + 2;
        let key_id = bytes
            .get(2..head)
            .and_then(|id| std::str::from_utf8(id).ok())
            .and_then(|id| id.parse::<KeyId>().ok())
            .ok_or_else(|| corrupt("the sealed secret names no key"))?;
        let rest = bytes.len() - head;
        let least = Self::NONCE_BYTES + Self::TAG_BYTES;
        if rest < least || rest > least + Self::PLAIN_BYTES_MAX {
            return Err(corrupt("the sealed secret has an impossible length"));
        }
        Ok(Self { key_id, bytes })
    }

    /// Returns the key that opens it.
    pub const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn head(&self) -> usize {
        self.key_id.0.len() + 2
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("key_id", &self.key_id)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// A ring of keys in memory. It keeps nothing: whoever makes it hands in the keys, or lives without
/// what was sealed.
#[derive(Debug)]
pub struct MemoryKeys {
    entropy: Arc<dyn Entropy>,
    ring: Mutex<Vec<(KeyId, Secret<[u8; 32]>)>>,
}

impl MemoryKeys {
    /// Most keys in a ring.
    pub const KEYS_MAX: usize = 64;

    /// Makes a ring with one fresh key, called `k1`.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        let mut key = [0; 32];
        entropy.fill(&mut key);
        let ring = vec![(KeyId("k1".to_owned()), Secret::new(key))];
        key.zeroize();
        Self { entropy, ring: Mutex::new(ring) }
    }

    /// Makes a ring without keys; [`MemoryKeys::add`] them, oldest first.
    pub fn empty(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, ring: Mutex::default() }
    }

    /// Adds a key, which seals from now on; the others still open.
    ///
    /// # Errors
    /// `AlreadyExists` when the id is taken; `QuotaExceeded` when the ring is full.
    pub fn add(&self, id: KeyId, key: Secret<[u8; 32]>) -> Result<()> {
        let mut ring = self.lock();
        if ring.iter().any(|(known, _)| *known == id) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("the ring holds a key {id} already"),
            )
            .with_hint("give the new key an id of its own"));
        }
        if ring.len() >= Self::KEYS_MAX {
            return Err(Error::new(ErrorKind::QuotaExceeded, "the ring of keys is full")
                .with_hint("seal what is left under the newest key, then retire the oldest"));
        }
        ring.push((id, key));
        Ok(())
    }

    /// Takes a key out; what it sealed cannot be opened any more. Absence is no error.
    ///
    /// # Errors
    /// `Conflict` for the key that seals now.
    pub fn retire(&self, id: &KeyId) -> Result<()> {
        let mut ring = self.lock();
        if ring.last().is_some_and(|(current, _)| current == id) {
            return Err(Error::new(ErrorKind::Conflict, format!("the key {id} seals now"))
                .with_hint("add its successor first"));
        }
        ring.retain(|(known, _)| known != id);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(KeyId, Secret<[u8; 32]>)>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Result<(KeyId, Secret<[u8; 32]>)> {
        self.lock().last().cloned().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the ring holds no key")
                .with_hint("add a key before anything is sealed")
        })
    }
}

#[async_trait]
impl KeyManager for MemoryKeys {
    async fn current_key(&self) -> Result<KeyId> {
        Ok(self.current()?.0)
    }

    async fn wrap(&self, plain: &Secret<Vec<u8>>, owner: &SecretOwner) -> Result<Sealed> {
        if plain.expose().len() > Sealed::PLAIN_BYTES_MAX {
            return Err(Error::new(ErrorKind::BadInput, "a secret has at most 65536 bytes")
                .with_operation("wrap"));
        }
        let (key_id, key) = self.current()?;
        let mut nonce = [0; Sealed::NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        let length = u8::try_from(key_id.0.len())
            .map_err(|error| Error::new(ErrorKind::Bug, "a key's id is long").with_source(error))?;
        let mut bytes = vec![Sealed::FORMAT, length];
        bytes.extend_from_slice(key_id.0.as_bytes());
        let bound = [&bytes, owner.0.as_bytes()].concat();
        let sealed = Aes256Gcm::new(key.expose().into())
            .encrypt(&nonce.into(), Payload { msg: plain.expose(), aad: &bound })
            .map_err(|_| Error::new(ErrorKind::Bug, "the secret cannot be sealed"))?;
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(Sealed { key_id, bytes })
    }

    async fn unwrap(&self, sealed: &Sealed, owner: &SecretOwner) -> Result<Secret<Vec<u8>>> {
        let known = self.lock().iter().find(|(id, _)| id == sealed.key_id()).cloned();
        let Some((_, key)) = known else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the key {} is not in the ring", sealed.key_id()),
            )
            .with_operation("unwrap")
            .with_hint("bring the key back: nothing else opens this secret"));
        };
        let (head, rest) = sealed.bytes.split_at(sealed.head());
        let opened =
            rest.split_first_chunk::<{ Sealed::NONCE_BYTES }>().and_then(|(nonce, body)| {
                let bound = [head, owner.0.as_bytes()].concat();
                Aes256Gcm::new(key.expose().into())
                    .decrypt(nonce.into(), Payload { msg: body, aad: &bound })
                    .ok()
            });
        opened.map(Secret::new).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the sealed secret was changed, or is another owner's")
                .with_operation("unwrap")
                .with_hint("restore it from a backup, or put the secret in anew")
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SeededEntropy;

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing in memory waits")
    }

    fn owner(text: &str) -> SecretOwner {
        text.parse().unwrap()
    }

    fn keys() -> MemoryKeys {
        MemoryKeys::new(Arc::new(SeededEntropy::new(5)))
    }

    fn plain(bytes: &[u8]) -> Secret<Vec<u8>> {
        Secret::new(bytes.to_vec())
    }

    /// Counts up from 0x10.
    #[derive(Debug)]
    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.iter_mut().zip(0x10..).for_each(|(slot, byte)| *slot = byte);
        }
    }

    // Made with another implementation: AES-256-GCM, key 00..1f, nonce 10..1b, and as associated
    // data the header 01 06 "k-2026" followed by "credential/cr-1".
    const VECTOR: &str = "01066b2d32303236101112131415161718191a1b158bf6622cbb08ef98a27f8d4bc5c0e8\
                          faf100ace6dc84";

    fn vector() -> (MemoryKeys, Vec<u8>) {
        let ring = MemoryKeys::empty(Arc::new(Counting));
        let mut key = [0; 32];
        key.iter_mut().zip(0..).for_each(|(slot, byte)| *slot = byte);
        ring.add("k-2026".parse().unwrap(), Secret::new(key)).unwrap();
        let digits: Vec<u8> = VECTOR.bytes().collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        (ring, digits.chunks(2).map(byte).collect())
    }

    #[test]
    fn the_format_agrees_with_another_implementation() {
        let (ring, expected) = vector();
        let sealed = now(ring.wrap(&plain(b"hunter2"), &owner("credential/cr-1"))).unwrap();
        assert_eq!(sealed.as_bytes(), expected);
        let stored = Sealed::from_bytes(expected).unwrap();
        let opened = now(ring.unwrap(&stored, &owner("credential/cr-1"))).unwrap();
        assert_eq!(opened.expose(), b"hunter2");
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let (ring, good) = vector();
        let opens = |bytes: Vec<u8>| {
            let sealed = Sealed::from_bytes(bytes)?;
            now(ring.unwrap(&sealed, &owner("credential/cr-1"))).map(drop)
        };
        opens(good.clone()).unwrap();
        for at in 0..good.len() {
            for bit in [1, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                let kind = opens(bad).unwrap_err().kind();
                // A changed key id names a key that is not there.
                let expected = [ErrorKind::Corrupt, ErrorKind::NotFound];
                assert!(expected.contains(&kind), "byte {at}: {kind:?}");
            }
            assert_eq!(opens(good[..at].to_vec()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let longer = [good, vec![0]].concat();
        assert_eq!(opens(longer).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn another_owner_opens_nothing() {
        let ring = keys();
        let sealed = now(ring.wrap(&plain(b"canary"), &owner("credential/cr-1"))).unwrap();
        let error = now(ring.unwrap(&sealed, &owner("credential/cr-2"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!format!("{error:?}{sealed:?}").contains("canary"));
    }

    #[test]
    fn rotation_loses_nothing() {
        let ring: Arc<MemoryKeys> = Arc::new(keys());
        let (first, who) = (now(ring.current_key()).unwrap(), owner("a"));
        let old = now(ring.wrap(&plain(b"old"), &who)).unwrap();
        ring.add("k2".parse().unwrap(), Secret::new([9; 32])).unwrap();
        assert_eq!(now(ring.current_key()).unwrap().as_str(), "k2");
        let new = now(ring.wrap(&plain(b"new"), &who)).unwrap();
        assert_eq!((old.key_id().as_str(), new.key_id().as_str()), ("k1", "k2"));
        assert_eq!(now(ring.unwrap(&old, &who)).unwrap().expose(), b"old");
        assert_eq!(now(ring.unwrap(&new, &who)).unwrap().expose(), b"new");

        assert_eq!(ring.retire(&"k2".parse().unwrap()).unwrap_err().kind(), ErrorKind::Conflict);
        ring.retire(&first).unwrap();
        ring.retire(&first).unwrap();
        let error = now(ring.unwrap(&old, &who)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.public_message().contains("k1"));
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        let ring = keys();
        let seal = || now(ring.wrap(&plain(b"x"), &owner("a"))).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_ring_has_bounds_and_no_two_keys_of_one_name() {
        let ring = MemoryKeys::empty(Arc::new(SeededEntropy::new(1)));
        assert_eq!(now(ring.current_key()).unwrap_err().kind(), ErrorKind::NotFound);
        for index in 0..MemoryKeys::KEYS_MAX {
            ring.add(format!("k{index}").parse().unwrap(), Secret::new([0; 32])).unwrap();
        }
        let twice = ring.add("k0".parse().unwrap(), Secret::new([0; 32])).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
        let full = ring.add("k64".parse().unwrap(), Secret::new([0; 32])).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::QuotaExceeded);
        let large = plain(&vec![0; Sealed::PLAIN_BYTES_MAX + 1]);
        let error = now(keys().wrap(&large, &owner("a"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(secret: Vec<u8>, name in "[!-~]{1,255}") {
            let (ring, who) = (keys(), owner(&name));
            let sealed = now(ring.wrap(&plain(&secret), &who)).unwrap();
            let stored = Sealed::from_bytes(sealed.as_bytes().to_vec()).unwrap();
            let opened = now(ring.unwrap(&stored, &who)).unwrap();
            prop_assert_eq!(opened.expose(), &secret);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(sealed) = Sealed::from_bytes(bytes) {
                prop_assert!(now(keys().unwrap(&sealed, &owner("a"))).is_err());
            }
        }
    }
}
