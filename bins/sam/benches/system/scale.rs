//! What a store costs when it is full: the same calls with 1,000 workspaces on 1,000 nodes, and with
//! 100,000 workspaces and 10,000 nodes.
//!
//! Records are copies of real ones, made by a life of the engine, under other names. The nodes are due
//! once in 30 seconds, as heartbeats are: a look at a node that is as it was commits nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sam_core::compute::MemoryCompute;
use sam_core::engine::Stepped;
use sam_core::node::NodeRecord;
use sam_core::node_link::MemoryLink;
use sam_core::store::{
    Actor, ClaimRequest, Commit, Cursor, Due, Expect, Feed, Index, ListQuery, Record, RecordKey,
    Rev, Store, WorkerId, Write,
};
use sam_core::workspace::{NewWorkspace, WorkspaceRecord};
use sam_core::{Caller, CommitId, NodeId, Policy, Sam, Secret, WorkspaceId};
use sam_providers::sqlite::{SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};

use crate::PAIRS;
use crate::counting::Counting;
use crate::deadline;
use crate::figures::{Pairs, percentile};
use crate::load::runtime;
use crate::postgres::{Schema, connect};

/// Workspaces and nodes of the two stores.
const SMALL: (usize, usize) = (1_000, 1_000);
const LARGE: (usize, usize) = (100_000, 10_000);
/// Calls of each sort in a turn.
const CALLS: usize = 200;
/// Records per commit while filling.
const PART: usize = Commit::PARTS_MAX;
/// Between two looks at a node.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long the heartbeats are watched.
const WATCHED: Duration = Duration::from_secs(40);
/// Nothing of these is due while the store is measured.
const LATER: Due = Due::In(Duration::from_hours(24));

pub(crate) fn run(dir: &Path) -> Result<()> {
    let runtime = runtime(1)?;
    println!("  embedded");
    let small = || open(&dir.join("small.db"));
    let large = || open(&dir.join("large.db"));
    runtime.block_on(async { both(small()?, large()?).await })?;
    if let Err(error) = runtime.block_on(connect()) {
        println!("  PostgreSQL\n    skipped: {error:#}");
        return Ok(());
    }
    println!("  PostgreSQL");
    let schemas = [Schema::new("small"), Schema::new("large")];
    let measured = runtime.block_on(async {
        let [small, large] = &schemas;
        both(Arc::new(small.open().await?), Arc::new(large.open().await?)).await
    });
    for schema in &schemas {
        runtime.block_on(schema.remove())?;
    }
    measured
}

fn open(path: &Path) -> Result<Arc<dyn Store>> {
    let options = SqliteOptions::new(Arc::new(OsEntropy::new()));
    Ok(Arc::new(SqliteStore::open(path, Arc::new(SystemClock::new()), options)?))
}

async fn both(small: Arc<dyn Store>, large: Arc<dyn Store>) -> Result<()> {
    let filled = Instant::now();
    let small = Full::fill(small, SMALL).await?;
    let large = Full::fill(large, LARGE).await?;
    println!("    filled in {:.1} s", filled.elapsed().as_secs_f64());
    for (what, call) in [
        ("a page of 50 of a list", Call::Page),
        ("a claim of due work", Call::Claim),
        ("a look at a node", Call::Look),
        ("100 changes of the feed", Call::Feed),
    ] {
        let mut pairs = Pairs::default();
        for turn in 0..PAIRS {
            let first = small.median(call, turn).await?;
            let full = large.median(call, turn).await?;
            pairs.push(full, f64::midpoint(first, small.median(call, turn).await?));
        }
        let (full, first) = (pairs.ours(), pairs.peer());
        println!("    {what:24} {first} us, full {full} us, ratio {}", pairs.ratio());
    }
    large.heartbeats().await
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Claim,
    Feed,
    Look,
    Page,
}

/// A store with so many workspaces and nodes in it.
struct Full {
    store: Arc<Counting<Arc<dyn Store>>>,
    sam: Sam,
    nodes: Vec<NodeId>,
    workspaces: Vec<RecordKey>,
    head: Cursor,
}

