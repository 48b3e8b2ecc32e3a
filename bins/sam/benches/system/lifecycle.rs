//! Whole lives of workspaces, create → running → deleted, with everything but the store in memory.
//!
//! The peer is one connection making bare transactions of the same size: what the disk gives when
//! nobody shares a flush. Commits by 64 direct callers stand between the two: what the store gives
//! without the engine.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use sam_core::compute::MemoryCompute;
use sam_core::entropy::Entropy;
use sam_core::node_link::MemoryLink;
use sam_core::store::{Actor, Commit, Expect, Kind, RecordKey, Store as _, Write};
use sam_core::time::Clock;
use sam_core::workspace::{NewWorkspace, WorkspaceRecord};
use sam_core::{Caller, CommitId, FeedItem, Sam, Secret};
use sam_providers::sqlite::{SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};
use tokio::sync::oneshot;

use crate::counting::{Counting, Counts};
use crate::figures::{Pairs, Spread, float, rate};
use crate::peer::{BODY_BYTES, bare_transactions};
use crate::{PAIRS, deadline};

/// Workspaces in flight, and direct callers.
const CLIENTS: usize = 64;
/// How long each is measured.
const WINDOW: Duration = Duration::from_secs(2);
/// Before the window: the first round is all creates and no deletes.
const WARM_UP: Duration = Duration::from_millis(500);
/// Longest of one turn.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn run(dir: &Path) -> Result<()> {
    let mut engine = Pairs::default();
    let mut direct = Pairs::default();
    let mut samples = Vec::new();
    for turn in 0..PAIRS {
        let dir = dir.join(turn.to_string());
        std::fs::create_dir(&dir)?;
        let bare = bare_transactions(&dir.join("bare.db"), WINDOW / 2)?;
        let commits = runtime()?.block_on(direct_commits(&dir.join("direct.db")))?;
        let sample = runtime()?.block_on(lives(&dir.join("sam.db")))?;
        let bare = f64::midpoint(bare, bare_transactions(&dir.join("bare2.db"), WINDOW / 2)?);
        engine.push(sample.commits_per_second(), bare);
        direct.push(commits, bare);
        samples.push(sample);
    }
    println!("  bare transactions        {} /s", engine.peer());
    println!("  {CLIENTS} direct committers     {} commits/s", direct.ours());
    println!("    to bare                {} (aim 5)", direct.ratio());
    println!("  {CLIENTS} workspaces in flight  {} commits/s", engine.ours());
    println!("    to bare                {} (aim 5)", engine.ratio());
    println!(
        "    whole lives            {} /s",
        Spread::of(samples.iter().map(|sample| rate(sample.lives, sample.span)))
    );
    let each = |count: fn(&Counts) -> u64| {
        Spread::of(samples.iter().map(|sample| float(count(&sample.counts)) / float(sample.lives)))
    };
    println!("    of each life: commits  {}", each(|counts| counts.commits));
    println!("      refused              {}", each(|counts| counts.refused));
    println!("      claimed              {}", each(|counts| counts.claimed));
    println!("      released alone       {}", each(|counts| counts.releases));
    println!("      reads                {}", each(|counts| counts.reads));
    println!(
        "    records per claim call {}",
        Spread::of(samples.iter().map(|s| float(s.counts.claimed) / float(s.counts.claims)))
    );
    Ok(())
}

/// As many threads as the server has.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

struct Sample {
    lives: u64,
    counts: Counts,
    span: Duration,
}

impl Sample {
    fn commits_per_second(&self) -> f64 {
        rate(self.counts.commits, self.span)
    }
}

/// A store on the disk, and what it was opened with.
struct Opened {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    store: SqliteStore,
}

fn open(path: &Path) -> Result<Opened> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
    let options = SqliteOptions::new(Arc::clone(&entropy));
    let store = SqliteStore::open(path, Arc::clone(&clock), options)?;
    Ok(Opened { clock, entropy, store })
}

/// Commits per second of callers that each rewrite a record of their own.
async fn direct_commits(path: &Path) -> Result<f64> {
    let Opened { clock, entropy, store } = open(path)?;
    let store = Arc::new(store);
    let body: Arc<str> =
        format!("{{\"format\":1,\"text\":\"{}\"}}", "x".repeat(BODY_BYTES - 23)).into();
    let started = Instant::now();
    let callers = (0..CLIENTS).map(|number| {
        let (store, body) = (Arc::clone(&store), Arc::clone(&body));
        let (clock, entropy) = (Arc::clone(&clock), Arc::clone(&entropy));
        tokio::spawn(async move {
            let key = RecordKey::new(Kind::new("bench"), format!("{number:026}"));
            let mut version = 0;
            while started.elapsed() < WINDOW {
                let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
                let write = Write::put(key.clone(), expect, Arc::clone(&body), "measured");
                let id = CommitId::new(clock.now(), &*entropy);
                store.commit(Commit::new(id, Actor::named("bench")).with_write(write)).await?;
                version += 1;
            }
            Ok::<u64, anyhow::Error>(version)
        })
    });
    let made = deadline::within(LIMIT, "committing", async { Ok(try_join_all(callers).await?) });
    let mut commits = 0;
    for made in made.await? {
        commits += made?;
    }
    let span = started.elapsed();
    store.close().await;
    Ok(rate(commits, span))
}

