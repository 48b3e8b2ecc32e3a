//! The loop: claim, decide, write the intention, act once, write the outcome.

mod drive;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{self, Either, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use self::drive::{Drive, Driver};
use super::lane::Lanes;
use super::resource::Resource;
use super::stored::Stored as _;
use crate::entropy::Entropy;
use crate::error::{Report, Result, Retry};
use crate::store::{Claim, ClaimRequest, Cursor, Due, Kind, Lease, Rev, Store, WorkerId};
use crate::time::Clock;

/// How long a record rests whose step the store did not let finish, from when it answers again.
const UNFINISHED: Duration = Duration::from_secs(1);
/// First pause before the store is told again that a lease is given back; it doubles.
const GIVE_BACK_FIRST: Duration = Duration::from_millis(100);

/// What bounds an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineConfig {
    /// Records worked on at once, 1 to [`ClaimRequest::LIMIT_MAX`], beside those that are in lanes.
    pub concurrency: usize,
    /// Calls under way at once in each lane: to one provider, to one agent.
    pub lane_calls: usize,
    /// Records that wait for their turn in each lane; what comes beyond is put off for 2 s.
    pub lane_waiting: usize,
    /// How long a claim lasts; it is renewed at a third of it while an effect runs. After a crash
    /// the record rests for at most this long.
    pub lease: Duration,
    /// The longest rest between two looks at the store when nothing wakes it.
    pub poll_max: Duration,
}

impl Default for EngineConfig {
    /// 64 records at once, 16 calls to each provider (a cloud's rate limit is met before) and 112 that
    /// wait for it, leases of 15 s (a crash is made good within it), a look each minute.
    fn default() -> Self {
        Self {
            concurrency: 64,
            lane_calls: 16,
            lane_waiting: 112,
            lease: Duration::from_secs(15),
            poll_max: Duration::from_mins(1),
        }
    }
}

impl EngineConfig {
    /// Sets how many records are worked on at once.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.clamp(1, ClaimRequest::LIMIT_MAX);
        self
    }

    /// Sets how many calls of each lane are under way at once, at least one, and how many wait.
    #[must_use]
    pub fn with_lanes(mut self, calls: usize, waiting: usize) -> Self {
        self.lane_calls = calls.max(1);
        self.lane_waiting = waiting;
        self
    }

    /// Sets how long a claim lasts.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stepped {
    /// Nothing was due; the next is due after this span, or nothing is waiting at all.
    Idle {
        /// Until the next due record.
        next_due_in: Option<Duration>,
    },
    /// One record was carried forward.
    Worked,
}

/// Carries due records forward. Any number of engines may share a store.
#[derive(Debug)]
pub struct Engine {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    resources: BTreeMap<Kind, Box<dyn Drive>>,
    worker: WorkerId,
    config: EngineConfig,
    lanes: Lanes,
}