impl Full {
    async fn fill(store: Arc<dyn Store>, (workspaces, nodes): (usize, usize)) -> Result<Self> {
        let store = Arc::new(Counting::new(store));
        let mut policy = Policy::default();
        policy.ready_poll = HEARTBEAT;
        // The copies have no machines: a sweep would look at each.
        policy.sweep_every = Duration::from_hours(24);
        let sam = Sam::builder(Arc::clone(&store) as _, Arc::new(MemoryCompute::new()))
            .clock(Arc::new(SystemClock::new()))
            .entropy(Arc::new(OsEntropy::new()))
            .link(Arc::new(MemoryLink::new()))
            .boot_key(Secret::new([7; 32]))
            .policy(policy)
            .build()?;
        let new = NewWorkspace::new("octo/hello".parse()?);
        let made = sam.create_workspace(new, &Caller::named("ann")).await?.record.id;
        while sam.step().await? == Stepped::Worked {}
        let workspace = load(&*store, &WorkspaceRecord::key_of(made)).await?;
        let node = sam.workspace(made).await?.and_then(|found| found.record.node);
        let node = node.context("the first workspace has no node")?;
        let pattern = load(&*store, &NodeRecord::key_of(node)).await?;
        let entropy = OsEntropy::new();
        let now = || sam.clock().now();
        let mut named = Vec::with_capacity(nodes);
        let mut filled = Vec::with_capacity(workspaces);
        let mut writes = Vec::with_capacity(PART);
        for _ in 0..nodes {
            let id = NodeId::new(now(), &entropy);
            named.push(id);
            let change = [(node.label(), id.label())];
            writes.push(copy(&pattern, NodeRecord::key_of(id), &change));
            commit(&*store, &sam, &mut writes, PART).await?;
        }
        for on in named.iter().cycle().take(workspaces) {
            let id = WorkspaceId::new(now(), &entropy);
            let change = [(made.label(), id.label()), (node.label(), on.label())];
            filled.push(WorkspaceRecord::key_of(id));
            writes.push(copy(&workspace, WorkspaceRecord::key_of(id), &change));
            commit(&*store, &sam, &mut writes, PART).await?;
        }
        commit(&*store, &sam, &mut writes, 1).await?;
        let head = sam.head().await?;
        Ok(Self { store, sam, nodes: named, workspaces: filled, head })
    }

    /// The median of some calls, in microseconds.
    async fn median(&self, call: Call, turn: usize) -> Result<f64> {
        let mut spans = Vec::with_capacity(CALLS);
        for number in 0..CALLS {
            let position = (turn * CALLS + number) * 7_919;
            let node = self.nodes.get(position % self.nodes.len()).context("there are nodes")?;
            let key = NodeRecord::key_of(*node);
            if matches!(call, Call::Claim | Call::Look) {
                // One thing is due among all that are not.
                self.wake(&key).await?;
            }
            let started = Instant::now();
            match call {
                Call::Claim => {
                    let request = ClaimRequest::new(
                        WorkerId::new("bench"),
                        vec![NodeRecord::KIND],
                        16,
                        HEARTBEAT,
                    );
                    let claims = self.store.claim_due(&request).await?;
                    spans.push(started.elapsed());
                    anyhow::ensure!(claims.claims.len() == 1, "one was due");
                    for claim in claims.claims {
                        self.store.release(&claim.lease, LATER).await?;
                    }
                }
                Call::Look => {
                    while self.sam.step().await? == Stepped::Worked {}
                    spans.push(started.elapsed());
                }
                Call::Feed => {
                    let rev = position as u64 % self.head.rev.0.saturating_sub(100).max(1);
                    let after = Cursor::new(self.head.epoch.clone(), Rev(rev));
                    let feed = self.store.changes(Some(&after), 100).await?;
                    spans.push(started.elapsed());
                    anyhow::ensure!(matches!(feed, Feed::Changes(_)), "nothing was trimmed");
                }
                Call::Page => {
                    let most = self.workspaces.len().saturating_sub(100);
                    let after = self.workspaces.get(position % most).map(|key| key.id.clone());
                    let query = ListQuery::new(WorkspaceRecord::KIND).with_limit(50);
                    let page = self.store.list(&query.with_after(after)).await?;
                    spans.push(started.elapsed());
                    anyhow::ensure!(page.items.len() == 50, "{} items", page.items.len());
                }
            }
        }
        spans.sort();
        Ok(percentile(&spans, 50))
    }

