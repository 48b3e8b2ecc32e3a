//! What every [`BlobStore`] must do, and its [`UrlSigner`] where it has one.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{join, join_all};

use super::{Failure, Outcome, always, cases, ensure, ensure_eq, ensure_kind};
use crate::Secret;
use crate::blob::{
    BlobInfo, BlobKey, BlobStore, ListBlobs, PutBlob, PutMode, SignUrl, UrlAccess, UrlSigner,
};
use crate::error::ErrorKind;

/// Most pages a listing may have.
const PAGES_MAX: usize = 1_000;

/// More than one piece of any stream we know.
const LARGE_BYTES: usize = 1 << 20;

/// How long the URLs of the cases live.
const LIFETIME: Duration = Duration::from_mins(5);

/// A store of blobs under test.
#[async_trait]
pub trait BlobHarness: fmt::Debug + Send + Sync {
    /// Returns the store.
    fn blobs(&self) -> &dyn BlobStore;

    /// Returns a key below which nobody else puts anything.
    fn under(&self) -> BlobKey;

    /// Returns how many blobs stand on one page of a listing, where putting one more than that is
    /// cheap enough to try.
    fn blobs_per_page(&self) -> Option<usize>;

    /// Returns somebody who has nothing but a URL, where URLs can be signed.
    fn stranger(&self) -> Option<&dyn Stranger>;
}

/// Somebody who has nothing but a URL.
#[async_trait]
pub trait Stranger: fmt::Debug + Send + Sync {
    /// Reads what is under the URL; `None` when that is refused.
    async fn read(&self, url: &Secret<String>) -> Option<Bytes>;

    /// Writes under the URL; `false` when that is refused.
    async fn write(&self, url: &Secret<String>, content: Bytes) -> bool;

    /// Changes the URL's key to another one, as somebody would who wants more than he was given.
    fn bend(&self, url: &Secret<String>, key: &BlobKey) -> Secret<String>;

    /// Lets time pass at the store.
    async fn wait(&self, span: Duration);
}

cases! {
    BlobHarness, Scope;
    "BlobStore C1", always { a_reader_sees_all_of_one_put }
    "BlobStore C2", always {
        creating_only_never_replaces,
        of_concurrent_creations_one_succeeds,
    }
    "BlobStore C3", always {
        what_was_put_is_read_and_listed,
        a_put_replaces_the_whole_blob,
    }
    "BlobStore C4", always {
        only_an_absent_blob_is_none,
        a_large_blob_comes_whole,
        a_blob_replaced_while_it_is_read_comes_whole_or_fails,
    }
    "BlobStore C5", always {
        a_listing_is_in_order_and_of_whole_segments,
    }
    "BlobStore C5", with_pages { a_second_page_goes_on_where_the_first_ended }
    "BlobStore C6", always {
        deleting_the_absent_succeeds,
        a_deleted_blob_is_nowhere_shown,
    }
    "BlobStore C7", always { the_longest_keys_are_taken }
    "BlobStore C7", with_limit { more_than_what_is_claimed_is_refused }
    "BlobStore C8", without_urls { there_is_no_signer_where_none_is_claimed }
    "UrlSigner C1", with_urls {
        a_url_gives_the_asked_access_and_no_other,
        a_url_is_for_one_blob,
    }
    "UrlSigner C2", with_urls { a_url_ends_after_its_lifetime }
}

fn with_pages(harness: &dyn BlobHarness) -> bool {
    harness.blobs_per_page().is_some()
}

fn with_limit(harness: &dyn BlobHarness) -> bool {
    harness.blobs().capabilities().blob_bytes_max < PutBlob::BYTES_MAX
}

fn with_urls(harness: &dyn BlobHarness) -> bool {
    harness.blobs().capabilities().signed_urls
}

fn without_urls(harness: &dyn BlobHarness) -> bool {
    !with_urls(harness)
}

