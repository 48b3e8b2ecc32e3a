//! Keys: who signs and who checks, and who seals secrets, apart from where the keys are kept.
//!
//! The private half may live in a key service, so signing is asynchronous and may fail; checking
//! needs public keys alone and is a plain function.

mod ed25519;
mod key_manager;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;

pub use self::ed25519::{Ed25519Signer, Ed25519Verifier, ed25519_key_id};
pub use self::key_manager::{KeyId, KeyManager, MemoryKeys, Sealed, SecretOwner};

/// Signs messages with one private key.
///
/// # Contract
/// - **C1** `key_id` names the key that `sign` uses, and no other, and never changes.
/// - **C2** A signature of any message, the empty one included, is accepted by the [`Verifier`] that knows the public half under that id.
/// - **C3** Signing has no effect outside and may be repeated.
///
/// ```
/// use sam_core::Secret;
/// use sam_core::keys::{Ed25519Signer, Ed25519Verifier, Signer, Verifier};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let signer = Ed25519Signer::from_seed(&Secret::new([7; 32]));
/// let verifier = Ed25519Verifier::new([signer.public_key()])?;
/// let signature = signer.sign(b"hello").await?;
/// verifier.verify(signer.key_id(), b"hello", &signature)?;
/// assert!(verifier.verify(signer.key_id(), b"hullo", &signature).is_err());
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync + 'static {
    /// Returns the name of the key, as a verifier is told it.
    fn key_id(&self) -> &str;

    /// Signs a message.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Denied`, where the key lies in a service.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// Checks signatures against a set of public keys.
///
/// # Contract
/// - **C1** Success means that the holder of the named key signed exactly this message.
/// - **C2** An unknown key id and a wrong signature are the same error.
///
/// See [`Signer`] for an example.
pub trait Verifier: fmt::Debug + Send + Sync + 'static {
    /// Checks a signature.
    ///
    /// # Errors
    /// `Unauthenticated` when the key is unknown or the signature is wrong.
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Result<()>;
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Signer + ?Sized> Signer for $pointer {
            fn key_id(&self) -> &str {
                (**self).key_id()
            }
            async fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
                (**self).sign(message).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<T: Verifier + ?Sized> Verifier for $pointer {
            fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Result<()> {
                (**self).verify(key_id, message, signature)
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
