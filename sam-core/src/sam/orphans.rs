//! Sweeps and orphans: what people see of them and decide.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::nodes::readable;
use super::{CONFLICTS_MAX, Caller, Sam, too_many_conflicts};
use crate::engine::{Stamped, Stored, decode, encode};
use crate::error::{Error, ErrorKind, Report, Result};
use crate::orphan::OrphanRecord;
use crate::page::Page;
use crate::store::{CommitError, Due, Expect, ListQuery, RecordKey, Refusal, Write};
use crate::sweep::SweepRecord;

/// Between two attempts to write the records of the sweeps.
const RETRY: Duration = Duration::from_secs(5);

impl Sam {
    /// Returns one page of the sweeps, ordered by scope. Those of this process are among them, made or
    /// not yet.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn list_sweeps(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Stamped<SweepRecord>>> {
        self.know_sweeps().await?;
        let query = ListQuery::new(SweepRecord::KIND).with_after(after).with_limit(limit);
        Ok(readable(&self.0.store.list(&query).await?))
    }

    /// Asks for every sweep of this process to be made at once. Repeatable.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn sweep_now(&self, caller: &Caller) -> Result<()> {
        self.know_sweeps().await?;
        for scope in self.0.reach.scopes.keys() {
            self.ask_for_sweep(scope, caller).await?;
        }
        Ok(())
    }

    /// Asks for one sweep to be made at once. Repeatable.
    ///
    /// # Errors
    /// `NotFound` when this process sweeps nothing of that name; what the store answered.
    pub async fn sweep_scope_now(
        &self,
        scope: &str,
        caller: &Caller,
    ) -> Result<Stamped<SweepRecord>> {
        let is_known = self.0.reach.scopes.contains_key(scope)
            || self.0.store.load(&SweepRecord::key_of(scope)).await?.is_some();
        if !is_known {
            let shown: String = scope.chars().take(64).collect();
            return Err(Error::new(ErrorKind::NotFound, format!("there is no sweep {shown:?}")));
        }
        self.know_sweeps().await?;
        self.ask_for_sweep(scope, caller).await
    }

    async fn ask_for_sweep(&self, scope: &str, caller: &Caller) -> Result<Stamped<SweepRecord>> {
        // One that fails waits for longer each time; a person's word makes it due at once.
        let asked = |sweep: &SweepRecord| {
            let next = SweepRecord { swept_at: None, attempts: 0, ..sweep.clone() };
            (next != *sweep).then_some(next)
        };
        self.update(SweepRecord::key_of(scope), "sweep_requested", caller, asked).await
    }

    /// Has the engine look at every sweep of this process, for example because the policy is another
    /// than when they came to rest. One that is not due is not made.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn look_at_sweeps(&self, caller: &Caller) -> Result<()> {
        self.know_sweeps().await?;
        for scope in self.0.reach.scopes.keys() {
            let commit = self.commit_for(caller).with_wake(SweepRecord::key_of(scope));
            self.commit(commit).await.map_err(Error::from)?;
        }
        Ok(())
    }

    /// Returns an orphan, or `None` when there is none of this id.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when the record cannot be read.
    pub async fn orphan(&self, id: &str) -> Result<Option<Stamped<OrphanRecord>>> {
        let stored = self.0.store.load(&OrphanRecord::key_of(id)).await?;
        stored.as_ref().map(decode::<OrphanRecord>).transpose()
    }

    /// Returns one page of the orphans: things a provider lists as ours that no record answers for.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn list_orphans(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Stamped<OrphanRecord>>> {
        let query = ListQuery::new(OrphanRecord::KIND).with_after(after).with_limit(limit);
        Ok(readable(&self.0.store.list(&query).await?))
    }

    /// Asks for an orphan to be deleted, whatever is known of it and whether or not automatic
    /// deletion is held. Repeatable. It is looked at once more before: what a record answers for by
    /// then is kept.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id, or it is gone already; what the store answered.
    pub async fn delete_orphan(&self, id: &str, caller: &Caller) -> Result<Stamped<OrphanRecord>> {
        let wished = |orphan: &OrphanRecord| {
            let wished = OrphanRecord { delete_wished: true, ..orphan.clone() };
            (!orphan.delete_wished).then_some(wished)
        };
        let key = OrphanRecord::key_of(id);
        self.update(key, "orphan_deletion_requested", caller, wished).await
    }

    /// Changes a record and makes it due; `next` returns `None` when it is as wanted already.
    pub(super) async fn update<R: Stored>(
        &self,
        key: RecordKey,
        event: &'static str,
        caller: &Caller,
        next: impl Fn(&R) -> Option<R> + Send,
    ) -> Result<Stamped<R>> {
        for _ in 0..CONFLICTS_MAX {
            let stored = self.0.store.load(&key).await?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no {} {}", key.kind, key.id))
            })?;
            let current = decode::<R>(&stored)?;
            let Some(next) = next(&current.record) else { return Ok(current) };
            let expect = Expect::Version(current.version);
            let write = Write::put(key.clone(), expect, encode(&next)?, event)
                .with_index(next.index())
                .with_due(Due::NOW);
            match self.commit(self.commit_for(caller).with_write(write)).await {
                Ok(committed) => {
                    let version = committed.version_of(&key).unwrap_or(current.version + 1);
                    return Ok(Stamped::new(next, version));
                }
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }

    /// Writes the record of each sweep that has none yet.
    pub(super) async fn know_sweeps(&self) -> Result<()> {
        if self.0.sweeps_known.load(Ordering::Relaxed) {
            return Ok(());
        }
        for scope in self.0.reach.scopes.keys() {
            let sweep = SweepRecord::new(scope.clone());
            if self.0.store.load(&sweep.key()).await?.is_some() {
                continue;
            }
            let write = Write::put(sweep.key(), Expect::Absent, encode(&sweep)?, "sweep_began")
                .with_due(Due::NOW);
            match self.commit(self.commit_for(&Caller::system()).with_write(write)).await {
                // Another process was first.
                Ok(_) | Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.0.sweeps_known.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn keep_trying_to_know_sweeps(&self) {
        while let Err(error) = self.know_sweeps().await {
            tracing::warn!(error = %Report::new(&error), "the sweeps are not known yet");
            let clock = &self.0.clock;
            clock.sleep_until(clock.monotonic() + RETRY).await;
        }
    }
}
