//! Which faults happen, and how often: drawn anew for each seed, so that runs differ in kind and
//! not only in detail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::entropy::SeededEntropy;

/// Chances in a thousand, per call or per step. Each is zero in about half of all seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// A provider call is refused; nothing happened.
    pub refused: u64,
    /// A provider call is done, and its reply lost.
    pub reply_lost: u64,
    /// A provider call is reported lost and takes effect later.
    pub delayed: u64,
    /// A provider answers from an earlier moment.
    pub stale: u64,
    /// A machine vanishes.
    pub vanished: u64,
    /// A machine is switched off.
    pub power_lost: u64,
    /// An agent is not connected for a while.
    pub link_down: u64,
    /// The store does not answer; nothing happened.
    pub store_down: u64,
    /// A commit is applied, and its reply lost.
    pub commit_reply_lost: u64,
    /// A commit is not applied, and nobody can tell.
    pub commit_lost: u64,
    /// A commit is refused as if somebody had been quicker.
    pub commit_conflict: u64,
    /// A lease is given to nobody: it counts as lost.
    pub lease_lost: u64,
    /// An engine crashes at this step.
    pub crash: u64,
    /// The wall clock jumps.
    pub clock_jump: u64,
}

impl Faults {
    /// No faults.
    pub const NONE: Self = Self {
        refused: 0,
        reply_lost: 0,
        delayed: 0,
        stale: 0,
        vanished: 0,
        power_lost: 0,
        link_down: 0,
        store_down: 0,
        commit_reply_lost: 0,
        commit_lost: 0,
        commit_conflict: 0,
        lease_lost: 0,
        crash: 0,
        clock_jump: 0,
    };

    /// Draws a plan.
    pub fn drawn(seed: &SeededEntropy) -> Self {
        let draw = |most: u64| {
            let on = seed.below(2) == 1;
            let chance = seed.below(most) + 1;
            if on { chance } else { 0 }
        };
        Self {
            refused: draw(300),
            reply_lost: draw(300),
            delayed: draw(200),
            stale: draw(200),
            vanished: draw(10),
            power_lost: draw(10),
            link_down: draw(150),
            store_down: draw(50),
            commit_reply_lost: draw(80),
            commit_lost: draw(80),
            commit_conflict: draw(80),
            lease_lost: draw(30),
            crash: draw(40),
            clock_jump: draw(5),
        }
    }
}

/// Draws faults while they are switched on.
#[derive(Debug, Clone)]
pub(super) struct Dice {
    pub(super) faults: Faults,
    seed: Arc<SeededEntropy>,
    on: Arc<AtomicBool>,
}

impl Dice {
    pub(super) fn new(faults: Faults, seed: u64) -> Self {
        let seed = Arc::new(SeededEntropy::new(seed));
        Self { faults, seed, on: Arc::new(AtomicBool::new(true)) }
    }

    /// Returns whether a fault of this chance strikes now.
    pub(super) fn strikes(&self, chance: u64) -> bool {
        self.on.load(Ordering::Relaxed) && self.seed.below(1_000) < chance
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.seed.below(bound)
    }

    pub(super) fn switch_off(&self) {
        self.on.store(false, Ordering::Relaxed);
    }
}
