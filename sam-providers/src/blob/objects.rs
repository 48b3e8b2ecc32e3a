//! Blobs in a store of objects, whichever it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode as StorePutMode, PutOptions,
};
use sam_core::blob::{
    Blob, BlobCapabilities, BlobInfo, BlobKey, BlobStore, ListBlobs, PutBlob, PutMode, UrlSigner,
};
use sam_core::{Effect, Error, ErrorKind, Page, Result};

use super::fault::{Asked, is_absent, of};
use super::layout::Layout;

/// Most names of others that are passed over for one page; a store of ours holds none.
const FOREIGN_MAX: usize = 100_000;

/// Blobs in a directory, in memory, or in S3 and what speaks like it.
#[derive(Debug, Clone)]
pub struct ObjectBlobs {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) layout: Layout,
    /// How people name it.
    pub(super) place: Arc<str>,
    pub(super) remote: bool,
    pub(super) urls: Option<Arc<dyn UrlSigner>>,
}

impl ObjectBlobs {
    /// Keeps blobs in this process, for tests and trials.
    pub fn memory() -> Self {
        Self {
            store: Arc::new(object_store::memory::InMemory::new()),
            layout: Layout::Objects { prefix: None },
            place: "memory".into(),
            remote: false,
            urls: None,
        }
    }

    fn asked(&self, operation: &'static str, writes: bool) -> Asked<'_> {
        Asked { operation, place: &self.place, writes, remote: self.remote }
    }

    /// Looks at one blob.
    async fn look(&self, key: &BlobKey) -> Result<Option<BlobInfo>> {
        match self.store.head(&self.layout.blob(key)?).await {
            Ok(about) => Ok(Some(BlobInfo::new(key.clone(), about.size))),
            // An answer to HEAD has no text that says what is absent; what is asked besides says
            // whether the bucket is there.
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(of(error, self.asked("list", false))),
        }
    }

    fn stream(
        &self,
        under: &Path,
        after: Option<&Path>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let root = under.as_ref().is_empty();
        let prefix = (!root).then_some(under);
        match after {
            Some(after) => self.store.list_with_offset(prefix, after),
            None => self.store.list(prefix),
        }
    }

    /// Reads from a store that lists in the order of the keys until a page is full.
    async fn in_order(
        &self,
        query: &ListBlobs,
        after: Option<&BlobKey>,
        found: &mut BTreeMap<BlobKey, u64>,
    ) -> Result<()> {
        let under = self.layout.below(query.under.as_ref())?;
        let offset = after.map(|after| self.layout.blob(after)).transpose()?;
        let mut names = self.stream(&under, offset.as_ref());
        let mut last: Option<BlobKey> = None;
        let mut foreign = 0;
        while found.len() <= ListBlobs::LIMIT_MAX {
            let Some(next) = names.next().await else { break };
            let about = next.map_err(|error| of(error, self.asked("list", false)))?;
            let Some(key) = self.layout.key(&about.location) else {
                foreign += 1;
                if foreign > FOREIGN_MAX {
                    return Err(crowded(&self.place));
                }
                continue;
            };
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(disordered(&self.place));
            }
            last = Some(key.clone());
            found.insert(key, about.size);
        }
        Ok(())
    }