/// The store, and the place in it that is the case's own.
#[derive(Debug)]
struct Scope<'a> {
    harness: &'a dyn BlobHarness,
    under: BlobKey,
}

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    async fn open(harness: &'a dyn BlobHarness) -> Result<Self, Failure> {
        Ok(Self { harness, under: harness.under() })
    }

    fn blobs(&self) -> &dyn BlobStore {
        self.harness.blobs()
    }

    fn key(&self, below: &str) -> Result<BlobKey, Failure> {
        Ok(format!("{}/{below}", self.under).parse::<BlobKey>().map_err(crate::Error::from)?)
    }

    async fn put(&self, key: &BlobKey, content: impl Into<Bytes> + Send) -> Outcome {
        self.blobs().put(PutBlob::new(key.clone(), content.into())?).await?;
        Ok(())
    }

    async fn read(&self, key: &BlobKey) -> Result<Option<Bytes>, Failure> {
        match self.blobs().get(key).await? {
            Some(blob) => Ok(Some(blob.collect(PutBlob::BYTES_MAX).await?)),
            None => Ok(None),
        }
    }

    async fn listed(&self, under: &BlobKey) -> Result<Vec<BlobInfo>, Failure> {
        let mut query = ListBlobs::new(Some(under.clone()));
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.blobs().list(&query).await?;
            all.extend(page.items);
            match page.next {
                None => return Ok(all),
                next => query.after = next,
            }
        }
        Err(Failure::new(format!("the listing has more than {PAGES_MAX} pages")))
    }

    fn urls(&self) -> Result<(&dyn UrlSigner, &dyn Stranger), Failure> {
        let signer = self.blobs().url_signer();
        let signer = signer.ok_or_else(|| Failure::new("URLs are claimed, but not signed"))?;
        let stranger = self.harness.stranger();
        Ok((signer, stranger.ok_or_else(|| Failure::new("the harness has no stranger"))?))
    }

    async fn close(&self) -> Outcome {
        for blob in self.listed(&self.under).await? {
            self.blobs().delete(&blob.key).await?;
        }
        let left = self.listed(&self.under).await?;
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }
}

async fn a_reader_sees_all_of_one_put(scope: &Scope<'_>) -> Outcome {
    let key = scope.key("a")?;
    let contents = [vec![b'a'; LARGE_BYTES], vec![b'b'; LARGE_BYTES / 2], vec![b'c'; 1]];
    scope.put(&key, contents[0].clone()).await?;
    let write = async {
        for content in contents.iter().cycle().take(12) {
            scope.put(&key, content.clone()).await?;
        }
        Ok::<(), Failure>(())
    };
    let read = async {
        for _ in 0..12 {
            let found = scope.read(&key).await?;
            let whole = found.as_deref().is_some_and(|f| contents.iter().any(|c| c == f));
            ensure!(whole, "read {:?} bytes that nobody put", found.map(|found| found.len()));
        }
        Ok(())
    };
    let (written, read) = join(write, read).await;
    written.and(read)
}

async fn creating_only_never_replaces(scope: &Scope<'_>) -> Outcome {
    let key = scope.key("a")?;
    let create = |text: &'static str| -> Result<PutBlob, Failure> {
        Ok(PutBlob::new(key.clone(), text.into())?.with_mode(PutMode::CreateOnly))
    };
    scope.blobs().put(create("first")?).await?;
    let second = scope.blobs().put(create("second")?).await;
    ensure_kind!(second, ErrorKind::AlreadyExists, "creating what is there");
    ensure_eq!(scope.read(&key).await?.as_deref(), Some(&b"first"[..]), "after the refusal");
    scope.blobs().delete(&key).await?;
    scope.blobs().put(create("third")?).await?;
    ensure_eq!(scope.read(&key).await?.as_deref(), Some(&b"third"[..]), "after a deletion");
    Ok(())
}

async fn of_concurrent_creations_one_succeeds(scope: &Scope<'_>) -> Outcome {
    let key = scope.key("a")?;
    let mut puts = Vec::new();
    for number in 0..8_u8 {
        let put = PutBlob::new(key.clone(), vec![number; 64].into())?;
        puts.push(scope.blobs().put(put.with_mode(PutMode::CreateOnly)));
    }
    let mut winners = Vec::new();
    for (number, put) in (0..8_u8).zip(join_all(puts).await) {
        match put {
            Ok(_) => winners.push(number),
            refused => ensure_kind!(refused, ErrorKind::AlreadyExists, "the one that lost"),
        }
    }
    ensure!(winners.len() == 1, "{winners:?} all created it");
    ensure_eq!(scope.read(&key).await?, Some(vec![winners[0]; 64].into()), "what is there");
    Ok(())
}

async fn what_was_put_is_read_and_listed(scope: &Scope<'_>) -> Outcome {
    for (below, content) in [("empty", &b""[..]), ("all/bytes", &(0..=255).collect::<Vec<u8>>())] {
        let key = scope.key(below)?;
        let content = Bytes::copy_from_slice(content);
        let put = scope.blobs().put(PutBlob::new(key.clone(), content.clone())?).await?;
        let about = BlobInfo::new(key.clone(), content.len() as u64);
        ensure_eq!(put, about, "what was put");
        let opened = scope.blobs().get(&key).await?;
        let opened = opened.ok_or_else(|| Failure::new(format!("{key} is not there")))?;
        ensure_eq!(*opened.info(), about, "what was opened");
        ensure_eq!(opened.collect(content.len()).await?, content, "what was read");
        ensure_eq!(scope.listed(&key).await?, [about], "what is listed");
    }
    Ok(())
}

