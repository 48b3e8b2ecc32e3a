//! Which faults happen, and how often: drawn anew for each seed, so that runs differ in kind and
//! not only in detail.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::tape::Tape;
use crate::entropy::SeededEntropy;
use crate::store::RecordKey;

/// A way in which the outside, the store or a process fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A provider call is refused; nothing happened.
    Refused,
    /// A provider call is done, and its reply lost.
    ReplyLost,
    /// A provider call is reported lost, or still under way, and takes effect later.
    Delayed,
    /// A provider call arrives twice.
    Duplicated,
    /// A call to a provider or an agent takes its time, longer than anybody waits for it.
    Slow,
    /// A provider answers from an earlier moment; the adapter notices and refuses the answer.
    Stale,
    /// A listing breaks off; the adapter notices and refuses the part.
    Partial,
    /// A machine vanishes.
    Vanished,
    /// A machine is switched off.
    PowerLost,
    /// An agent is not connected for a while.
    LinkDown,
    /// The forge does not answer the agent: a checkout stands still.
    ForgeDown,
    /// The store does not answer; nothing happened.
    StoreDown,
    /// A commit is applied, and its reply lost.
    CommitReplyLost,
    /// A commit is not applied, and nobody can tell.
    CommitLost,
    /// A commit is refused as if somebody had been quicker.
    CommitConflict,
    /// A commit arrives twice.
    CommitDuplicated,
    /// Records are claimed, and the reply lost.
    ClaimReplyLost,
    /// A lease counts as lost although it is held.
    LeaseLost,
    /// A process crashes: an engine, or a caller of the verbs.
    Crash,
    /// The wall clock jumps by up to half a minute.
    ClockJump,
}

impl Fault {
    /// Every fault, for tables and for shrinking.
    pub const ALL: [Self; 20] = [
        Self::Refused,
        Self::ReplyLost,
        Self::Delayed,
        Self::Duplicated,
        Self::Slow,
        Self::Stale,
        Self::Partial,
        Self::Vanished,
        Self::PowerLost,
        Self::LinkDown,
        Self::ForgeDown,
        Self::StoreDown,
        Self::CommitReplyLost,
        Self::CommitLost,
        Self::CommitConflict,
        Self::CommitDuplicated,
        Self::ClaimReplyLost,
        Self::LeaseLost,
        Self::Crash,
        Self::ClockJump,
    ];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ReplyLost => "reply_lost",
            Self::Delayed => "delayed",
            Self::Duplicated => "duplicated",
            Self::Slow => "slow",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Vanished => "vanished",
            Self::PowerLost => "power_lost",
            Self::LinkDown => "link_down",
            Self::ForgeDown => "forge_down",
            Self::StoreDown => "store_down",
            Self::CommitReplyLost => "commit_reply_lost",
            Self::CommitLost => "commit_lost",
            Self::CommitConflict => "commit_conflict",
            Self::CommitDuplicated => "commit_duplicated",
            Self::ClaimReplyLost => "claim_reply_lost",
            Self::LeaseLost => "lease_lost",
            Self::Crash => "crash",
            Self::ClockJump => "clock_jump",
        }
    }

    /// Returns the highest chance that is drawn for it, in a thousand: per call, or per step for
    /// what strikes the world.
    const fn chance_max(self) -> u64 {
        match self {
            Self::Refused | Self::ReplyLost => 500,
            Self::Delayed
            | Self::Duplicated
            | Self::ForgeDown
            | Self::LinkDown
            | Self::Partial
            | Self::Slow
            | Self::Stale => 400,
            Self::CommitReplyLost
            | Self::CommitLost
            | Self::CommitConflict
            | Self::CommitDuplicated
            | Self::ClaimReplyLost => 160,
            Self::StoreDown => 80,
            Self::Crash | Self::LeaseLost => 60,
            Self::ClockJump | Self::PowerLost | Self::Vanished => 20,
        }
    }
}

