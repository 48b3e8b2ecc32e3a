//! Blobs in memory, for tests, examples and measurements.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::{
    Blob, BlobCapabilities, BlobInfo, BlobKey, BlobStore, ListBlobs, PutBlob, PutMode, UrlSigner,
};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;

/// Bytes per piece of a stream, small enough that readers meet several.
const PIECE_BYTES: usize = 64 << 10;

/// Blobs that live in this process.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<BlobKey, Bytes>>);

impl MemoryBlobs {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlobKey, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for MemoryBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

fn info(key: &BlobKey, content: &Bytes) -> BlobInfo {
    BlobInfo::new(key.clone(), u64::try_from(content.len()).unwrap_or(u64::MAX))
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    fn capabilities(&self) -> BlobCapabilities {
        BlobCapabilities::new(PutBlob::BYTES_MAX)
    }

    async fn put(&self, request: PutBlob) -> Result<BlobInfo> {
        let mut blobs = self.lock();
        if request.mode == PutMode::CreateOnly && blobs.contains_key(&request.key) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("there is a blob {} already", request.key),
            )
            .with_operation("put")
            .with_hint("use another key, or read what is there"));
        }
        let put = info(&request.key, &request.content);
        blobs.insert(request.key, request.content);
        Ok(put)
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Blob>> {
        let Some(content) = self.lock().get(key).cloned() else { return Ok(None) };
        let about = info(key, &content);
        let pieces = stream::unfold(content, |mut rest| async move {
            let piece = rest.split_to(PIECE_BYTES.min(rest.len()));
            (!piece.is_empty()).then_some((Ok(piece), rest))
        });
        Ok(Some(Blob::new(about, pieces.boxed())))
    }

    async fn list(&self, query: &ListBlobs) -> Result<Page<BlobInfo>> {
        let blobs = self.lock();
        let left = blobs
            .iter()
            .filter(|(key, _)| query.after.as_deref().is_none_or(|after| key.as_str() > after))
            .filter(|(key, _)| query.under.as_ref().is_none_or(|under| key.is_under(under)))
            .map(|(key, content)| info(key, content));
        Ok(Page::first(left, ListBlobs::LIMIT_MAX, |blob| blob.key.to_string()))
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.lock().remove(key);
        Ok(())
    }

    fn url_signer(&self) -> Option<&dyn UrlSigner> {
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing in memory waits")
    }

    fn put(key: &str, content: &'static [u8]) -> PutBlob {
        PutBlob::new(key.parse().unwrap(), Bytes::from_static(content)).unwrap()
    }

    #[test]
    fn a_put_replaces_unless_it_may_only_create() {
        let blobs: Box<dyn BlobStore> = Box::new(MemoryBlobs::new());
        now(blobs.put(put("a", b"one").with_mode(PutMode::CreateOnly))).unwrap();
        let error = now(blobs.put(put("a", b"two").with_mode(PutMode::CreateOnly))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let read = |key: &str| now(blobs.get(&key.parse().unwrap())).unwrap().unwrap();
        assert_eq!(now(read("a").collect(9)).unwrap(), "one");
        now(blobs.put(put("a", b"three"))).unwrap();
        assert_eq!(now(read("a").collect(9)).unwrap(), "three");
    }

    #[test]
    fn a_large_blob_comes_in_pieces_and_a_reader_keeps_its_bound() {
        let blobs = MemoryBlobs::new();
        let content = Bytes::from(vec![7; PIECE_BYTES * 2 + 1]);
        let key: BlobKey = "big".parse().unwrap();
        now(blobs.put(PutBlob::new(key.clone(), content.clone()).unwrap())).unwrap();
        let open = || now(blobs.get(&key)).unwrap().unwrap();
        assert_eq!(now(open().into_stream().collect::<Vec<_>>()).len(), 3);
        assert_eq!(now(open().collect(content.len())).unwrap(), content);
        let error = now(open().collect(content.len() - 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }

    #[test]
    fn a_stream_that_ends_early_is_corrupt() {
        let info = BlobInfo::new("a".parse().unwrap(), 5);
        let short = Blob::new(info, stream::iter([Ok(Bytes::from_static(b"four"))]).boxed());
        assert_eq!(now(short.collect(99)).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn deleting_the_absent_succeeds() {
        let blobs = MemoryBlobs::new();
        let key: BlobKey = "a".parse().unwrap();
        now(blobs.delete(&key)).unwrap();
        now(blobs.put(put("a", b""))).unwrap();
        assert!(now(blobs.get(&key)).unwrap().is_some());
        now(blobs.delete(&key)).unwrap();
        assert!(now(blobs.get(&key)).unwrap().is_none());
    }

    #[test]
    fn a_listing_pages_through_what_lies_under_a_key_once() {
        let blobs = MemoryBlobs::new();
        for index in 0..1_500 {
            now(blobs.put(put(&format!("w/{index}"), b"x"))).unwrap();
        }
        now(blobs.put(put("wider/1", b"x"))).unwrap();
        let query = ListBlobs::new(Some("w".parse().unwrap()));
        let first = now(blobs.list(&query)).unwrap();
        let second = now(blobs.list(&query.with_after(first.next.clone()))).unwrap();
        assert_eq!((first.items.len(), second.items.len(), second.next), (1_000, 500, None));
        let keys: Vec<_> = first.items.iter().chain(&second.items).map(|b| &b.key).collect();
        assert!(keys.is_sorted());
    }

    #[test]
    fn too_large_a_blob_is_refused_before_it_is_sent() {
        let content = Bytes::from(vec![0; PutBlob::BYTES_MAX + 1]);
        let error = PutBlob::new("a".parse().unwrap(), content).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }
}
