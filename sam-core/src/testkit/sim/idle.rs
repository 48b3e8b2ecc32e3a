//! What goes on in the workspaces of a simulation, so that the audit can tell whether somebody is
//! stopped who was not seen idle, without work, and warned in time.

use std::time::Duration;

use super::faults::Dice;
use super::world::State;
use crate::id::WorkspaceId;
use crate::node_link::{Activity, IdleEnd, Work, WorkName, WorkSort};
use crate::policy::Policy;
use crate::time::Timestamp;

/// Without activity for this long, simulated people are warned.
const STOP_AFTER: Duration = Duration::from_mins(10);
/// From the warning to the stop.
const WARNING: Duration = Duration::from_mins(1);
/// Longest work that a workspace declares.
const WORK_MAX_S: u64 = 1_200;

/// Switches the idle rule on in every other run.
pub(super) fn switch_on(policy: &mut Policy, seed: u64) {
    policy.idle_stop_after = seed.is_multiple_of(2).then_some(STOP_AFTER);
    policy.idle_warning = WARNING;
}

/// What goes on in one workspace.
#[derive(Debug, Clone)]
pub(super) struct SimActivity {
    instance: String,
    counted_at: Timestamp,
    work_until: Timestamp,
    warned_at: Option<Timestamp>,
}

/// Lets something go on, or not, and tells what is seen of it.
pub(super) fn observe(
    state: &mut State,
    dice: &Dice,
    workspace: WorkspaceId,
    instance: &str,
    now: Timestamp,
) -> Activity {
    let fresh = || SimActivity {
        instance: instance.to_owned(),
        counted_at: now,
        work_until: now,
        warned_at: None,
    };
    let known = state.activities.entry(workspace).or_insert_with(fresh);
    if known.instance != instance {
        *known = fresh();
    }
    if dice.below(12) == 0 {
        // Somebody typed since the last look.
        let ago = Duration::from_millis(dice.below(60_000)).min(now.since(known.counted_at));
        known.counted_at = Timestamp::EPOCH.plus(now.since(Timestamp::EPOCH).saturating_sub(ago));
        known.warned_at = None;
    }
    if dice.below(16) == 0 {
        known.work_until = now.plus(Duration::from_secs(1 + dice.below(WORK_MAX_S)));
        known.warned_at = None;
    }
    known.counted_at = known.counted_at.max(known.work_until.min(now));
    let quiet = now.since(known.counted_at);
    let warned = known.warned_at.map(|at| now.since(at));
    let left = known.work_until.since(now);
    let mut work = Vec::new();
    if !left.is_zero()
        && let Ok(name) = "simulated".parse::<WorkName>()
    {
        work.push(Work::new(name, WorkSort::Background, left));
    } else if quiet >= STOP_AFTER && warned.is_some_and(|span| span >= WARNING) {
        state.idle_seen.insert(workspace);
    }
    Activity::quiet(quiet).with_warned_for(warned).with_work(work)
}

/// Notes that people are warned.
pub(super) fn warn(state: &mut State, workspace: WorkspaceId, now: Timestamp) {
    if let Some(known) = state.activities.get_mut(&workspace)
        && known.work_until <= now
    {
        known.warned_at = Some(now);
    }
}

/// Ends a workspace, unless something counts that comes just in time.
pub(super) fn stop(
    state: &mut State,
    dice: &Dice,
    workspace: WorkspaceId,
    now: Timestamp,
) -> IdleEnd {
    let Some(known) = state.activities.get_mut(&workspace) else { return IdleEnd::Ended };
    if dice.below(4) == 0 {
        known.counted_at = now;
        known.warned_at = None;
    }
    if known.warned_at.is_none() || known.work_until > now {
        return IdleEnd::InUse;
    }
    state.activities.remove(&workspace);
    IdleEnd::Ended
}
