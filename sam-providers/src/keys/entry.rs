//! The keys of a ring's file: wrapped on their way in, opened and compared on their way out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sam_core::keys::{KeyId, SecretOwner, Signer as _};
use sam_core::{Error, ErrorKind, Result, Secret};
use zeroize::Zeroizing;

use super::disk::{self, SealingEntry, SigningEntry};
use super::file::FileKeysConfig;
use super::jwk::SigningAlgorithm;
use super::sealing::{KEY_BYTES, name_of};
use super::signing::SigningKey;

fn sealing_owner(id: &str) -> Result<SecretOwner> {
    format!("ring/sealing/{id}").parse()
}

fn signing_owner(id: &str) -> Result<SecretOwner> {
    format!("ring/signing/{id}").parse()
}

async fn protect(
    config: &FileKeysConfig,
    owner: &SecretOwner,
    key: &Secret<Vec<u8>>,
) -> Result<String> {
    let most = config.protection.key_bytes_max();
    if key.expose().len() > most {
        let message = format!("{} wraps keys of at most {most} bytes", config.protection.name());
        return Err(Error::new(ErrorKind::BadInput, message)
            .with_operation("change_keys")
            .with_hint("use a smaller key: RSA of 2048 bits, or Ed25519"));
    }
    let wrapped = Zeroizing::new(config.protection.protect(owner, key).await?);
    Ok(URL_SAFE_NO_PAD.encode(&*wrapped))
}

async fn open(config: &FileKeysConfig, owner: &SecretOwner, key: &str) -> Result<Secret<Vec<u8>>> {
    let wrapped = URL_SAFE_NO_PAD.decode(key).map(Zeroizing::new);
    let wrapped = wrapped.map_err(|_| disk::damaged(&config.path, "a key is not base64"))?;
    config.protection.open(owner, &wrapped).await
}

/// Wraps a key that seals.
pub(super) async fn sealing_entry(
    config: &FileKeysConfig,
    key: &Secret<[u8; KEY_BYTES]>,
) -> Result<SealingEntry> {
    let id = name_of(key)?.as_str().to_owned();
    let bytes = Secret::new(key.expose().to_vec());
    let key = protect(config, &sealing_owner(&id)?, &bytes).await?;
    Ok(SealingEntry { id, key })
}

/// Opens a key that seals; its name is the caller's to compare.
pub(super) async fn open_sealing(
    config: &FileKeysConfig,
    entry: &SealingEntry,
) -> Result<Secret<[u8; KEY_BYTES]>> {
    let opened = open(config, &sealing_owner(&entry.id)?, &entry.key).await?;
    <[u8; KEY_BYTES]>::try_from(opened.expose().as_slice())
        .map(Secret::new)
        .map_err(|_| disk::damaged(&config.path, "a key has a wrong length"))
}

/// Wraps a key that signs.
pub(super) async fn signing_entry(
    config: &FileKeysConfig,
    key: &SigningKey,
) -> Result<SigningEntry> {
    let id = key.key_id().to_owned();
    let stored = protect(config, &signing_owner(&id)?, &key.stored()).await?;
    let thumbprint = key.public_key().thumbprint();
    Ok(SigningEntry { id, algorithm: key.algorithm(), thumbprint, key: stored })
}

/// Opens a key that signs, and compares it with its thumbprint.
pub(super) async fn open_signing(
    config: &FileKeysConfig,
    entry: &SigningEntry,
) -> Result<SigningKey> {
    let damaged = |why| disk::damaged(&config.path, why);
    let id: KeyId = entry.id.parse().map_err(|_| damaged("a key has an unusable name"))?;
    let opened = open(config, &signing_owner(&entry.id)?, &entry.key).await?;
    let key = match entry.algorithm {
        SigningAlgorithm::EdDsa => <[u8; 32]>::try_from(opened.expose().as_slice())
            .ok()
            .map(|seed| SigningKey::of_seed(Secret::new(seed), Some(id))),
        SigningAlgorithm::Rs256 => SigningKey::of_der(opened.expose(), Some(id)).ok(),
    };
    key.filter(|key| key.public_key().thumbprint() == entry.thumbprint)
        .ok_or_else(|| damaged("a key that signs is not the one it was"))
}