    async fn wake(&self, key: &RecordKey) -> Result<()> {
        let id = CommitId::new(self.sam.clock().now(), &OsEntropy::new());
        let wake = Commit::new(id, Actor::named("bench")).with_wake(key.clone());
        self.store.commit(wake).await?;
        Ok(())
    }

    /// Lets every node be looked at once in [`HEARTBEAT`], and tells what that costs this process.
    async fn heartbeats(&self) -> Result<()> {
        // Spread over the span, as the nodes of an installation are that were bought over time.
        for (number, part) in self.nodes.chunks(PART).enumerate() {
            let share = f64::from(u32::try_from(number * PART)?)
                / f64::from(u32::try_from(self.nodes.len())?);
            let mut writes = Vec::new();
            for id in part {
                let record = load(&*self.store, &NodeRecord::key_of(*id)).await?;
                let due = Due::In(HEARTBEAT.mul_f64(share));
                let write = Write::put(record.key, Expect::Anything, record.body, "measured");
                writes.push(write.with_index(record.index).with_due(due));
            }
            commit(&*self.store, &self.sam, &mut writes, 1).await?;
        }
        let (counts, used, started) = (self.store.counts(), processor_time()?, Instant::now());
        let run = self.sam.run(deadline::pause(WATCHED));
        run.await?;
        let (span, used) = (started.elapsed(), processor_time()?.saturating_sub(used));
        let counts = self.store.counts().since(counts);
        let looks = counts.claimed;
        println!(
            "    heartbeats: {looks} looks at {} nodes in {:.0} s, {} commits; {:.1} % of one processor \
             (aim 10), {:.0} us each",
            self.nodes.len(),
            span.as_secs_f64(),
            counts.commits,
            100.0 * used.as_secs_f64() / span.as_secs_f64(),
            used.as_secs_f64() * 1e6 / crate::figures::float(looks.max(1)),
        );
        Ok(())
    }
}

/// Processor time of this process so far.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("this needs /proc")?;
    let (_, fields) = stat.rsplit_once(") ").context("/proc/self/stat is unknown")?;
    let mut ticks = 0;
    for field in fields.split(' ').skip(11).take(2) {
        ticks += field.parse::<u64>()?;
    }
    // A tick is a hundredth of a second on every Linux that programs see.
    Ok(Duration::from_millis(ticks * 10))
}

async fn load(store: &impl Store, key: &RecordKey) -> Result<Record> {
    store.load(key).await?.with_context(|| format!("{key} is not there"))
}

/// The same record under another name.
fn copy(pattern: &Record, key: RecordKey, change: &[(String, String)]) -> Write {
    let renamed =
        |text: &str| change.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let index: Index = pattern.index.clone().map(|value| value.map(|value| renamed(&value)));
    let write = Write::put(key, Expect::Absent, renamed(&pattern.body), "node_ready");
    write.with_index(index).with_due(LATER)
}

/// Commits what was collected once there are so many.
async fn commit(
    store: &impl Store,
    sam: &Sam,
    writes: &mut Vec<Write>,
    at_least: usize,
) -> Result<()> {
    if writes.len() < at_least {
        return Ok(());
    }
    let id = CommitId::new(sam.clock().now(), &OsEntropy::new());
    let commit = writes.drain(..).fold(Commit::new(id, Actor::named("bench")), Commit::with_write);
    store.commit(commit).await?;
    Ok(())
}
