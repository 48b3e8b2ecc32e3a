//! GitHub for SAM.

pub mod private_key;
mod rs256;

pub use self::private_key::{PrivateKey, PrivateKeyError};
pub use self::rs256::{Rs256Signer, Rs256Verifier};
