//! The verbs on workspaces.

use std::time::Duration;

use super::{CONFLICTS_MAX, Caller, Sam, too_many_conflicts};
use crate::engine::{Stamped, Stored as _, decode, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::id::WorkspaceId;
use crate::page::Page;
use crate::request::RequestRecord;
use crate::store::{CommitError, Due, Expect, ListQuery, Refusal, Write};
use crate::workspace::{
    NewWorkspace, WorkspaceName, WorkspaceRecord, WorkspaceState, WorkspaceWish,
};

/// Numbers tried behind a suggested name before giving up.
const NAMES_MAX: u32 = 100;

impl Sam {
    /// Asks for a workspace and returns it as Requested. With an idempotency key in the caller,
    /// asking again returns the workspace of the first time.
    ///
    /// # Errors
    /// `BadInput` for a provider that is not configured; `AlreadyExists` when the owner has a workspace
    /// of this name; `Conflict` when the
    /// idempotency key was used for another request; what the store answered.
    pub async fn create_workspace(
        &self,
        new: NewWorkspace,
        caller: &Caller,
    ) -> Result<Stamped<WorkspaceRecord>> {
        let now = self.0.clock.now();
        let id = WorkspaceId::new(now, &*self.0.entropy);
        let owner = caller.actor().as_str().to_owned();
        let request = match caller.idempotency_key() {
            None => None,
            Some(key) => {
                let request =
                    RequestRecord::new(caller.actor(), key, &format!("{new:?}"), id, now)?;
                if let Some(known) = self.repeated(&request).await? {
                    return Ok(known);
                }
                Some(request)
            }
        };
        let mut new = new;
        if let Some(name) = &new.provider {
            new.provider = Some(self.provider_meant(name, caller).await?);
        }
        let suggested = || WorkspaceName::suggested(new.repo.short_name());
        let (base, fixed) = match &new.name {
            Some(name) => (name.clone(), true),
            None => (suggested(), false),
        };
        for number in 1..=NAMES_MAX {
            let name = if number == 1 { base.clone() } else { base.numbered(number) };
            let record = new.clone().into_record(id, name, owner.clone(), now);
            match self.insert(&record, request.as_ref(), caller).await {
                Ok(version) => return Ok(Stamped::new(record, version)),
                Err(CommitError::Refused(Refusal::UniqueTaken { .. })) if !fixed => {}
                Err(CommitError::Refused(Refusal::UniqueTaken { holder, .. })) => {
                    return Err(name_taken(&record.name, &holder.id));
                }
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {
                    // The same request arrived twice at once, and the other was first.
                    if let Some(request) = &request
                        && let Some(known) = self.repeated(request).await?
                    {
                        return Ok(known);
                    }
                    return Err(too_many_conflicts());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(name_taken(&base, "several workspaces"))
    }

    async fn insert(
        &self,
        record: &WorkspaceRecord,
        request: Option<&RequestRecord>,
        caller: &Caller,
    ) -> Result<u64, CommitError> {
        let body = encode(record).map_err(CommitError::Failed)?;
        let key = record.key();
        let write = Write::put(key.clone(), Expect::Absent, body, "workspace_requested")
            .with_index(record.index())
            .with_due(Due::NOW);
        let mut commit =
            self.commit_for(caller).with_write(write).with_unique(record.name_claimed());
        if let Some(request) = request {
            let body = encode(request).map_err(CommitError::Failed)?;
            let write = Write::put(request.key(), Expect::Absent, body, "request_kept")
                .with_due(Due::In(RequestRecord::KEPT));
            commit = commit.with_write(write);
        }
        if let Some(name) = self.name_request(record).await.map_err(CommitError::Failed)? {
            commit = commit.with_write(name);
        }
        let committed = self.commit(commit).await?;
        Ok(committed.version_of(&key).unwrap_or(1))
    }

    /// Returns the workspace of the first request with this key.
    async fn repeated(&self, request: &RequestRecord) -> Result<Option<Stamped<WorkspaceRecord>>> {
        let Some(stored) = self.0.store.load(&request.key()).await? else { return Ok(None) };
        let known = decode::<RequestRecord>(&stored)?.record;
        if known.fingerprint != request.fingerprint {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the idempotency key was used for another request",
            )
            .with_hint("use a new key for a new request"));
        }
        self.workspace(known.workspace).await
    }

    /// Returns a workspace, or `None` when there never was one of this id.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when the record cannot be read.
    pub async fn workspace(&self, id: WorkspaceId) -> Result<Option<Stamped<WorkspaceRecord>>> {
        let stored = self.0.store.load(&WorkspaceRecord::key_of(id)).await?;
        stored.as_ref().map(decode::<WorkspaceRecord>).transpose()
    }

    /// Returns the owner's workspace of a name that is not deleted.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn workspace_named(
        &self,
        owner: &str,
        name: &WorkspaceName,
    ) -> Result<Option<Stamped<WorkspaceRecord>>> {
        let full_name = WorkspaceRecord::full_name(owner, name);
        let mut after = None;
        loop {
            let query = ListQuery::new(WorkspaceRecord::KIND)
                .with_filter(WorkspaceRecord::BY_NAME, full_name.clone())
                .with_after(after);
            let page = self.0.store.list(&query).await?;
            for stored in &page.items {
                let workspace = decode::<WorkspaceRecord>(stored)?;
                if workspace.record.state != WorkspaceState::Deleted {
                    return Ok(Some(workspace));
                }
            }
            if page.next.is_none() {
                return Ok(None);
            }
            after = page.next;
        }
    }

    /// Returns one page of workspaces, deleted ones included. A record that cannot be read is
    /// passed over and logged: it must not hide the others.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn list_workspaces(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Stamped<WorkspaceRecord>>> {
        let query = ListQuery::new(WorkspaceRecord::KIND).with_after(after).with_limit(limit);
        let page = self.0.store.list(&query).await?;
        Ok(super::nodes::readable(&page))
    }

    /// Asks for a workspace to be made usable again. Repeatable.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is deleted or has failed; what the store answered.
    pub async fn start_workspace(
        &self,
        id: WorkspaceId,
        caller: &Caller,
    ) -> Result<Stamped<WorkspaceRecord>> {
        self.change_workspace(id, caller, "start_requested", |record| {
            record.wished(WorkspaceWish::Running)
        })
        .await
    }

    /// Asks for a workspace's processes to be ended; its files are kept. Repeatable.
    ///
    /// # Errors
    /// As [`Sam::start_workspace`].
    pub async fn stop_workspace(
        &self,
        id: WorkspaceId,
        caller: &Caller,
    ) -> Result<Stamped<WorkspaceRecord>> {
        self.change_workspace(id, caller, "stop_requested", |record| {
            record.wished(WorkspaceWish::Stopped)
        })
        .await
    }

    /// Asks for everything of a workspace to be taken away. Repeatable; deleting the deleted
    /// succeeds.
    ///
    /// # Errors
    /// `NotFound` when there never was one; what the store answered.
    pub async fn delete_workspace(
        &self,
        id: WorkspaceId,
        caller: &Caller,
    ) -> Result<Stamped<WorkspaceRecord>> {
        self.change_workspace(id, caller, "deletion_requested", |record| {
            record.wished(WorkspaceWish::Deleted)
        })
        .await
    }

    /// Renews the lease on a workspace's life by `span`, cut to the bounds of
    /// [`crate::workspace::Lifetime`].
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has no lease or is being deleted; what the store answered.
    pub async fn renew_workspace(
        &self,
        id: WorkspaceId,
        span: Duration,
        caller: &Caller,
    ) -> Result<Stamped<WorkspaceRecord>> {
        let now = self.0.clock.now();
        self.change_workspace(id, caller, "lease_renewed", |record| {
            record.lease_renewed(span, now).map(Some)
        })
        .await
    }

    /// Has the engine look at a workspace at once, for example because the policy is another than
    /// when it came to rest.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn look_at_workspace(&self, id: WorkspaceId, caller: &Caller) -> Result<()> {
        let commit = self.commit_for(caller).with_wake(WorkspaceRecord::key_of(id));
        self.commit(commit).await.map(drop).map_err(Error::from)
    }

    pub(super) async fn change_workspace(
        &self,
        id: WorkspaceId,
        caller: &Caller,
        event: &'static str,
        change: impl Fn(&WorkspaceRecord) -> Result<Option<WorkspaceRecord>> + Send + Sync,
    ) -> Result<Stamped<WorkspaceRecord>> {
        for _ in 0..CONFLICTS_MAX {
            let current = self.workspace(id).await?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no workspace {id}"))
                    .with_hint("`sam ls` lists them")
            })?;
            let Some(next) = change(&current.record)? else { return Ok(current) };
            let write =
                Write::put(next.key(), Expect::Version(current.version), encode(&next)?, event)
                    .with_index(next.index())
                    .with_due(Due::NOW);
            match self.commit(self.commit_for(caller).with_write(write)).await {
                Ok(committed) => {
                    let version = committed.version_of(&next.key()).unwrap_or(current.version + 1);
                    return Ok(Stamped::new(next, version));
                }
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }
}

fn name_taken(name: &WorkspaceName, holder: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("the name {name} is taken by {holder}"))
        .with_hint("choose another with --name, or delete that workspace")
}
