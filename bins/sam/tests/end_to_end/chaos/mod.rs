//! Chaos: three replicas on a PostgreSQL of their own, and owners who create, stop, start, renew and
//! delete workspaces through any of them, while replicas, agents and holders are killed and PostgreSQL is
//! restarted. At the end every workspace is where its owner asked, no process is left over, and readers
//! of the event stream, who reconnected all the while, saw every change once and in order.
//!
//! Victims, moments and wishes are drawn from a seed, which is printed; the interleaving is the system's
//! own, so a seed repeats the plan and not the run.

mod cluster;
mod fleet;
mod history;
mod owners;
mod reader;
mod storm;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{join, join_all};
use libtest_mimic::Trial;
use sam_api::{Change, WorkspaceState};
use sam_core::entropy::SeededEntropy;

use self::cluster::Cluster;
use self::fleet::Fleet;
use self::history::History;
use self::owners::{Owned, Owner};
use self::reader::{Reader, Seen};
use self::storm::Storm;
use crate::home::{Home, skipped, trial, with_home};
use crate::plan::Plan;
use crate::server::beside;

const NAME: &str = "tests::chaos::whatever_is_killed_every_workspace_is_where_its_owner_asked";
const SEEING: &str = "tests::chaos::a_process_that_is_left_over_is_seen";
/// How much of the storm one workspace is worth.
const SPAN_EACH: Duration = Duration::from_millis(300);
/// The storm of the few is shorter: what a killed replica had claimed is left alone for 15 s after it.
const SPAN_FEW: Duration = Duration::from_secs(2);
/// How many are few.
const FEW: u64 = 20;
/// Kills and restarts must have happened by then.
const SPAN_MAX: Duration = Duration::from_mins(2);

/// What a plan comes to.
#[derive(Debug, Clone, Copy)]
struct Scale {
    seed: u64,
    workspaces: u64,
    /// Workspaces that are there at the end.
    there: u64,
    /// Owners at work at the same time, each with one workspace that is not to stay.
    owners: u64,
    storm: Storm,
}

impl Scale {
    /// 200 workspaces meet 60 kills and 5 restarts in a minute, 20 of them 6 and 1 in two seconds.
    fn of(plan: Plan) -> Self {
        let workspaces = plan.chaos.max(4);
        let part = |of: u64, least: u64, most: u64| (workspaces / of).clamp(least, most);
        let span = match workspaces {
            ..=FEW => SPAN_FEW,
            many => SPAN_EACH * u32::try_from(many.min(200)).expect("small"),
        };
        let storm = Storm { kills: part(10, 2, 20) * 3, restarts: part(40, 1, 5), span };
        let there = part(20, 3, 12);
        // A few are all there at once: nobody has to wait for another.
        let owners = if workspaces <= FEW { workspaces } else { 12 };
        Self { seed: plan.seed, workspaces, there, owners, storm }
    }

    /// A source of choices of its own for each who chooses.
    fn random(self, who: u64) -> SeededEntropy {
        SeededEntropy::new(self.seed.wrapping_mul(1_009).wrapping_add(who))
    }
}

pub(crate) fn trials(plan: Plan) -> Vec<Trial> {
    let absent = ["sam-agentd", "sam-server"].into_iter().find(|name| !beside(name).is_file());
    let programs = cluster::programs();
    let absent =
        absent.map(|name| format!("not built: {name}; `cargo build --workspace` builds it"));
    let programs = match (absent, programs) {
        (None, Ok(programs)) => programs,
        (Some(why), _) | (None, Err(why)) => return vec![skipped("chaos", &why)],
    };
    let run = move || {
        let scale = Scale::of(plan);
        let history = Arc::new(History::begin());
        println!("chaos of {} workspaces, seed {}", scale.workspaces, scale.seed);
        let outcome = with_home(async |home| chaos(home, &history, scale, programs).await);
        outcome.map_err(|failed| {
            let why = failed.message().unwrap_or("?");
            format!("{}\nseed {}: {why}", history.text(), scale.seed).into()
        })
    };
    let seeing = || with_home(storm::a_process_that_is_left_over_is_seen);
    vec![trial(NAME, run), trial(SEEING, seeing)]
}

/// Keeps what a run was, however it ends: the history, what a reader saw, and the log of the replicas.
struct Kept<'a> {
    home: &'a Home,
    history: &'a History,
    seen: OnceLock<Arc<Seen>>,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let feed = self.seen.get().map_or_else(String::new, |seen| seen.text());
        let log = self.home.data().join("daemon.log");
        // They only help to read a failure, which is told anyway.
        let _kept = std::fs::write(place.join("chaos-history.txt"), self.history.text());
        let _kept = std::fs::write(place.join("chaos-feed.txt"), feed);
        let _kept = std::fs::copy(log, place.join("chaos-replicas.txt"));
    }
}

