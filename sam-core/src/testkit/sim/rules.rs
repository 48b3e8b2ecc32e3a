//! What a host's policy and a person's switch add to a run: a cap on nodes, a longest life, the hold
//! on automatic deletion, and names of workspaces. Drawn from a stream of their own, so that runs without them are as they were.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::parts::Parts;
use super::plan::{Stream, mixed};
use crate::entropy::SeededEntropy;
use crate::policy::Policy;
use crate::sam::{Caller, Sam};
use crate::spend::SpendCap;

/// Longest life that is drawn.
const LIFETIME_MAX_S: u64 = 1_800;
/// Times that a person holds deletion and lets it go on.
const HOLDS_MAX: u64 = 3;

/// One of so many runs publishes names.
const NAMES_ONE_IN: u64 = 2;
/// An effect of an engine that does not know yet that it lost its lease, a call of it that is late, and
/// a wall clock that jumps by half a minute either way.
const NAMES_SETTLE_WITHIN: Duration = Duration::from_mins(5);

/// Rules of a run beyond those that every run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rules {
    /// Most nodes of the one owner at once.
    pub nodes_max: Option<u32>,
    /// Longest life of a workspace.
    pub lifetime_max: Option<Duration>,
    /// How often a person holds automatic deletion, and lets it go on again.
    pub holds: u64,
    /// Whether workspaces are reached under names of their own.
    pub names: bool,
}

impl Rules {
    pub(super) fn drawn(seed: u64) -> Self {
        let draw = SeededEntropy::new(mixed(seed, 0, Stream::Rules));
        let nodes_max = (draw.below(6) == 0).then(|| 1 + u32::from(draw.below(2) == 0));
        let lifetime_max =
            (draw.below(4) == 0).then(|| Duration::from_secs(1 + draw.below(LIFETIME_MAX_S)));
        let holds = if draw.below(4) == 0 { 1 + draw.below(HOLDS_MAX) } else { 0 };
        let names = SeededEntropy::new(mixed(seed, 0, Stream::Names)).below(NAMES_ONE_IN) == 0;
        Self { nodes_max, lifetime_max, holds, names }
    }

    pub(super) const fn apply(&self, policy: &mut Policy) {
        policy.spend = SpendCap { nodes: self.nodes_max, micros_per_month: None };
        policy.workspace_lifetime_max = self.lifetime_max;
        policy.name_settles_within = NAMES_SETTLE_WITHIN;
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nodes) = self.nodes_max {
            write!(f, "; at most {nodes} nodes")?;
        }
        if let Some(span) = self.lifetime_max {
            write!(f, "; lives end after {} s", span.as_secs())?;
        }
        if self.holds > 0 {
            write!(f, "; deletion is held {} times", self.holds)?;
        }
        if self.names {
            f.write_str("; names are published")?;
        }
        Ok(())
    }
}

/// Returns how long some workspace has still to live, every other time.
async fn end_of_a_life(sam: &Sam, parts: &Parts, choice: &SeededEntropy) -> Option<Duration> {
    let longest = parts.policy.workspace_lifetime_max.filter(|_| choice.below(2) == 0)?;
    let page = sam.list_workspaces(None, 10).await.ok()?;
    let pick = usize::try_from(choice.below(page.items.len() as u64)).ok()?;
    let ends_at = page.items.get(pick)?.record.created_at.plus(longest);
    Some(ends_at.since(parts.clock.now()))
}

/// A person who holds automatic deletion for a while, a few times, and never gives up on an answer.
pub(super) async fn person(parts: Parts, seed: u64, holds: u64) {
    let Ok(sam) = parts.sam(Arc::clone(&parts.provider)) else { return };
    let choice = SeededEntropy::new(seed);
    let caller = Caller::named("admin");
    for _ in 0..holds {
        match end_of_a_life(&sam, &parts, &choice).await {
            // In the very moment in which somebody else decides.
            Some(left) => parts.rest(left).await,
            None => parts.pause(choice.below(240_000) >> choice.below(8)).await,
        }
        while sam.hold_automatic_deletion("looking", &caller).await.is_err() {
            parts.pause(50 + choice.below(500)).await;
        }
        parts.pause(choice.below(900_000) >> choice.below(6)).await;
        while sam.resume_automatic_deletion("looked", &caller).await.is_err() {
            parts.pause(50 + choice.below(500)).await;
        }
    }
}
