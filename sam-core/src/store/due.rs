//! Due times and leases of one record: how each act changes them, decided purely, so that every
//! store decides alike.
//!
//! A row exists while its record is due or leased and no longer; fencing epochs come from one
//! counter of the whole store, so they keep rising although rows vanish (C7).

use std::time::Duration;

use super::commit::Due;
use super::lease::{Lease, WorkerId};
use crate::time::Timestamp;

/// Who sets a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetBy {
    /// The worker that holds the record's lease.
    Holder,
    /// Anybody else.
    Other,
}

/// When a record is due and who works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueRow {
    /// When it is due; the end of the lease while there is one.
    pub at: Timestamp,
    /// Set while the record was leased; in force when the lease ends.
    pub pending: Option<Timestamp>,
    /// Who holds the lease, or held it last.
    pub owner: Option<WorkerId>,
    /// The fencing epoch of that lease; zero before the first.
    pub epoch: u64,
}

impl DueRow {
    /// Puts a row together from stored parts.
    pub const fn new(
        at: Timestamp,
        pending: Option<Timestamp>,
        owner: Option<WorkerId>,
        epoch: u64,
    ) -> Self {
        Self { at, pending, owner, epoch }
    }

    /// Returns whether somebody holds the record.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.owner.is_some() && self.at > now
    }

    /// Returns whether this lease is the current one and has not ended.
    pub fn is_held_under(&self, lease: &Lease, now: Timestamp) -> bool {
        self.is_leased(now)
            && self.owner.as_ref() == Some(&lease.owner)
            && self.epoch == lease.epoch
    }

    /// Returns the row after its due time was set by a write or a wake-up.
    ///
    /// During a lease the earliest of what was set is kept for its end. A holder's "never" does not
    /// take back what others asked for (C8).
    pub fn after_set(row: Option<Self>, due: Due, by: SetBy, now: Timestamp) -> Option<Self> {
        let leased = row.as_ref().is_some_and(|row| row.is_leased(now));
        match (due, row) {
            (Due::Keep, row) => row,
            (Due::In(span), Some(mut row)) if leased => {
                let at = now.plus(span);
                row.pending = Some(row.pending.map_or(at, |old| old.min(at)));
                Some(row)
            }
            (Due::Never, Some(mut row)) if leased => {
                if by == SetBy::Other {
                    row.pending = None;
                }
                Some(row)
            }
            (Due::In(span), row) => {
                let epoch = row.map_or(0, |row| row.epoch);
                Some(Self { at: now.plus(span), pending: None, owner: None, epoch })
            }
            (Due::Never, _) => None,
        }
    }

    /// Returns the row after its lease was given back.
    pub fn after_release(self, due: Due, now: Timestamp) -> Option<Self> {
        let own = match due {
            Due::In(span) => Some(now.plus(span)),
            Due::Keep | Due::Never => None,
        };
        let at = match (own, self.pending) {
            (Some(own), Some(pending)) => own.min(pending),
            (own, pending) => own.or(pending)?,
        };
        Some(Self { at, pending: None, owner: None, epoch: self.epoch })
    }

    /// Returns the row after it was claimed under a new fencing epoch.
    ///
    /// What was set for the end of a lease that lapsed is answered by this claim when it is due by
    /// now; what is due later stays set (C8).
    #[must_use]
    pub fn after_claim(self, owner: WorkerId, epoch: u64, span: Duration, now: Timestamp) -> Self {
        let pending = self.pending.filter(|&at| at > now);
        Self { at: now.plus(span), pending, owner: Some(owner), epoch }
    }

    /// Returns the row after its lease was extended.
    #[must_use]
    pub fn after_renew(self, span: Duration, now: Timestamp) -> Self {
        Self { at: now.plus(span), ..self }
    }
}