/// Where clients learn from one follower of the feed that their workspace has got somewhere.
#[derive(Debug, Default)]
struct Board(Mutex<HashMap<String, Slot>>);

#[derive(Debug)]
enum Slot {
    Seen(String),
    Waiting(oneshot::Sender<String>),
}

impl Board {
    fn tell(&self, id: String, event: String) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Slot::Waiting(client)) = slots.remove(&id) {
            drop(slots);
            // A client that gave up has said why.
            drop(client.send(event));
        } else {
            slots.insert(id, Slot::Seen(event));
        }
    }

    async fn event(&self, id: &str) -> Result<String> {
        let told = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Slot::Seen(event)) = slots.remove(id) {
                return Ok(event);
            }
            let (client, told) = oneshot::channel();
            slots.insert(id.to_owned(), Slot::Waiting(client));
            told
        };
        told.await.context("the feed ended")
    }

    async fn follow(&self, sam: &Sam, head: sam_core::store::Cursor) -> Result<()> {
        let mut feed = sam.feed(head);
        while let Some(item) = feed.try_next().await? {
            let FeedItem::Change { change, .. } = item else { anyhow::bail!("the feed is stale") };
            let settled = ["workspace_running", "workspace_deleted", "workspace_failed"];
            if change.key.kind == WorkspaceRecord::KIND && settled.contains(&change.event.as_str())
            {
                self.tell(change.key.id, change.event);
            }
        }
        anyhow::bail!("the feed ended")
    }
}

/// Lives in [`WINDOW`], with [`CLIENTS`] workspaces in flight all the time.
async fn lives(path: &Path) -> Result<Sample> {
    let Opened { clock, entropy, store } = open(path)?;
    let store = Arc::new(Counting::new(store));
    let sam = Sam::builder(Arc::clone(&store) as _, Arc::new(MemoryCompute::new()))
        .clock(clock)
        .entropy(entropy)
        .link(Arc::new(MemoryLink::new()))
        .boot_key(Secret::new([7; 32]))
        .build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let engine = tokio::spawn({
        let sam = sam.clone();
        async move { sam.run(async { drop(stopped.await) }).await }
    });
    let board = Arc::new(Board::default());
    let follower = tokio::spawn({
        let (sam, board) = (sam.clone(), Arc::clone(&board));
        let head = sam.head().await?;
        async move { board.follow(&sam, head).await }
    });
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Client {
                sam: sam.clone(),
                board: Arc::clone(&board),
                caller: Caller::named(&format!("client-{number}")),
            };
            let (over, done) = (Arc::clone(&over), Arc::clone(&done));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    client.life().await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), anyhow::Error>(())
            })
        })
        .collect();
    deadline::pause(WARM_UP).await;
    let (started, lives, counts) = (Instant::now(), done.load(Ordering::Relaxed), store.counts());
    deadline::pause(WINDOW).await;
    let sample = Sample {
        lives: done.load(Ordering::Relaxed) - lives,
        counts: store.counts().since(counts),
        span: started.elapsed(),
    };
    over.store(true, Ordering::Relaxed);
    let ended = deadline::within(LIMIT, "ending", async { Ok(try_join_all(clients).await?) });
    for client in ended.await? {
        client?;
    }
    follower.abort();
    drop(stop);
    engine.await??;
    store.inner().close().await;
    Ok(sample)
}

struct Client {
    sam: Sam,
    board: Arc<Board>,
    caller: Caller,
}

impl Client {
    async fn life(&self) -> Result<()> {
        let new = NewWorkspace::new("octo/hello".parse()?);
        let id = self.sam.create_workspace(new, &self.caller).await?.record.id;
        let key = WorkspaceRecord::key_of(id).id;
        let event = self.board.event(&key).await?;
        anyhow::ensure!(event == "workspace_running", "{id}: {event}");
        self.sam.delete_workspace(id, &self.caller).await?;
        let event = self.board.event(&key).await?;
        anyhow::ensure!(event == "workspace_deleted", "{id}: {event}");
        Ok(())
    }
}
