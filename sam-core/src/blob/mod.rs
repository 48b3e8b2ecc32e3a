//! Blobs: bytes under a key, for caches, recordings and hand-overs between machines.

mod forward;
mod key;
mod memory;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use self::key::{BlobKey, ParseBlobKeyError};
pub use self::memory::MemoryBlobs;
use crate::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;

/// Puts, reads, lists and deletes blobs.
///
/// # Contract
/// - **C1** `put` is all or nothing: a reader sees the blob before it or after it, never a part.
/// - **C2** `put` with [`PutMode::CreateOnly`] never replaces: of concurrent ones exactly one
///   succeeds, the others are `AlreadyExists`.
/// - **C3** After `put` succeeded, `get` and `list` show it.
/// - **C4** `get` returns `None` only when the store is sure that the blob is absent; a stream that
///   ends without an error has given every byte.
/// - **C5** `list` returns whole pages in the order of the keys, or an error.
/// - **C6** `delete` of the absent succeeds; it deletes one blob, not what lies below its key.
/// - **C7** Every key is taken, and every blob up to what `capabilities` names; a larger one is
///   `BadInput`.
/// - **C8** There is a signer of URLs where that is claimed, and none where it is not.
///
/// ```
/// use sam_core::blob::{BlobStore, MemoryBlobs, PutBlob};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let blobs = MemoryBlobs::new();
/// let key: sam_core::blob::BlobKey = "logs/ws-1/boot.txt".parse()?;
/// blobs.put(PutBlob::new(key.clone(), "ready".into())?).await?;
/// let blob = blobs.get(&key).await?.expect("it was put");
/// assert_eq!(blob.collect(1_024).await?, "ready");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait BlobStore: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Returns the facts a caller plans with.
    fn capabilities(&self) -> BlobCapabilities;

    /// Writes a blob. Repeatable with [`PutMode::Replace`]; with [`PutMode::CreateOnly`] a repeated
    /// call finds its own blob and is `AlreadyExists`.
    ///
    /// # Errors
    /// `AlreadyExists`; `QuotaExceeded`, `Unavailable`, `Timeout`, …; check `effect()`.
    async fn put(&self, request: PutBlob) -> Result<BlobInfo>;

    /// Opens a blob.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …, here or in the stream; absence is not an error.
    async fn get(&self, key: &BlobKey) -> Result<Option<Blob>>;

    /// Returns one page of what lies under a prefix.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …
    async fn list(&self, query: &ListBlobs) -> Result<Page<BlobInfo>>;

    /// Deletes a blob. Repeatable.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; absence is not an error.
    async fn delete(&self, key: &BlobKey) -> Result<()>;

    /// Returns the signer of URLs, where others may read and write without our credentials.
    fn url_signer(&self) -> Option<&dyn UrlSigner>;
}

/// Makes URLs that carry the right to one blob for a while.
///
/// # Contract
/// - **C1** The URL gives the asked access to the one blob and to nothing else.
/// - **C2** It ends after the asked lifetime, at most [`SignUrl::LIFETIME_MAX`].
#[async_trait]
pub trait UrlSigner: fmt::Debug + Send + Sync + 'static {
    /// Makes a URL. It is a secret: whoever has it has the access.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`, `Timeout`, …
    async fn sign_url(&self, request: &SignUrl) -> Result<Secret<String>>;
}

/// Facts a caller plans with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobCapabilities {
    /// The largest blob that is taken, at most [`PutBlob::BYTES_MAX`] bytes.
    pub blob_bytes_max: usize,
    /// URLs can be signed.
    pub signed_urls: bool,
}

impl BlobCapabilities {
    /// Describes a store without signed URLs.
    pub const fn new(blob_bytes_max: usize) -> Self {
        Self { blob_bytes_max, signed_urls: false }
    }

    /// Claims signed URLs.
    #[must_use]
    pub const fn with_signed_urls(mut self) -> Self {
        self.signed_urls = true;
        self
    }
}

/// What a put does where the key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PutMode {
    /// Fails with `AlreadyExists`.
    CreateOnly,
    /// Replaces the blob.
    #[default]
    Replace,
}

