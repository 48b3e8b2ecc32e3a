//! AWS KMS: a signer whose key never leaves it, and a ring of keys that the file alone does not open.
//!
//! It shows that the traits of the core suit a key service, and is one. What a
//! [`Sealed`](sam_core::keys::Sealed) holds is fixed (a key's name, a nonce, AES-256-GCM) and has no
//! room for a wrapped data key beside 64 KiB of secret. So KMS wraps the keys of the ring, and the
//! ring seals: [`FileKeys`](crate::keys::FileKeys) with [`KmsProtection`]. KMS is asked once for
//! each key when a ring is opened or changed, not for each secret; while it is out of reach,
//! replicas that run go on.
//!
//! Requests are signed here (Signature Version 4) and sent by the transport that is handed in.
//! Credentials are handed in, too; nothing is looked for in an environment or on a metadata address.
//! Nothing is repeated here: a caller sees every refusal.

mod client;
mod protection;
mod signer;
mod sigv4;

pub use self::client::KmsClient;
pub use self::protection::KmsProtection;
pub use self::signer::KmsSigner;
pub use self::sigv4::AwsCredentials;