impl Engine {
    /// Makes an engine for no resource yet; `worker` must differ for every start of every process.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        worker: WorkerId,
        config: EngineConfig,
    ) -> Self {
        let lanes = Lanes::new(config.lane_calls, config.lane_waiting);
        Self { store, clock, entropy, resources: BTreeMap::new(), worker, config, lanes }
    }

    /// Adds a kind of record.
    #[must_use]
    pub fn with_resource<R: Resource>(mut self, resource: R) -> Self {
        self.resources.insert(R::Record::KIND, Box::new(Driver(resource)));
        self
    }

    /// Carries one due record as far as it can go without waiting, for hosts that have no background
    /// task.
    ///
    /// # Errors
    /// What the store answered; the record is then looked at again when its lease ends.
    pub async fn step(&self) -> Result<Stepped> {
        let claims = self.store().claim_due(&self.request(1)).await?;
        let next_due_in = claims.next_due_in;
        match claims.claims.into_iter().next() {
            None => Ok(Stepped::Idle { next_due_in }),
            Some(claim) => {
                self.drive(claim).await?;
                Ok(Stepped::Worked)
            }
        }
    }

    /// Carries records forward until `shutdown` completes. Work under way is dropped then: another
    /// engine, or the next start, takes it up when its lease ends.
    ///
    /// # Errors
    /// When the store cannot be read at the start.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
        let mut shutdown = std::pin::pin!(shutdown.fuse());
        let mut flights = FuturesUnordered::new();
        loop {
            let room = self.room(flights.len());
            let source = async {
                match room {
                    0 => future::pending().await,
                    _ => self.next_claims(room).await,
                }
            };
            let mut source = std::pin::pin!(source.fuse());
            let claims = loop {
                // A flight that goes into a lane makes room as one that lands does.
                let landing = future::poll_fn(|context| match flights.poll_next_unpin(context) {
                    Poll::Ready(Some(())) => Poll::Ready(()),
                    _ if room == 0 && self.room(flights.len()) > 0 => Poll::Ready(()),
                    _ => Poll::Pending,
                });
                futures_util::select_biased! {
                    () = shutdown => return Ok(()),
                    claims = source => break claims,
                    () = landing.fuse() => if room == 0 { break Vec::new() },
                }
            };
            for claim in claims {
                flights.push(async move {
                    let lease = claim.lease.clone();
                    if let Err(error) = self.drive(claim).await {
                        tracing::warn!(record = %lease.key, error = %Report::new(&error), "step not finished");
                        if error.retry() != Retry::Never {
                            self.give_back(&lease).await;
                        }
                    }
                });
            }
        }
    }

    /// Gives back the lease on a record whose step the store did not let finish, as soon as it answers
    /// again: the record is carried on then, and not when the lease would have ended. Whoever has it by
    /// then keeps it.
    async fn give_back(&self, lease: &Lease) {
        let ends_at = self.clock.monotonic() + self.config.lease;
        let mut pause = GIVE_BACK_FIRST;
        while self.clock.monotonic() < ends_at {
            if self.store().release(lease, Due::In(UNFINISHED)).await.is_ok() {
                return;
            }
            self.clock.sleep_until(self.clock.monotonic() + pause).await;
            pause = (pause * 2).min(UNFINISHED);
        }
    }

    /// How many more records can be claimed; those that wait for others in lanes do not count.
    fn room(&self, flights: usize) -> usize {
        let busy = flights.saturating_sub(self.lanes.places());
        self.config.concurrency.saturating_sub(busy)
    }

    async fn drive(&self, claim: Claim) -> Result<()> {
        match self.resources.get(&claim.lease.key.kind) {
            Some(resource) => resource.drive(self, claim).await,
            None => Ok(()),
        }
    }

    /// The store itself: a call through the pointer to it would be boxed twice.
    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn request(&self, limit: usize) -> ClaimRequest {
        let kinds = self.resources.keys().cloned().collect();
        ClaimRequest::new(self.worker.clone(), kinds, limit, self.config.lease)
    }

    /// Waits until something is due and claims it.
    async fn next_claims(&self, room: usize) -> Vec<Claim> {
        let request = self.request(room);
        // Where there is much to do something is due already, and nothing has to be readied for a
        // wait. A failure shows again below, and is told there.
        if let Ok(claims) = self.store().claim_due(&request).await
            && !claims.claims.is_empty()
        {
            return claims.claims;
        }
        let mut failures: u32 = 0;
        loop {
            let cursor = self.beyond_the_head().await;
            let mut news = cursor.as_ref().map_or_else(
                || Box::pin(future::pending()) as _,
                |cursor| self.store().wait(cursor),
            );
            // Polled once before the claim, so that what happens in between is not missed (C12).
            let early = news.as_mut().now_or_never().is_some();
            let rest = match self.store().claim_due(&request).await {
                Ok(claims) if !claims.claims.is_empty() => return claims.claims,
                Ok(claims) => {
                    failures = 0;
                    claims.next_due_in.unwrap_or(self.config.poll_max).min(self.config.poll_max)
                }
                Err(error) => {
                    tracing::warn!(error = %Report::new(&error), "nothing could be claimed");
                    failures = (failures + 1).min(6);
                    Duration::from_millis(50 << failures)
                }
            };
            if early {
                continue;
            }
            let sleep = self.clock.sleep_until(self.clock.monotonic() + rest);
            match future::select(news, sleep).await {
                Either::Left((Err(error), sleep)) => {
                    tracing::warn!(error = %Report::new(&error), "the feed cannot be waited for");
                    sleep.await;
                }
                Either::Left((Ok(()), _)) | Either::Right(_) => {}
            }
        }
    }

    /// A cursor past everything, so that `wait` completes only for what comes.
    async fn beyond_the_head(&self) -> Option<Cursor> {
        let head = crate::store::head(self.store()).await.ok()?;
        Some(Cursor::new(head.epoch, Rev(u64::MAX)))
    }
}
