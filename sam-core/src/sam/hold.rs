//! The hold on automatic deletion: a switch for people.

use super::{CONFLICTS_MAX, Caller, Sam, too_many_conflicts};
use crate::engine::{Stamped, Stored as _, decode, encode};
use crate::error::Result;
use crate::hold::HoldRecord;
use crate::store::{CommitError, Expect, Refusal, Write};

impl Sam {
    /// Stops everything, on every replica, from being deleted that no person asked to delete: lapsed
    /// leases, lives that are over, unused nodes, machines that no record knows. Repeatable. What a
    /// provider was already told to delete is not stopped.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn hold_automatic_deletion(
        &self,
        reason: &str,
        caller: &Caller,
    ) -> Result<Stamped<HoldRecord>> {
        self.put_hold(true, reason, caller).await
    }

    /// Lifts the hold. What waits for it goes on within [`Policy::hold_poll`](crate::Policy). Repeatable.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn resume_automatic_deletion(
        &self,
        reason: &str,
        caller: &Caller,
    ) -> Result<Stamped<HoldRecord>> {
        self.put_hold(false, reason, caller).await
    }

    /// Returns the hold as it was last set or lifted, or `None` when it never was.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when the record cannot be read.
    pub async fn automatic_deletion_hold(&self) -> Result<Option<Stamped<HoldRecord>>> {
        let stored = self.0.store.load(&HoldRecord::the_key()).await?;
        stored.as_ref().map(decode::<HoldRecord>).transpose()
    }

    async fn put_hold(
        &self,
        held: bool,
        reason: &str,
        caller: &Caller,
    ) -> Result<Stamped<HoldRecord>> {
        let event = if held { "deletion_held" } else { "deletion_resumed" };
        for _ in 0..CONFLICTS_MAX {
            let current = self.automatic_deletion_hold().await?;
            if let Some(current) = current.as_ref().filter(|current| current.record.held == held) {
                return Ok(current.clone());
            }
            let by = caller.actor().as_str().to_owned();
            let next = HoldRecord::new(held, reason, by, self.0.clock.now());
            let expect =
                current.as_ref().map_or(Expect::Absent, |current| Expect::Version(current.version));
            let write = Write::put(next.key(), expect, encode(&next)?, event);
            match self.commit(self.commit_for(caller).with_write(write)).await {
                Ok(committed) => {
                    let version = committed.version_of(&next.key()).unwrap_or(1);
                    return Ok(Stamped::new(next, version));
                }
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }
}
