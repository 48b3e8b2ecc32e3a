//! Waking up: what this replica has seen of the feed, and the task that tells the other replicas of
//! its news and looks for theirs.
//!
//! NOTIFY inside a commit would hold a lock of the whole cluster through the flush; here it is a
//! statement of its own beside the commits, at most one each few milliseconds, and only a hint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use sam_core::entropy::Entropy;
use sam_core::store::{Epoch, Rev, Signal};
use tokio::sync::Notify;
use tokio_postgres::Client;

use super::config::Target;
use super::connect::{Backoff, Session};
use super::fault::Fault;
use super::load::{number, text};
use super::schema::SchemaState;
use crate::deadline;

/// Least pause between two notifications of one replica.
const TELL_EACH: Duration = Duration::from_millis(5);
/// How often the head is looked at while notifications arrive, and while they do not.
const LOOK_EACH: Duration = Duration::from_secs(1);
const LOOK_EACH_DEAF: Duration = Duration::from_millis(250);
/// How long one look may take.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
/// A lost notification costs a second, so it need not be on the disk before it is sent.
const SETTINGS: &str = "SET synchronous_commit = off";

/// The time is computed before the index is searched by it: a clock that may change with each row
/// could not be searched for.
const LOOK: &str = "SELECT schema, epoch, rev, news,
        EXISTS (SELECT FROM lease WHERE lease.at <= h.now) AS due
    FROM (SELECT schema, epoch, rev, news,
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + ahead AS now
        FROM head OFFSET 0) AS h";

/// What the tasks and the store's callers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: Arc<Target>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) pool: Pool,
    pub(super) signal: Signal,
    seen: Mutex<Seen>,
    /// Rung when the other replicas have reason to look, and when the store ends.
    bell: Notify,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Seen {
    schema: SchemaState,
    /// The furthest end of the feed; nothing before the schema is current.
    head: Option<(Epoch, Rev)>,
    news: i64,
}

impl Shared {
    pub(super) fn new(
        target: Arc<Target>,
        entropy: Arc<dyn Entropy>,
        pool: Pool,
        schema: SchemaState,
    ) -> Self {
        let seen = Mutex::new(Seen { schema, head: None, news: 0 });
        let (signal, bell, closed) = (Signal::new(), Notify::new(), AtomicBool::new(false));
        Self { target, entropy, pool, signal, seen, bell, closed }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how the schema was last seen.
    pub(super) fn schema(&self) -> SchemaState {
        self.seen().schema
    }

    /// Remembers how the schema was found, and wakes those that wait for it.
    pub(super) fn found(&self, schema: SchemaState) {
        let before = std::mem::replace(&mut self.seen().schema, schema);
        if before != schema {
            tracing::info!(?schema, "the store's schema was looked at");
            self.signal.raise();
        }
    }

    /// Returns whether the feed is known to have grown past a place, or to be another one.
    pub(super) fn is_past(&self, epoch: &Epoch, rev: Rev) -> bool {
        self.seen().head.as_ref().is_some_and(|(seen, end)| seen != epoch || *end > rev)
    }

    /// Remembers the end of the feed as somebody read it.
    pub(super) fn saw(&self, epoch: &Epoch, rev: Rev) {
        let mut seen = self.seen();
        match &mut seen.head {
            Some((known, end)) if known == epoch => *end = rev.max(*end),
            head => *head = Some((epoch.clone(), rev)),
        }
    }

    /// Tells everybody of a batch that this replica has committed.
    pub(super) fn wrote(&self, epoch: &Epoch, rev: Rev, news: i64) {
        self.saw(epoch, rev);
        self.seen().news = news;
        self.tell();
    }

    /// Wakes the waiters here, and has the other replicas told.
    pub(super) fn tell(&self) {
        self.signal.raise();
        self.bell.notify_one();
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.bell.notify_one();
        self.signal.raise();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Looks at the head; wakes the waiters when there is something new or something due.
    async fn look(&self, client: &Client) -> Result<(), Fault> {
        let look = async {
            if self.schema() != SchemaState::Current {
                let version = super::schema::version(client, &self.target.schema).await;
                match version {
                    Ok(version) => self.found(SchemaState::of(version)),
                    Err(error) => tracing::debug!(%error, "the schema cannot be looked at"),
                }
                return Ok(());
            }
            let row = client.query_one(LOOK, &[]).await?;
            let schema: i32 = row.try_get(0).map_err(Fault::unreadable)?;
            self.found(SchemaState::of(u32::try_from(schema).unwrap_or(u32::MAX)));
            let (epoch, rev) = (Epoch::new(text(&row, 1)?), Rev(number(&row, 2)?));
            let news: i64 = row.try_get(3).map_err(Fault::unreadable)?;
            let due: bool = row.try_get(4).map_err(Fault::unreadable)?;
            let before = std::mem::replace(&mut self.seen().news, news);
            let grown = self.seen().head.as_ref() != Some(&(epoch.clone(), rev));
            self.saw(&epoch, rev);
            if due || grown || before != news {
                self.signal.raise();
            }
            Ok(())
        };
        let late = Err(Fault::stalled(sam_core::Effect::NotApplied));
        deadline::within(LOOK_DEADLINE, look).await.unwrap_or(late)
    }
}

/// Tells and listens until the store is closed or dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(Arc::clone(&shared.entropy));
    while !shared.is_closed() {
        let channel = shared.target.channel();
        match Session::open(&shared.target, &format!("{SETTINGS}; LISTEN {channel}")).await {
            Ok(session) => {
                backoff.reset();
                if let Err(fault) = listen(&shared, session, &channel).await {
                    tracing::warn!(?fault, "news of other replicas is only looked for");
                }
            }
            Err(fault) => tracing::debug!(?fault, "nothing can be listened to"),
        }
        if shared.is_closed() {
            return;
        }
        if let Ok(client) = shared.pool.get().await
            && let Err(fault) = shared.look(&client).await
        {
            tracing::debug!(?fault, "the head cannot be looked at");
        }
        deadline::sleep_until(Instant::now() + backoff.next().min(LOOK_EACH_DEAF)).await;
    }
}

async fn listen(shared: &Shared, mut session: Session, channel: &str) -> Result<(), Fault> {
    let sql = "SELECT pg_backend_pid()";
    let row = session.client.query_one(sql, &[]).await?;
    let own: i32 = row.try_get(0).map_err(Fault::unreadable)?;
    let notify = format!("NOTIFY {channel}");
    // What was told while nobody listened is found by this look.
    shared.look(&session.client).await?;
    let mut look_at = Instant::now() + LOOK_EACH;
    let mut tell_at: Option<Instant> = None;
    let mut told_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            told = session.notified.recv() => match told {
                None => return Err(Fault::deaf()),
                Some(pid) if pid == own => {}
                Some(_) => {
                    while session.notified.try_recv().is_ok() {}
                    shared.look(&session.client).await?;
                    // Also when the head has not moved: a lease may have been given back.
                    shared.signal.raise();
                }
            },
            () = shared.bell.notified(), if tell_at.is_none() => {
                if shared.is_closed() {
                    return Ok(());
                }
                tell_at = Some(told_at + TELL_EACH);
            }
            () = deadline::sleep_until(tell_at.unwrap_or(look_at)), if tell_at.is_some() => {
                tell_at = None;
                told_at = Instant::now();
                session.client.batch_execute(&notify).await?;
            }
            () = deadline::sleep_until(look_at) => {
                look_at = Instant::now() + LOOK_EACH;
                shared.look(&session.client).await?;
            }
        }
    }
}
