//! Keys: a ring in a file that replicas share, and keys from variables.
//!
//! Both seal and open secrets ([`KeyManager`](sam_core::keys::KeyManager)) and sign tokens with
//! RS256 or `EdDSA` ([`Signer`](sam_core::keys::Signer)); their public halves are published as a
//! [`JwkSet`]. RSA is left to aws-lc-rs.
//!
//! - **A rotation loses nothing**: the new key seals and signs, old ones open and check until they
//!   are retired by name; the current one cannot be.
//! - **Of several replicas one makes the ring**, changes come one after the other, and each sees
//!   the others' with its next call.
//! - **No error shows a key**: it names the file or the variable and what is wrong with it.
//!
//! ```
//! use std::sync::Arc;
//! use sam_core::Secret;
//! use sam_core::keys::{KeyManager, Signer};
//! use sam_core::entropy::SeededEntropy;
//! use sam_providers::keys::{FileKeys, FileKeysConfig};
//! # futures_util::future::FutureExt::now_or_never(async {
//! # let directory = tempfile::tempdir()?;
//! # let data = directory.path();
//! // Seeded bytes are for examples only: a host hands in the system's.
//! let entropy = Arc::new(SeededEntropy::new(1));
//! let keys = FileKeys::open(FileKeysConfig::new(data.join("ring.json")), entropy).await?;
//! let owner = "credential/cr-1".parse()?;
//! let sealed = keys.wrap(&Secret::new(b"hunter2".to_vec()), &owner).await?;
//! let old = sealed.key_id().clone();
//! let new = keys.rotate().await?;
//! assert_eq!(keys.current_key().await?, new);
//! assert_eq!(keys.unwrap(&sealed, &owner).await?.expose(), b"hunter2");
//! // Only after everything was sealed anew:
//! keys.retire(&old).await?;
//! let published = serde_json::to_value(keys.jwks().await?)?;
//! assert_eq!(published["keys"][0]["kid"], keys.signer().await?.key_id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap().unwrap();
//! ```

mod armour;
mod disk;
mod entry;
mod environment;
mod file;
mod flaw;
mod jwk;
mod private;
mod protection;
mod sealing;
mod signing;

pub use self::environment::{EnvironmentKeys, KeyVariables};
pub use self::file::{FileKeys, FileKeysConfig};
pub use self::jwk::{Jwk, JwkSet, SigningAlgorithm};
pub use self::protection::{RingProtection, Unprotected};
pub use self::signing::SigningKey;
