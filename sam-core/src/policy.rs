//! The spans and bounds that decisions follow. All have a default; a host may change each.

use std::time::Duration;

use crate::error::{Error, Retry};
use crate::spend::SpendCap;
use crate::time::Timestamp;

/// What decisions follow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// From a node's creation until its agent must have called; then the node is Failed.
    pub provision_deadline: Duration,
    /// From the first attempt until a workspace must be prepared; then it is Failed.
    pub prepare_deadline: Duration,
    /// Between two looks at a booting node that nobody announced.
    pub boot_poll: Duration,
    /// Between two looks at a ready node that nobody announced.
    pub ready_poll: Duration,
    /// First pause after a failure; it doubles up to `backoff_max`.
    pub backoff_first: Duration,
    /// Longest pause after failures.
    pub backoff_max: Duration,
    /// How long, at least, a create whose reply was lost may still take effect; a deletion looks
    /// again after it before it calls the machine gone. What the provider claims counts when it is
    /// longer.
    pub create_settles_within: Duration,
    /// Without activity for this long a workspace is warned and then stopped, unless it says
    /// otherwise; never when absent.
    pub idle_stop_after: Option<Duration>,
    /// From that warning to the stop.
    pub idle_warning: Duration,
    /// From losing a node's agent until its workspaces count as interrupted.
    pub unreachable_patience: Duration,
    /// Longest life of a workspace, whoever uses it; no limit when absent.
    pub workspace_lifetime_max: Option<Duration>,
    /// How long a node without workspaces is kept for its owner's next one; zero deletes it with its
    /// workspace. A kept node costs what a used one does.
    pub keep_warm: Duration,
    /// What an owner may spend.
    pub spend: SpendCap,
    /// Between two looks at the hold on automatic deletion by something that waits for its end.
    pub hold_poll: Duration,
    /// How long, at least, a name's put whose reply was lost may still take effect; it is deleted only
    /// after that. What the DNS provider claims counts when it is longer.
    pub name_settles_within: Duration,
    /// Between two looks at a published name that nobody announced.
    pub name_check_every: Duration,
    /// Between two sweeps of what a credential owns.
    pub sweep_every: Duration,
    /// From first seeing something that no record answers for until it is deleted. Longer than a
    /// provider's listing may be behind.
    pub orphan_grace: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            provision_deadline: Duration::from_mins(30),
            prepare_deadline: Duration::from_mins(30),
            boot_poll: Duration::from_secs(5),
            ready_poll: Duration::from_mins(1),
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_mins(5),
            // On one's own computer nothing is paid for by the hour.
            idle_stop_after: None,
            idle_warning: Duration::from_mins(5),
            create_settles_within: Duration::ZERO,
            unreachable_patience: Duration::from_mins(10),
            workspace_lifetime_max: None,
            keep_warm: Duration::ZERO,
            spend: SpendCap::default(),
            hold_poll: Duration::from_mins(1),
            // An effect may take two minutes, and its last call another one.
            name_settles_within: Duration::from_mins(3),
            // What changes for it is announced, but for another target in another process.
            name_check_every: Duration::from_hours(1),
            sweep_every: Duration::from_mins(10),
            orphan_grace: Duration::from_mins(10),
        }
    }
}

impl Policy {
    /// Shortest warning before an idle stop: good for trying it out.
    pub const IDLE_WARNING_MIN: Duration = Duration::from_secs(1);
    /// Longest warning before an idle stop.
    pub const IDLE_WARNING_MAX: Duration = Duration::from_hours(24);

    /// Returns the pause after the `attempts`-th failure in a row.
    pub fn backoff(&self, attempts: u32) -> Duration {
        let doubled = self.backoff_first.saturating_mul(1_u32 << attempts.min(16));
        doubled.min(self.backoff_max)
    }

    /// Returns the pause after a failure: what the error asks for, at most `backoff_max`, or that of the
    /// `attempts`-th failure in a row.
    pub fn pause_after(&self, error: &Error, attempts: u32) -> Duration {
        match error.retry() {
            Retry::After(pause) => pause.min(self.backoff_max),
            Retry::Backoff | Retry::Never => self.backoff(attempts),
        }
    }

    /// Returns the pause before looking again at something that has been so since `since`: a
    /// quarter of that age, at least a second, at most a minute.
    pub fn patience(&self, since: Timestamp, now: Timestamp) -> Duration {
        (now.since(since) / 4).clamp(Duration::from_secs(1), Duration::from_mins(1))
    }
}
