//! `kill -9` at any moment: clients go on with `up`, `stop`, `start` and `delete` while one sort of
//! process is killed again and again, and so are the clients themselves. Afterwards every workspace
//! becomes what its owner last wanted, and once all are deleted, `/proc`, the data directory and the
//! records agree that nothing is left (the last is the look that ends every test here).
//!
//! What happens when is drawn from a seed, which is printed; the moments are the system's own, so a
//! seed repeats the plan and not the exact interleaving.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use libtest_mimic::{Failed, Trial};
use sam_api::client::ListWorkspaces;
use sam_api::{Workspace, WorkspaceState, WorkspaceWish};
use sam_core::entropy::SeededEntropy;

use crate::deadline::{at_most, eventually, pause, until};
use crate::home::{Home, said, trial, with_home};
use crate::plan::Plan;
use crate::processes::{self, Role};

/// Clients at work at the same time.
const CLIENTS: u64 = 3;
/// Longest pause before a kill.
const KILL_AFTER_MS: u64 = 400;
/// Longest time a client is let work before it is killed too.
const PATIENCE_MS: u64 = 3_000;
/// Longest storm; what is asked for more kills than fit fails.
const STORM: Duration = Duration::from_mins(8);
/// How long one may wait after a single kill.
const SINGLE_RECOVERY: Duration = Duration::from_secs(15);
/// How long the workspaces may take to become what is wanted once nobody is killed any more.
const RECOVERY: Duration = Duration::from_secs(90);

pub(crate) fn trials(plan: Plan) -> Vec<Trial> {
    let victim = |name: &'static str, role: Option<Role>| {
        trial(&format!("tests::kills::{name}"), move || -> Result<(), Failed> {
            with_home(async |home| storm(home, role, plan).await).map_err(|failed| {
                format!("seed {}: {}", plan.seed, failed.message().unwrap_or("?")).into()
            })
        })
    };
    let mut trials = single();
    trials.extend([
        victim("the_daemon_is_killed_at_any_moment", Some(Role::Daemon)),
        victim("the_agent_is_killed_at_any_moment", Some(Role::Agent)),
        victim("the_holder_is_killed_at_any_moment", Some(Role::Holder)),
        victim("whatever_is_there_is_killed_at_any_moment", None),
    ]);
    trials
}

crate::home::trials! {
    fn single,
    a_killed_daemon_and_a_killed_agent_are_not_noticed_by_what_runs,
    a_killed_holder_takes_its_processes_with_it_and_the_files_stay,
    a_holder_that_is_killed_while_no_daemon_runs_is_missed,
}

/// Starts something in the workspace that leaves its parents and ignores what it is asked, and
/// returns its pid.
async fn daemonize(home: &Home) -> i32 {
    let script = "(setsid sh -c 'trap \"\" TERM HUP; echo $$ > pid.new; mv pid.new pid; \
                  exec sleep 600' >/dev/null 2>&1 &); until [ -e pid ]; do sleep 0.02; done; cat pid";
    let printed = home.done(&["exec", "a", "--shell", script]).await;
    printed.trim().parse().expect("a pid")
}

/// Waits until commands run again, and says how long that took.
async fn usable_again(home: &Home) -> Duration {
    let begun_at = Instant::now();
    eventually("a command runs", async || {
        home.run(&["exec", "a", "--", "true"]).await.status.success().then_some(())
    })
    .await;
    begun_at.elapsed()
}

async fn a_killed_daemon_and_a_killed_agent_are_not_noticed_by_what_runs(home: &Home) {
    let repo = home.repo().await;
    home.up(&repo, "a").await;
    let pid = daemonize(home).await;
    for role in [Role::Daemon, Role::Agent] {
        let victim = home.one(role).await;
        victim.kill();
        let is_gone = async || (!processes::runs(victim.pid)).then_some(());
        eventually("the victim is gone", is_gone).await;
        let span = usable_again(home).await;
        println!("usable {} ms after the {role:?} was killed", span.as_millis());
        assert!(span < SINGLE_RECOVERY, "{span:?} after the {role:?}");
        assert!(processes::runs(pid), "{role:?}");
    }
    home.done(&["delete", "a"]).await;
    assert!(!processes::runs(pid));
}

async fn a_killed_holder_takes_its_processes_with_it_and_the_files_stay(home: &Home) {
    let repo = home.repo().await;
    home.up(&repo, "a").await;
    let pid = daemonize(home).await;
    home.one(Role::Holder).await.kill();
    eventually("the orphan is ended", async || (!processes::runs(pid)).then_some(())).await;
    let span = usable_again(home).await;
    println!("usable {} ms after the holder was killed", span.as_millis());
    assert!(span < SINGLE_RECOVERY, "{span:?}");
    // A command may slip in before it is noticed that all processes were lost.
    let kept = eventually("files can be read", async || {
        let output = home.run(&["exec", "a", "--", "cat", "pid"]).await;
        output.status.success().then_some(output.stdout)
    })
    .await;
    assert_eq!(kept, format!("{pid}\n").as_bytes());
    home.done(&["delete", "a"]).await;
}

async fn a_holder_that_is_killed_while_no_daemon_runs_is_missed(home: &Home) {
    let repo = home.repo().await;
    home.up(&repo, "a").await;
    home.kill_daemon().await;
    let (holder, agent) = (home.one(Role::Holder).await, home.one(Role::Agent).await);
    holder.kill();
    let gone = async || [&holder, &agent].iter().all(|one| !processes::runs(one.pid)).then_some(());
    eventually("holder and agent are gone", gone).await;
    let span = usable_again(home).await;
    println!("usable {} ms after daemon and holder were killed", span.as_millis());
    assert!(span < SINGLE_RECOVERY, "{span:?}");
    home.done(&["delete", "a"]).await;
}