/// Chances in a thousand, by fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults([u64; Fault::ALL.len()]);

impl Faults {
    /// No faults.
    pub const NONE: Self = Self([0; Fault::ALL.len()]);

    /// Draws a plan: each fault is off in about half of all seeds, and where it is on its chance
    /// is drawn over more than one order of magnitude.
    pub fn drawn(seed: &SeededEntropy) -> Self {
        let mut drawn = Self::NONE;
        for fault in Fault::ALL {
            let on = seed.below(2) == 1;
            let chance = (seed.below(fault.chance_max()) + 1) >> seed.below(5);
            if on {
                drawn.0[fault as usize] = chance.max(1);
            }
        }
        drawn
    }

    /// Sets a fault's chance in a thousand.
    #[must_use]
    pub const fn with(mut self, fault: Fault, chance: u64) -> Self {
        self.0[fault as usize] = chance;
        self
    }

    /// Returns a fault's chance in a thousand.
    pub const fn chance(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Returns the faults that are on.
    pub fn active(&self) -> impl Iterator<Item = Fault> + '_ {
        Fault::ALL.into_iter().filter(|&fault| self.chance(fault) > 0)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parted = "";
        for fault in self.active() {
            write!(f, "{parted}{} {}/1000", fault.code(), self.chance(fault))?;
            parted = ", ";
        }
        if parted.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// What a fault that struck was about.
#[derive(Debug)]
pub(super) enum About {
    /// Everything there was.
    All,
    /// One record.
    Record(RecordKey),
}

/// Draws faults while they are switched on and the budget lasts.
#[derive(Debug, Clone)]
pub(super) struct Dice(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    faults: Faults,
    /// One stream for each fault, and one for everything else that is drawn.
    streams: [SeededEntropy; Fault::ALL.len()],
    seed: SeededEntropy,
    on: AtomicBool,
    budget: AtomicU64,
    struck: Mutex<Vec<(Fault, About)>>,
    tape: Tape,
}

impl Dice {
    pub(super) fn new(faults: Faults, budget: u64, seed: u64, tape: Tape) -> Self {
        let seed = SeededEntropy::new(seed);
        Self(Arc::new(Shared {
            faults,
            streams: std::array::from_fn(|_| SeededEntropy::new(seed.next_u64())),
            seed,
            on: AtomicBool::new(false),
            budget: AtomicU64::new(budget),
            struck: Mutex::default(),
            tape,
        }))
    }

    /// Returns whether a fault strikes now.
    ///
    /// Each fault has a stream of its own: a run with fewer faults is the same run up to the first
    /// one that it leaves out, which is what makes shrinking work.
    pub(super) fn strikes(&self, fault: Fault, about: impl FnOnce() -> About) -> bool {
        let Shared { faults, streams, on, budget, struck, tape, .. } = &*self.0;
        let chance = faults.chance(fault);
        if chance == 0
            || !on.load(Ordering::Relaxed)
            || streams[fault as usize].below(1_000) >= chance
        {
            return false;
        }
        let left = budget.load(Ordering::Relaxed);
        if left == 0 {
            return false;
        }
        budget.store(left - 1, Ordering::Relaxed);
        let about = about();
        tape.note(|| match &about {
            About::All => format!("fault      {}", fault.code()),
            About::Record(key) => format!("fault      {} ({key})", fault.code()),
        });
        struck.lock().unwrap_or_else(PoisonError::into_inner).push((fault, about));
        true
    }

    /// Takes what struck since it was last asked.
    pub(super) fn take_struck(&self) -> Vec<(Fault, About)> {
        std::mem::take(&mut *self.0.struck.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.0.seed.below(bound)
    }

    /// Draws a span up to `most`, in milliseconds.
    pub(super) fn span(&self, most: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
    }

    pub(super) fn switch_on(&self) {
        self.0.on.store(true, Ordering::Relaxed);
    }

    pub(super) fn switch_off(&self) {
        self.0.on.store(false, Ordering::Relaxed);
    }
}
