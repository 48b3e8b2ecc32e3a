//! Blobs in memory, the same with signed URLs and a smaller limit, and flawed ones.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use sam_core::blob::{
    Blob, BlobCapabilities, BlobInfo, BlobKey, BlobStore, ListBlobs, MemoryBlobs, PutBlob, PutMode,
    SignUrl, UrlAccess, UrlSigner,
};
use sam_core::testkit::conformance::blob::{self, BlobHarness, Stranger};
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, Trial, at_once};
use sam_core::time::{Clock as _, ManualClock, Timestamp};
use sam_core::{ErrorKind, Page, Result, Secret};

use super::refuse;

const MEMORY: &str = include_str!("../not_applicable/memory.blob.txt");
const SIGNING: &str = include_str!("../not_applicable/signing.blob.txt");

/// What the store with a limit takes.
const LIMIT_BYTES: usize = 4 << 20;

#[derive(Debug)]
struct Over<B> {
    blobs: B,
    stranger: Option<Visitor>,
}

impl<B: BlobStore> BlobHarness for Over<B> {
    fn blobs(&self) -> &dyn BlobStore {
        &self.blobs
    }

    fn under(&self) -> BlobKey {
        "conformance/1".parse().unwrap()
    }

    fn blobs_per_page(&self) -> Option<usize> {
        Some(ListBlobs::LIMIT_MAX)
    }

    fn stranger(&self) -> Option<&dyn Stranger> {
        self.stranger.as_ref().map(|visitor| -> &dyn Stranger { visitor })
    }
}

impl<B: BlobStore> Harness for Over<B> {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    DeletesBelow,
    DropsThePage,
    EndsEarly,
    GivesBothAccesses,
    HidesTheSigner,
    IgnoresTheKey,
    IgnoresTheLimit,
    ListsBackwards,
    LivesForEver,
    MissesTheAbsent,
    /// No flaw: it signs URLs, and has a limit.
    None,
    PutsInPieces,
    Replaces,
    ShortensKeys,
    ShowsDeleted,
    SplitsSegments,
}

const FLAWS: [(Flaw, &str); 15] = [
    (Flaw::PutsInPieces, "a_put_replaces_the_whole_blob"),
    (Flaw::Replaces, "creating_only_never_replaces"),
    (Flaw::Replaces, "of_concurrent_creations_one_succeeds"),
    (Flaw::EndsEarly, "a_large_blob_comes_whole"),
    (Flaw::ListsBackwards, "a_listing_is_in_order_and_of_whole_segments"),
    (Flaw::SplitsSegments, "a_listing_is_in_order_and_of_whole_segments"),
    (Flaw::DropsThePage, "a_second_page_goes_on_where_the_first_ended"),
    (Flaw::MissesTheAbsent, "deleting_the_absent_succeeds"),
    (Flaw::DeletesBelow, "a_deleted_blob_is_nowhere_shown"),
    (Flaw::ShowsDeleted, "a_deleted_blob_is_nowhere_shown"),
    (Flaw::ShortensKeys, "the_longest_keys_are_taken"),
    (Flaw::IgnoresTheLimit, "more_than_what_is_claimed_is_refused"),
    (Flaw::GivesBothAccesses, "a_url_gives_the_asked_access_and_no_other"),
    (Flaw::IgnoresTheKey, "a_url_is_for_one_blob"),
    (Flaw::LivesForEver, "a_url_ends_after_its_lifetime"),
];

/// Blobs in memory under URLs that hold a ticket, perhaps with a flaw.
#[derive(Debug, Clone)]
struct Signing {
    inner: Arc<MemoryBlobs>,
    clock: ManualClock,
    flaw: Flaw,
    tickets: Arc<Mutex<BTreeMap<String, Ticket>>>,
}

#[derive(Debug, Clone)]
struct Ticket {
    key: BlobKey,
    access: UrlAccess,
    ends_at: Timestamp,
}

impl Signing {
    fn new(flaw: Flaw) -> Self {
        let clock = ManualClock::new(Timestamp::EPOCH);
        Self { inner: Arc::new(MemoryBlobs::new()), clock, flaw, tickets: Arc::default() }
    }

    fn over(flaw: Flaw) -> Over<Self> {
        let blobs = Self::new(flaw);
        Over { stranger: Some(Visitor(blobs.clone())), blobs }
    }

    fn short(&self, key: &BlobKey) -> BlobKey {
        let text: String = key.as_str().chars().take(255).collect();
        match self.flaw {
            Flaw::ShortensKeys => text.trim_end_matches('/').parse().unwrap(),
            _ => key.clone(),
        }
    }
}

impl fmt::Display for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl BlobStore for Signing {
    fn capabilities(&self) -> BlobCapabilities {
        let claimed = BlobCapabilities::new(LIMIT_BYTES);
        if self.flaw == Flaw::HidesTheSigner { claimed } else { claimed.with_signed_urls() }
    }