async fn a_put_replaces_the_whole_blob(scope: &Scope<'_>) -> Outcome {
    let key = scope.key("a")?;
    scope.put(&key, "a long text").await?;
    scope.put(&key, "short").await?;
    ensure_eq!(scope.read(&key).await?.as_deref(), Some(&b"short"[..]), "after the second put");
    ensure_eq!(scope.listed(&key).await?, [BlobInfo::new(key, 5)], "listed after two puts");
    Ok(())
}

async fn only_an_absent_blob_is_none(scope: &Scope<'_>) -> Outcome {
    scope.put(&scope.key("a/b")?, "x").await?;
    for below in ["a", "a/b/c", "a/c", "b"] {
        let found = scope.read(&scope.key(below)?).await?;
        ensure!(found.is_none(), "{below} was never put, but found: {found:?}");
    }
    let found = scope.read(&scope.key("a/b")?).await?;
    ensure!(found.is_some(), "put, but not found");
    Ok(())
}

async fn a_large_blob_comes_whole(scope: &Scope<'_>) -> Outcome {
    let key = scope.key("large")?;
    let pattern = (0..=250_u8).cycle();
    let content: Bytes = pattern.take(LARGE_BYTES * 3 + 1).collect();
    scope.put(&key, content.clone()).await?;
    let read = scope.read(&key).await?;
    ensure!(read == Some(content), "{:?} bytes came back", read.map(|read| read.len()));
    Ok(())
}

async fn a_blob_replaced_while_it_is_read_comes_whole_or_fails(scope: &Scope<'_>) -> Outcome {
    let key = scope.key("a")?;
    let old: Bytes = vec![b'o'; LARGE_BYTES].into();
    let new: Bytes = vec![b'n'; LARGE_BYTES].into();
    scope.put(&key, old.clone()).await?;
    let opened = scope.blobs().get(&key).await?;
    let opened = opened.ok_or_else(|| Failure::new("put, but not found"))?;
    scope.put(&key, new.clone()).await?;
    if let Ok(read) = opened.collect(LARGE_BYTES).await {
        ensure!(read == old || read == new, "the stream mixed two blobs");
    }
    Ok(())
}

async fn a_listing_is_in_order_and_of_whole_segments(scope: &Scope<'_>) -> Outcome {
    let mut keys = Vec::new();
    for below in ["b", "a/2", "a/10", "a", "ab/1", "a-b", "A", "a.b/c"] {
        keys.push(scope.key(below)?);
    }
    for key in &keys {
        scope.put(key, "x").await?;
    }
    keys.sort();
    let listed = scope.listed(&scope.under).await?;
    ensure!(listed.iter().map(|blob| &blob.key).eq(&keys), "listed {listed:?}");
    let under = scope.listed(&scope.key("a")?).await?;
    let expected = [scope.key("a")?, scope.key("a/10")?, scope.key("a/2")?];
    ensure!(under.iter().map(|blob| &blob.key).eq(&expected), "at and below a: {under:?}");
    Ok(())
}

async fn a_second_page_goes_on_where_the_first_ended(scope: &Scope<'_>) -> Outcome {
    let per_page = scope.harness.blobs_per_page().unwrap_or_default();
    for index in 0..=per_page {
        scope.put(&scope.key(&index.to_string())?, "x").await?;
    }
    let first = scope.blobs().list(&ListBlobs::new(Some(scope.under.clone()))).await?;
    ensure!(first.next.is_some(), "{} of one more are listed as all", first.items.len());
    let listed = scope.listed(&scope.under).await?;
    ensure_eq!(listed.len(), per_page + 1, "blobs on all pages");
    ensure!(listed.is_sorted_by(|one, other| one.key < other.key), "not in order, or twice");
    Ok(())
}

async fn deleting_the_absent_succeeds(scope: &Scope<'_>) -> Outcome {
    let key = scope.key("a")?;
    scope.blobs().delete(&key).await?;
    scope.put(&key, "x").await?;
    for _ in 0..2 {
        scope.blobs().delete(&key).await?;
    }
    Ok(())
}

async fn a_deleted_blob_is_nowhere_shown(scope: &Scope<'_>) -> Outcome {
    let (key, below) = (scope.key("a")?, scope.key("a/b")?);
    scope.put(&key, "x").await?;
    scope.put(&below, "y").await?;
    scope.blobs().delete(&key).await?;
    let found = scope.read(&key).await?;
    ensure!(found.is_none(), "deleted, but found {found:?}");
    // A key is not a directory: what lies below it stays.
    ensure_eq!(scope.listed(&key).await?, [BlobInfo::new(below, 1)], "listed after the deletion");
    Ok(())
}

