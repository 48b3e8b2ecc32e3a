//! What goes wrong: kills of replicas, agents and holders, and restarts of PostgreSQL, at moments that
//! are drawn from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sam_core::entropy::SeededEntropy;

use super::cluster::{Cluster, Ending};
use super::history::History;
use crate::deadline::{LIMIT, eventually, pause, until};
use crate::home::Home;
use crate::processes::{self, Role};

/// How long PostgreSQL is down at most, beside the time it takes to end and to recover.
const DOWN_MS: u64 = 3_000;

/// How many, and in what time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storm {
    pub(super) kills: u64,
    pub(super) restarts: u64,
    pub(super) span: Duration,
}

impl Storm {
    /// Draws moments of the span, in order.
    fn moments(self, count: u64, random: &SeededEntropy) -> Vec<Duration> {
        let millis = u64::try_from(self.span.as_millis()).expect("short");
        // One in each part of the span, so that all of it is stormy; and some in one blow.
        let part = millis / count.max(1);
        let mut last = 0;
        let mut moment = |number: u64| {
            if number == 0 || random.below(3) > 0 {
                last = number * part + random.below(part);
            }
            Duration::from_millis(last)
        };
        (0..count).map(&mut moment).collect()
    }

    /// Kills; returns how many of each role.
    pub(super) async fn kill(
        self,
        home: &Home,
        history: &History,
        random: SeededEntropy,
    ) -> BTreeMap<Role, u64> {
        let mut counts = BTreeMap::new();
        // A process is there for a moment after it was killed.
        let mut killed = BTreeSet::new();
        let begun_at = history.elapsed();
        for moment in self.moments(self.kills, &random) {
            wait_for(history, begun_at + moment).await;
            // Roles in equal parts: there are many more agents than replicas.
            let chosen = usize::try_from(random.below(3)).expect("small");
            let role = [Role::Agent, Role::Daemon, Role::Holder][chosen];
            let found = until(LIMIT, async || {
                let mut found = home.those(role);
                found.retain(|process| !killed.contains(&process.pid));
                found.sort_by_key(|process| process.pid);
                (!found.is_empty()).then_some(found)
            })
            .await;
            let found = found.unwrap_or_else(|| panic!("no {role:?} to kill"));
            let chosen = usize::try_from(random.below(found.len() as u64)).expect("small");
            let victim = &found[chosen];
            victim.kill();
            killed.insert(victim.pid);
            let what: String = victim.command.chars().take(400).collect();
            history.note(format_args!("KILL {role:?} {}: {what}", victim.pid));
            *counts.entry(role).or_default() += 1;
        }
        counts
    }

    /// Restarts PostgreSQL, every other time as if it had crashed.
    pub(super) async fn restart(
        self,
        cluster: &mut Cluster,
        history: &History,
        random: SeededEntropy,
    ) {
        let begun_at = history.elapsed();
        let mut ending = if random.below(2) == 0 { Ending::Fast } else { Ending::Immediate };
        for moment in self.moments(self.restarts, &random) {
            wait_for(history, begun_at + moment).await;
            let down = Duration::from_millis(random.below(DOWN_MS));
            history.note(format_args!("RESTART of PostgreSQL, {ending:?}, down for {down:?}"));
            cluster.restart(ending, down).await;
            history.note("PostgreSQL is back");
            ending = match ending {
                Ending::Fast => Ending::Immediate,
                Ending::Immediate => Ending::Fast,
            };
        }
    }
}

async fn wait_for(history: &History, moment: Duration) {
    pause(moment.saturating_sub(history.elapsed())).await;
}

/// What runs, by the node it is for: holders, agents, and what people started. What is for no node is under
/// its own command.
pub(super) fn machines(home: &Home) -> BTreeMap<String, Vec<Role>> {
    let mut machines: BTreeMap<String, Vec<Role>> = BTreeMap::new();
    let ours = home.processes().into_iter().filter(|process| process.role != Role::Daemon);
    for process in ours {
        let node = processes::node_of(process.pid);
        // One that has ended since it was found was on its way out.
        if processes::runs(process.pid) {
            machines.entry(node.unwrap_or(process.command)).or_default().push(process.role);
        }
    }
    for roles in machines.values_mut() {
        roles.sort();
    }
    machines
}

/// Shows that what is left over is seen, whatever else became of its node.
pub(super) async fn a_process_that_is_left_over_is_seen(home: &Home) {
    assert!(machines(home).is_empty());
    let mut left_over =
        home.command("sleep").arg("600").env("SAM_NODE_ID", "nd-1").spawn().unwrap();
    let seen = BTreeMap::from([("nd-1".to_owned(), vec![Role::Other])]);
    eventually("it is seen", async || (machines(home) == seen).then_some(())).await;
    left_over.kill().await.unwrap();
    assert!(machines(home).is_empty());
}