    async fn put(&self, mut request: PutBlob) -> Result<BlobInfo> {
        request.key = self.short(&request.key);
        if request.content.len() > LIMIT_BYTES && self.flaw != Flaw::IgnoresTheLimit {
            return Err(refuse(ErrorKind::BadInput));
        }
        match self.flaw {
            Flaw::Replaces => request.mode = PutMode::Replace,
            Flaw::PutsInPieces => {
                // The bytes beyond the new end stay.
                if let Some(old) = self.inner.get(&request.key).await? {
                    let old = old.collect(PutBlob::BYTES_MAX).await?;
                    let rest = old.slice(request.content.len().min(old.len())..);
                    request.content = [&request.content[..], &rest].concat().into();
                }
            }
            _ => {}
        }
        self.inner.put(request).await
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Blob>> {
        let found = self.inner.get(&self.short(key)).await?;
        match (self.flaw, found) {
            (Flaw::EndsEarly, Some(blob)) => {
                let info = blob.info().clone();
                Ok(Some(Blob::new(info, blob.into_stream().take(1).boxed())))
            }
            (Flaw::ShowsDeleted, None) => {
                let info = BlobInfo::new(key.clone(), 0);
                Ok(Some(Blob::new(info, stream::empty().boxed())))
            }
            (_, found) => Ok(found),
        }
    }

    async fn list(&self, query: &ListBlobs) -> Result<Page<BlobInfo>> {
        let mut query = query.clone();
        let under = query.under.clone();
        if self.flaw == Flaw::SplitsSegments {
            query.under = None;
        }
        let mut page = self.inner.list(&query).await?;
        match (self.flaw, under) {
            (Flaw::SplitsSegments, Some(under)) => {
                page.items.retain(|blob| blob.key.as_str().starts_with(under.as_str()));
            }
            (Flaw::DropsThePage, _) => page.next = None,
            (Flaw::ListsBackwards, _) => page.items.reverse(),
            _ => {}
        }
        Ok(page)
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        match self.flaw {
            Flaw::MissesTheAbsent if self.inner.get(key).await?.is_none() => {
                return Err(refuse(ErrorKind::NotFound));
            }
            Flaw::DeletesBelow => {
                let below = self.inner.list(&ListBlobs::new(Some(key.clone()))).await?;
                for blob in below.items {
                    self.inner.delete(&blob.key).await?;
                }
            }
            _ => {}
        }
        self.inner.delete(&self.short(key)).await
    }

    fn url_signer(&self) -> Option<&dyn UrlSigner> {
        Some(self)
    }
}

#[async_trait]
impl UrlSigner for Signing {
    async fn sign_url(&self, request: &SignUrl) -> Result<Secret<String>> {
        let mut tickets = self.tickets.lock().unwrap();
        let number = tickets.len().to_string();
        let ticket = Ticket {
            key: request.key.clone(),
            access: request.access,
            ends_at: self.clock.now().plus(request.lifetime),
        };
        tickets.insert(number.clone(), ticket);
        Ok(Secret::new(format!("memory:{}?ticket={number}", request.key)))
    }
}

/// Somebody with a URL; the store's part is here, too.
#[derive(Debug)]
struct Visitor(Signing);

impl Visitor {
    /// Checks a URL as the store would, and returns the key it opens.
    fn opens(&self, url: &Secret<String>, access: UrlAccess) -> Option<BlobKey> {
        let (path, number) = url.expose().strip_prefix("memory:")?.split_once("?ticket=")?;
        let ticket = self.0.tickets.lock().unwrap().get(number).cloned()?;
        let flaw = self.0.flaw;
        let good = (ticket.key.as_str() == path || flaw == Flaw::IgnoresTheKey)
            && (ticket.access == access || flaw == Flaw::GivesBothAccesses)
            && (ticket.ends_at > self.0.clock.now() || flaw == Flaw::LivesForEver);
        good.then(|| path.parse().unwrap())
    }
}

#[async_trait]
impl Stranger for Visitor {
    async fn read(&self, url: &Secret<String>) -> Option<Bytes> {
        let key = self.opens(url, UrlAccess::Read)?;
        let blob = self.0.inner.get(&key).await.ok()??;
        blob.collect(PutBlob::BYTES_MAX).await.ok()
    }

    async fn write(&self, url: &Secret<String>, content: Bytes) -> bool {
        let Some(key) = self.opens(url, UrlAccess::Write) else { return false };
        let put = PutBlob::new(key, content).unwrap();
        self.0.inner.put(put).now_or_never().is_some_and(|put| put.is_ok())
    }

    fn bend(&self, url: &Secret<String>, key: &BlobKey) -> Secret<String> {
        let number = url.expose().rsplit('=').next().unwrap();
        Secret::new(format!("memory:{key}?ticket={number}"))
    }

    async fn wait(&self, span: Duration) {
        self.0.clock.advance(span);
    }
}

pub(super) fn trials() -> Vec<Trial> {
    let memory = |name, make: fn() -> Box<dyn BlobStore>| {
        blob::trials(name, MEMORY, move || Over { blobs: make(), stranger: None })
    };
    let mut all =
        blob::trials("blob::memory", MEMORY, || Over { blobs: MemoryBlobs::new(), stranger: None });
    all.extend(memory("blob::memory_in_box", || Box::new(MemoryBlobs::new())));
    all.extend(memory("blob::memory_in_arc", || Box::new(Arc::new(MemoryBlobs::new()))));
    all.extend(blob::trials("blob::signing", SIGNING, || Signing::over(Flaw::None)));
    all.extend(blob::trials("blob::signing_in_box", SIGNING, || {
        let Over { blobs, stranger } = Signing::over(Flaw::None);
        let blobs: Box<dyn BlobStore> = Box::new(blobs);
        Over { blobs, stranger }
    }));
    let hidden = || Signing::over(Flaw::HidesTheSigner);
    let case = "there_is_no_signer_where_none_is_claimed";
    all.push(blob::notices("HidesTheSigner", case, hidden));
    all.extend(FLAWS.map(|(flaw, case)| {
        blob::notices(&format!("{flaw:?}"), case, move || Signing::over(flaw))
    }));
    all
}