async fn the_longest_keys_are_taken(scope: &Scope<'_>) -> Outcome {
    let room = BlobKey::BYTES_MAX - scope.under.as_str().len() - 1;
    let below: String = "0123456789abcdef/".chars().cycle().take(room - 1).chain(['x']).collect();
    let key = scope.key(&below)?;
    ensure_eq!(key.as_str().len(), BlobKey::BYTES_MAX, "the length of the longest key");
    scope.put(&key, "x").await?;
    ensure_eq!(scope.listed(&scope.under).await?, [BlobInfo::new(key, 1)], "the longest key");
    Ok(())
}

async fn more_than_what_is_claimed_is_refused(scope: &Scope<'_>) -> Outcome {
    let key = scope.key("a")?;
    let most = scope.blobs().capabilities().blob_bytes_max;
    scope.put(&key, vec![7; most]).await?;
    let more = scope.blobs().put(PutBlob::new(key.clone(), vec![8; most + 1].into())?).await;
    ensure_kind!(more, ErrorKind::BadInput, "putting one byte more than is claimed");
    ensure_eq!(scope.listed(&key).await?, [BlobInfo::new(key, most as u64)], "after the refusal");
    Ok(())
}

async fn there_is_no_signer_where_none_is_claimed(scope: &Scope<'_>) -> Outcome {
    ensure!(scope.blobs().url_signer().is_none(), "URLs are signed, but that is not claimed");
    Ok(())
}

async fn a_url_gives_the_asked_access_and_no_other(scope: &Scope<'_>) -> Outcome {
    let (signer, stranger) = scope.urls()?;
    let key = scope.key("a")?;
    scope.put(&key, "old").await?;
    let sign = |access| SignUrl::new(key.clone(), access, LIFETIME);
    let read = signer.sign_url(&sign(UrlAccess::Read)).await?;
    let write = signer.sign_url(&sign(UrlAccess::Write)).await?;
    ensure_eq!(stranger.read(&read).await.as_deref(), Some(&b"old"[..]), "read by URL");
    ensure!(!stranger.write(&read, "bad".into()).await, "a URL for reading can write");
    let seen = stranger.read(&write).await;
    ensure!(seen.is_none(), "a URL for writing can read {seen:?}");
    ensure!(stranger.write(&write, "new".into()).await, "a URL for writing cannot write");
    ensure_eq!(scope.read(&key).await?.as_deref(), Some(&b"new"[..]), "written by URL");
    Ok(())
}

async fn a_url_is_for_one_blob(scope: &Scope<'_>) -> Outcome {
    let (signer, stranger) = scope.urls()?;
    let (key, other) = (scope.key("a")?, scope.key("b")?);
    scope.put(&key, "mine").await?;
    scope.put(&other, "another's").await?;
    for access in [UrlAccess::Read, UrlAccess::Write] {
        let url = signer.sign_url(&SignUrl::new(key.clone(), access, LIFETIME)).await?;
        let bent = stranger.bend(&url, &other);
        let read = stranger.read(&bent).await;
        ensure!(read.is_none(), "a URL for {key} reads {other}: {read:?}");
        ensure!(!stranger.write(&bent, "bad".into()).await, "a URL for {key} writes {other}");
    }
    ensure_eq!(scope.read(&other).await?.as_deref(), Some(&b"another's"[..]), "the other blob");
    Ok(())
}

async fn a_url_ends_after_its_lifetime(scope: &Scope<'_>) -> Outcome {
    let (signer, stranger) = scope.urls()?;
    let key = scope.key("a")?;
    scope.put(&key, "x").await?;
    // Longer ones are cut when they are asked for.
    let longest = SignUrl::new(key.clone(), UrlAccess::Read, SignUrl::LIFETIME_MAX * 2);
    let short = signer.sign_url(&SignUrl::new(key, UrlAccess::Read, LIFETIME)).await?;
    let longest = signer.sign_url(&longest).await?;
    stranger.wait(LIFETIME / 2).await;
    ensure!(stranger.read(&short).await.is_some(), "a URL ended early");
    stranger.wait(LIFETIME).await;
    ensure!(stranger.read(&short).await.is_none(), "a URL outlives its lifetime");
    ensure!(stranger.read(&longest).await.is_some(), "another URL ended with it");
    stranger.wait(SignUrl::LIFETIME_MAX).await;
    ensure!(stranger.read(&longest).await.is_none(), "a URL outlives the longest lifetime");
    Ok(())
}
