//! Load on a store: callers that commit directly, and whole lives of workspaces, create → running →
//! deleted, with everything but the store in memory. A store may be opened several times, once for each
//! replica; the load is spread evenly over them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use sam_core::compute::MemoryCompute;
use sam_core::node_link::MemoryLink;
use sam_core::store::{Actor, Commit, Expect, Kind, RecordKey, Store, Write};
use sam_core::workspace::{NewWorkspace, WorkspaceRecord};
use sam_core::{Caller, CommitId, FeedItem, Sam, Secret};
use sam_providers::system::{OsEntropy, SystemClock};
use tokio::sync::oneshot;

use crate::counting::{Counting, Counts};
use crate::deadline;
use crate::figures::{Spread, float, rate};
use crate::peer::BODY_BYTES;

/// Workspaces in flight, and direct callers.
pub(crate) const CLIENTS: usize = 64;
/// How long each is measured.
pub(crate) const WINDOW: Duration = Duration::from_secs(2);
/// Before the window: the first round is all creates and no deletes.
const WARM_UP: Duration = Duration::from_millis(500);
/// Longest of one turn.
const LIMIT: Duration = Duration::from_secs(30);

/// As many threads as a server has, for each replica.
pub(crate) fn runtime(replicas: usize) -> Result<tokio::runtime::Runtime> {
    let threads = 2 * replicas.max(1);
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

/// What was counted in [`WINDOW`].
pub(crate) struct Sample {
    pub(crate) lives: u64,
    pub(crate) counts: Counts,
    pub(crate) span: Duration,
}

impl Sample {
    pub(crate) fn commits_per_second(&self) -> f64 {
        rate(self.counts.commits, self.span)
    }

    pub(crate) fn lives_per_second(&self) -> f64 {
        rate(self.lives, self.span)
    }

    /// How often something happened in each life.
    pub(crate) fn each(samples: &[Self], count: fn(&Counts) -> u64) -> Spread {
        Spread::of(samples.iter().map(|sample| float(count(&sample.counts)) / float(sample.lives)))
    }
}

/// Commits per second of callers that each rewrite a record of their own.
pub(crate) async fn direct_commits(stores: &[Arc<dyn Store>]) -> Result<f64> {
    let body: Arc<str> =
        format!("{{\"format\":1,\"text\":\"{}\"}}", "x".repeat(BODY_BYTES - 23)).into();
    let started = Instant::now();
    let callers = stores.iter().cycle().take(CLIENTS).enumerate().map(|(number, store)| {
        let (store, body) = (Arc::clone(store), Arc::clone(&body));
        tokio::spawn(async move {
            let (clock, entropy) = (SystemClock::new(), OsEntropy::new());
            let key = RecordKey::new(Kind::new("bench"), format!("{number:026}"));
            let mut version = 0;
            while started.elapsed() < WINDOW {
                let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
                let write = Write::put(key.clone(), expect, Arc::clone(&body), "measured");
                let id = CommitId::new(sam_core::time::Clock::now(&clock), &entropy);
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
    Ok(rate(commits, started.elapsed()))
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

/// One replica at work.
struct Replica {
    sam: Sam,
    store: Arc<Counting<Arc<dyn Store>>>,
    board: Arc<Board>,
    stop: oneshot::Sender<()>,
    engine: tokio::task::JoinHandle<sam_core::Result<()>>,
    follower: tokio::task::JoinHandle<Result<()>>,
}

impl Replica {
    async fn start(
        store: Arc<dyn Store>,
        cloud: Arc<MemoryCompute>,
        agents: Arc<MemoryLink>,
    ) -> Result<Self> {
        let store = Arc::new(Counting::new(store));
        let sam = Sam::builder(Arc::clone(&store) as _, cloud)
            .clock(Arc::new(SystemClock::new()))
            .entropy(Arc::new(OsEntropy::new()))
            .link(agents)
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
        Ok(Self { sam, store, board, stop, engine, follower })
    }

    async fn end(self) -> Result<()> {
        self.follower.abort();
        drop(self.stop);
        Ok(self.engine.await??)
    }
}

fn counted(replicas: &[Replica]) -> Counts {
    replicas.iter().map(|replica| replica.store.counts()).fold(Counts::default(), Counts::and)
}

/// Lives in [`WINDOW`], with [`CLIENTS`] workspaces in flight all the time.
pub(crate) async fn lives(stores: &[Arc<dyn Store>]) -> Result<Sample> {
    let (cloud, agents) = (Arc::new(MemoryCompute::new()), Arc::new(MemoryLink::new()));
    let mut replicas = Vec::new();
    for store in stores {
        let (cloud, agents) = (Arc::clone(&cloud), Arc::clone(&agents));
        replicas.push(Replica::start(Arc::clone(store), cloud, agents).await?);
    }
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = replicas
        .iter()
        .cycle()
        .take(CLIENTS)
        .enumerate()
        .map(|(number, replica)| {
            let client = Client {
                sam: replica.sam.clone(),
                board: Arc::clone(&replica.board),
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
    let before = (Instant::now(), done.load(Ordering::Relaxed), counted(&replicas));
    deadline::pause(WINDOW).await;
    let (started, lives, counts) = before;
    let sample = Sample {
        lives: done.load(Ordering::Relaxed) - lives,
        counts: counted(&replicas).since(counts),
        span: started.elapsed(),
    };
    over.store(true, Ordering::Relaxed);
    let ended = deadline::within(LIMIT, "ending", async { Ok(try_join_all(clients).await?) });
    for client in ended.await? {
        client?;
    }
    for replica in replicas {
        replica.end().await?;
    }
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