async fn chaos(home: &Home, history: &History, scale: Scale, programs: PathBuf) {
    let kept = Kept { home, history, seen: OnceLock::new() };
    let repo = home.repo().await;
    let mut cluster = Cluster::start(programs).await;
    let (fleet, children) = Fleet::start(home, history, &cluster.url()).await;
    let work = async {
        let readers = read(&fleet, scale).await;
        kept.seen.get_or_init(|| Arc::clone(&readers[0].seen));
        let mut owned = storm(home, &fleet, &mut cluster, &repo, scale).await;
        let stormed = history.elapsed();
        history.note("CALM");
        let random = scale.random(1);
        verdict::settle(&fleet, &owned, &random).await;
        let others = verdict::one_machine_each(home, &fleet, &random).await;
        verdict::usable(&fleet, &owned).await;
        let span = history.since(stormed).as_secs_f64();
        println!("settled in {span:.1} s, {others} processes of people still run");
        history.note("SETTLED");
        verdict::take_all_away(home, &cluster, &fleet, &mut owned, &random).await;
        history.note("TAKEN AWAY");
        whole(&fleet, &cluster, readers, scale).await;
        history.note("READ");
        fleet.stop();
    };
    join(fleet.keep(children, scale.seed), work).await;
    history.note("STOPPED");
}

/// Starts readers at the beginning of the feed.
async fn read(fleet: &Fleet<'_>, scale: Scale) -> [Reader; 2] {
    let client = fleet.clients().next().expect("a replica");
    let from = reader::beginning(client).await;
    let clients = fleet.clients().cloned().collect();
    [
        Reader::bare(fleet.urls(), fleet.token.clone(), from.clone(), scale.random(2), true),
        Reader::typed(clients, from, scale.random(3)),
    ]
}

/// Lets the storm and the owners loose; returns what the owners own, once both are done.
async fn storm(
    home: &Home,
    fleet: &Fleet<'_>,
    cluster: &mut Cluster,
    repo: &Path,
    scale: Scale,
) -> Vec<Owned> {
    let history = fleet.history;
    let fates = owners::fates(scale.workspaces, scale.there, &scale.random(4));
    let next = AtomicUsize::new(0);
    let owning = (0..scale.owners).map(|number| {
        let owner = Owner { fleet, repo, random: scale.random(100 + number) };
        let (fates, next) = (&fates, &next);
        async move {
            let mut lived = Vec::new();
            loop {
                let number = next.fetch_add(1, Relaxed);
                let Some(fate) = fates.get(number) else { return lived };
                lived.push(owner.live(number, *fate).await);
            }
        }
    });
    let begun_at = history.elapsed();
    let faults = async {
        let kills = scale.storm.kill(home, history, scale.random(5));
        let restarts = scale.storm.restart(cluster, history, scale.random(6));
        let (kills, ()) = join(kills, restarts).await;
        (kills, history.since(begun_at))
    };
    let owned = async { (join_all(owning).await, history.since(begun_at)) };
    let ((kills, span), (owned, worked)) = join(faults, owned).await;
    println!(
        "{kills:?} killed and PostgreSQL restarted {} times in {:.1} s; {} workspaces in {:.1} s, {} \
         times an owner waited in vain",
        scale.storm.restarts,
        span.as_secs_f64(),
        scale.workspaces,
        worked.as_secs_f64(),
        history.count("in vain"),
    );
    assert!(span < SPAN_MAX, "the storm took {span:?}");
    owned.into_iter().flatten().collect()
}

/// What the readers saw is what the store has, and what a reader sees who begins now.
async fn whole(fleet: &Fleet<'_>, cluster: &Cluster, readers: [Reader; 2], scale: Scale) {
    let expected = verdict::feed_of_the_store(cluster).await;
    let client = fleet.clients().next().expect("a replica");
    let from = reader::beginning(client).await;
    let random = scale.random(7);
    let fresh = Reader::bare(fleet.urls(), fleet.token.clone(), from, random, false);
    let fresh = verdict::same("a fresh reader", &fresh, &expected).await;
    // Whatever was killed, nothing was given up: nobody asked for anything that cannot be had.
    let failed = |one: &&Change| {
        one.workspace.as_ref().is_some_and(|one| one.state == WorkspaceState::Failed)
    };
    let failed: Vec<&Change> = fresh.iter().filter(failed).collect();
    assert!(failed.is_empty(), "workspaces failed: {failed:#?}");
    for (name, reader) in ["the bare reader", "the typed reader"].iter().zip(&readers) {
        let seen = verdict::same(name, reader, &expected).await;
        assert!(seen == fresh, "{name} was told other things than a fresh reader");
        println!("{name}: {} changes, asked for {} times", seen.len(), reader.seen.connections());
    }
}
