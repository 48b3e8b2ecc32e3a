//! Blobs in a directory, in memory, and (feature `s3`) in S3, R2 and what speaks like them.
//!
//! One type, [`ObjectBlobs`], keeps the contract of
//! [`BlobStore`](sam_core::blob::BlobStore) over all of them: every key is taken, also on a file
//! system; listings are in the order of the keys or an error; a missing bucket is never a missing
//! blob. The crate `object_store` is named in this folder alone.
//!
//! ```
//! use sam_core::blob::{BlobStore, PutBlob};
//! use sam_providers::blob::ObjectBlobs;
//! # futures_util::future::FutureExt::now_or_never(async {
//! # let directory = tempfile::tempdir()?;
//! # let data = directory.path();
//! let blobs = ObjectBlobs::directory(&data.join("blobs"))?;
//! // Both are blobs, here as in any store.
//! for key in ["logs/ws-1", "logs/ws-1/boot.txt"] {
//!     blobs.put(PutBlob::new(key.parse()?, "ready".into())?).await?;
//! }
//! let blob = blobs.get(&"logs/ws-1".parse()?).await?.expect("it was put");
//! assert_eq!(blob.collect(1_024).await?, "ready");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap().unwrap();
//! ```

mod agents;
mod fault;
mod files;
mod layout;
mod objects;
#[cfg(feature = "s3")]
mod s3;

pub use self::agents::{AGENT_PROGRAM, AGENTS, AgentRelease, SUM_SUFFIX, find_agent, put_agent};
pub use self::objects::ObjectBlobs;
#[cfg(feature = "s3")]
pub use self::s3::S3Config;
