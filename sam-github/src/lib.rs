//! GitHub for SAM, so far the first slice of it.
//!
//! **What is here:** [`private_key`] reads the private key of a GitHub App in every wrapping people
//! paste, says what is wrong with what is not one, and converts between PKCS#1, which GitHub hands
//! out, and PKCS#8, which signers take.
//!
//! **What is not here yet:** the App's own token (JWT), installation tokens and with them an
//! implementation of `sam_core::forge::RepoAccess`, sign-in by OAuth, webhooks, and git
//! credentials. Until then a host brings its own tokens.
//!
//! The `rsa` crate is used to read and check keys and for nothing else: nothing is signed or
//! decrypted with it, because its arithmetic does not run in constant time.

pub mod private_key;

pub use self::private_key::{PrivateKey, PrivateKeyError};