/// Asks to write a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutBlob {
    /// Where.
    pub key: BlobKey,
    /// What; at most [`PutBlob::BYTES_MAX`] bytes.
    pub content: Bytes,
    /// What happens where the key is taken.
    pub mode: PutMode,
}

impl PutBlob {
    /// Largest blob, in bytes: it is held in memory once.
    pub const BYTES_MAX: usize = 64 << 20;

    /// Asks to write a blob, replacing one that is there.
    ///
    /// # Errors
    /// `BadInput` when it is larger than [`PutBlob::BYTES_MAX`].
    pub fn new(key: BlobKey, content: Bytes) -> Result<Self> {
        if content.len() > Self::BYTES_MAX {
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("a blob has at most {} bytes, not {}", Self::BYTES_MAX, content.len()),
            )
            .with_hint("split it under several keys"));
        }
        Ok(Self { key, content, mode: PutMode::default() })
    }

    /// Sets what happens where the key is taken.
    #[must_use]
    pub fn with_mode(mut self, mode: PutMode) -> Self {
        self.mode = mode;
        self
    }
}

/// A blob that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobInfo {
    /// Where.
    pub key: BlobKey,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl BlobInfo {
    /// Describes a blob.
    pub const fn new(key: BlobKey, size_bytes: u64) -> Self {
        Self { key, size_bytes }
    }
}

/// An opened blob: its description, and its bytes as they come.
pub struct Blob {
    info: BlobInfo,
    content: BoxStream<'static, Result<Bytes>>,
}

impl Blob {
    /// Puts an opened blob together.
    pub fn new(info: BlobInfo, content: BoxStream<'static, Result<Bytes>>) -> Self {
        Self { info, content }
    }

    /// Returns its description.
    pub const fn info(&self) -> &BlobInfo {
        &self.info
    }

    /// Returns its bytes as they come.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        self.content
    }

    /// Reads all of it into memory.
    ///
    /// # Errors
    /// `BadInput` when it has more than `bytes_max`; what the stream ends with; `Corrupt` when it
    /// ends early.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes> {
        use futures_util::StreamExt as _;
        let mut all = bytes::BytesMut::new();
        while let Some(chunk) = self.content.next().await {
            let chunk = chunk?;
            if all.len().saturating_add(chunk.len()) > bytes_max {
                return Err(Error::new(
                    ErrorKind::BadInput,
                    format!("the blob {} has more than {bytes_max} bytes", self.info.key),
                ));
            }
            all.extend_from_slice(&chunk);
        }
        if u64::try_from(all.len()).is_ok_and(|read| read == self.info.size_bytes) {
            Ok(all.freeze())
        } else {
            Err(Error::new(ErrorKind::Corrupt, format!("the blob {} ended early", self.info.key)))
        }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Asks for one page of blobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ListBlobs {
    /// What the keys begin with; whole segments, empty for all.
    pub under: Option<BlobKey>,
    /// Continues a listing, from [`Page::next`](crate::Page::next).
    pub after: Option<String>,
}

impl ListBlobs {
    /// Most blobs on a page.
    pub const LIMIT_MAX: usize = 1_000;

    /// Asks for the first page of everything below a key.
    pub const fn new(under: Option<BlobKey>) -> Self {
        Self { under, after: None }
    }

    /// Continues a listing.
    #[must_use]
    pub fn with_after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }
}

/// What a signed URL allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlAccess {
    /// Reading the blob.
    Read,
    /// Writing the blob.
    Write,
}

/// Asks for a signed URL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignUrl {
    /// The blob.
    pub key: BlobKey,
    /// What it allows.
    pub access: UrlAccess,
    /// How long, at most [`SignUrl::LIFETIME_MAX`].
    pub lifetime: Duration,
}

impl SignUrl {
    /// Longest life of a URL: such a right cannot be taken back.
    pub const LIFETIME_MAX: Duration = Duration::from_hours(1);

    /// Asks for a URL; a longer lifetime is cut.
    pub fn new(key: BlobKey, access: UrlAccess, lifetime: Duration) -> Self {
        Self { key, access, lifetime: lifetime.min(Self::LIFETIME_MAX) }
    }
}