/// Kills processes of one role, or of any of the three.
async fn storm(home: &Home, role: Option<Role>, plan: Plan) {
    let shown = role.map_or("anything".to_owned(), |role| format!("the {role:?}"));
    println!("killing {shown} {} times, seed {}", plan.kills, plan.seed);
    let repo = home.repo_named("repo", 300).await;
    home.done(&["ls"]).await;
    let over = AtomicBool::new(false);
    let begun_at = Instant::now();
    let killing = async {
        let random = SeededEntropy::new(plan.seed);
        let mut kills = 0;
        while kills < plan.kills {
            assert!(begun_at.elapsed() < STORM, "only {kills} kills until the storm's end");
            pause(Duration::from_millis(random.below(KILL_AFTER_MS))).await;
            let mut found = home.processes();
            found.retain(|one| role.map_or(one.role != Role::Other, |role| one.role == role));
            let chosen = random.below(found.len() as u64);
            if let Some(victim) = found.get(usize::try_from(chosen).expect("small")) {
                victim.kill();
                kills += 1;
            }
        }
        over.store(true, Ordering::Relaxed);
    };
    let clients = (0..CLIENTS).map(|number| {
        let random = SeededEntropy::new(plan.seed.wrapping_mul(1_000).wrapping_add(number));
        client(home, &repo, number, random, &over)
    });
    join(killing, join_all(clients)).await;
    let stormed = begun_at.elapsed();
    let workspaces = settle(home).await;
    println!(
        "{shown}: {} kills in {:.1} s, settled in {:.1} s, {workspaces:?}",
        plan.kills,
        stormed.as_secs_f64(),
        begun_at.elapsed().saturating_sub(stormed).as_secs_f64()
    );
    take_all_away(home).await;
}

/// Works on one workspace after another until the storm is over.
async fn client(home: &Home, repo: &Path, number: u64, random: SeededEntropy, over: &AtomicBool) {
    let repo = repo.to_str().expect("UTF-8");
    let mut cycle = 0;
    while !over.load(Ordering::Relaxed) {
        let name = format!("k{number}-{cycle}");
        cycle += 1;
        work(home, &random, &["up", repo, "--no-attach", "--name", &name]).await;
        for _ in 0..random.below(3) {
            work(home, &random, &["stop", &name]).await;
            work(home, &random, &["start", &name]).await;
        }
        // Some are left as they are, to be found and finished at the end.
        if random.below(8) > 0 {
            work(home, &random, &["delete", &name]).await;
        }
    }
}

/// Runs a client, and kills it when it takes long. It may fail, but never by a defect.
async fn work(home: &Home, random: &SeededEntropy, arguments: &[&str]) {
    let patience = Duration::from_millis(random.below(PATIENCE_MS));
    let running = home.sam(arguments).output();
    // Dropping it kills it.
    if let Some(output) = at_most(patience, running).await {
        let output = output.expect("sam starts");
        let legal = matches!(output.status.code(), Some(0 | 3 | 4 | 5 | 7));
        assert!(legal, "sam {arguments:?}: {}", said(&output));
    }
}

async fn all(home: &Home) -> Option<Vec<Workspace>> {
    let query = ListWorkspaces { all: true, ..ListWorkspaces::default() };
    let page = home.client().workspaces(&query).await.ok()?;
    assert!(page.next.is_none(), "more workspaces than fit on a page");
    Some(page.items)
}

const fn is_settled(workspace: &Workspace) -> bool {
    matches!(
        (workspace.state, workspace.wish),
        (WorkspaceState::Running, WorkspaceWish::Running)
            | (WorkspaceState::Stopped, WorkspaceWish::Stopped)
            | (WorkspaceState::Deleted, WorkspaceWish::Deleted)
    )
}

/// Waits until every workspace is what its owner last wanted, and counts what they are.
async fn settle(home: &Home) -> BTreeMap<&'static str, usize> {
    home.done(&["ls"]).await;
    let settled = until(RECOVERY, async || {
        let all = all(home).await?;
        all.iter().all(is_settled).then_some(all)
    })
    .await;
    let Some(settled) = settled else {
        let mut open = all(home).await.expect("the daemon answers");
        open.retain(|workspace| !is_settled(workspace));
        panic!("not settled after {RECOVERY:?}: {open:#?}");
    };
    let mut counts = BTreeMap::new();
    for workspace in &settled {
        *counts.entry(workspace.state.code()).or_default() += 1;
    }
    counts
}

async fn take_all_away(home: &Home) {
    for workspace in all(home).await.expect("the daemon answers") {
        if workspace.state == WorkspaceState::Running {
            // Whatever was killed, it can be used.
            eventually("a command runs", async || {
                let output = home.run(&["exec", &workspace.name, "--", "git", "status"]).await;
                output.status.success().then_some(())
            })
            .await;
        }
        if workspace.state != WorkspaceState::Deleted {
            home.done(&["delete", &workspace.name]).await;
        }
    }
    let left = home.processes();
    let strangers: Vec<_> = left.iter().filter(|process| process.role != Role::Daemon).collect();
    assert!(strangers.is_empty(), "left behind: {strangers:?}");
}