    /// Reads all names of a store without an order, and keeps the first of them.
    async fn first_of_all(
        &self,
        query: &ListBlobs,
        after: Option<&BlobKey>,
        found: &mut BTreeMap<BlobKey, u64>,
    ) -> Result<()> {
        let mut names = self.stream(&self.layout.below(query.under.as_ref())?, None);
        while let Some(next) = names.next().await {
            let about = next.map_err(|error| of(error, self.asked("list", false)))?;
            let Some(key) = self.layout.key(&about.location) else { continue };
            if after.is_none_or(|after| key > *after) {
                found.insert(key, about.size);
                // One more than a page, so that there is known to be a next.
                if found.len() > ListBlobs::LIMIT_MAX + 1 {
                    found.pop_last();
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for ObjectBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

#[async_trait]
impl BlobStore for ObjectBlobs {
    fn capabilities(&self) -> BlobCapabilities {
        let able = BlobCapabilities::new(PutBlob::BYTES_MAX);
        if self.urls.is_some() { able.with_signed_urls() } else { able }
    }

    async fn put(&self, request: PutBlob) -> Result<BlobInfo> {
        let size = request.content.len();
        if size > PutBlob::BYTES_MAX {
            let message = format!("a blob has at most {} bytes, not {size}", PutBlob::BYTES_MAX);
            return Err(Error::new(ErrorKind::BadInput, message)
                .with_operation("put")
                .with_hint("split it under several keys"));
        }
        let path = self.layout.blob(&request.key)?;
        let create = request.mode != PutMode::Replace;
        let mode = if create { StorePutMode::Create } else { StorePutMode::Overwrite };
        let put = self.store.put_opts(&path, request.content.into(), PutOptions::from(mode)).await;
        if let Err(error) = put {
            let error = of(error, self.asked("put", true));
            // S3 answers 409 to writers at the same time, whichever of them wins or none.
            if error.kind() == ErrorKind::AlreadyExists
                && self.remote
                && self.look(&request.key).await?.is_none()
            {
                let message = format!("{} is written by somebody else right now", request.key);
                return Err(Error::new(ErrorKind::Conflict, message)
                    .with_operation("put")
                    .with_hint("try again"));
            }
            return Err(error);
        }
        Ok(BlobInfo::new(request.key, u64::try_from(size).unwrap_or(u64::MAX)))
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Blob>> {
        match self.store.get(&self.layout.blob(key)?).await {
            Ok(opened) => Ok(Some(self.opened(key, opened))),
            Err(error) if is_absent(&error, self.remote) => Ok(None),
            Err(error) => Err(of(error, self.asked("get", false))),
        }
    }

    async fn list(&self, query: &ListBlobs) -> Result<Page<BlobInfo>> {
        let after = query.after.as_deref().map(str::parse::<BlobKey>).transpose();
        let after = after.map_err(|_| {
            Error::new(ErrorKind::BadInput, "the listing cannot be continued from there")
                .with_operation("list")
                .with_hint("hand back what the page before named as the next")
        })?;
        let mut found = BTreeMap::new();
        if let Some(under) = &query.under
            && after.as_ref().is_none_or(|after| under > after)
            && let Some(about) = self.look(under).await?
        {
            found.insert(about.key, about.size_bytes);
        }
        if self.layout.is_ordered() {
            self.in_order(query, after.as_ref(), &mut found).await?;
        } else {
            self.first_of_all(query, after.as_ref(), &mut found).await?;
        }
        let blobs = found.into_iter().map(|(key, size)| BlobInfo::new(key, size));
        Ok(Page::first(blobs, ListBlobs::LIMIT_MAX, |blob| blob.key.to_string()))
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        match self.store.delete(&self.layout.blob(key)?).await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error, self.remote) => Ok(()),
            Err(error) => Err(of(error, self.asked("delete", true))),
        }
    }

    fn url_signer(&self) -> Option<&dyn UrlSigner> {
        self.urls.as_deref()
    }
}

impl ObjectBlobs {
    fn opened(&self, key: &BlobKey, opened: GetResult) -> Blob {
        let info = BlobInfo::new(key.clone(), opened.meta.size);
        let (place, remote) = (Arc::clone(&self.place), self.remote);
        let state = (opened.into_stream(), info.size_bytes, place, false);
        let pieces = stream::unfold(state, move |(mut pieces, mut left, place, over)| async move {
            if over {
                return None;
            }
            let asked = Asked { operation: "get", place: &place, writes: false, remote };
            let piece = match pieces.next().await {
                Some(Ok(piece)) => {
                    let size = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                    match left.checked_sub(size) {
                        Some(rest) => {
                            left = rest;
                            Ok(piece)
                        }
                        None => Err(another_length(&place)),
                    }
                }
                Some(Err(error)) => Err(of(error, asked)),
                None if left == 0 => return None,
                None => Err(another_length(&place)),
            };
            let over = piece.is_err();
            Some((piece, (pieces, left, place, over)))
        });
        Blob::new(info, pieces.boxed())
    }
}

fn another_length(place: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a blob in {place} has another length than it says"))
        .with_operation("get")
        .with_hint("read it again")
}

fn disordered(place: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{place} does not list in the order of the keys"))
        .with_operation("list")
        .with_effect(Effect::NotApplied)
        .with_hint("use a general purpose bucket: directory buckets have no order")
}

fn crowded(place: &str) -> Error {
    let message = format!("{place} holds more than {FOREIGN_MAX} objects that are no blobs");
    Error::new(ErrorKind::Conflict, message)
        .with_operation("list")
        .with_hint("give SAM a bucket or a prefix of its own")
}
