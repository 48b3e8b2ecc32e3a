//! What people ask of a workspace.

use std::time::Duration;

use super::idle::IdleStop;
use super::name::WorkspaceName;
use super::record::{Lifetime, Verb, WorkspaceRecord, WorkspaceState, WorkspaceWish};
use super::repo::{Checkout, ForgeRepository, RepoRef};
use crate::compute::{ProviderName, Size};
use crate::engine::Stored as _;
use crate::error::{Error, ErrorKind, Result};
use crate::id::WorkspaceId;
use crate::time::Timestamp;

/// Asks for a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewWorkspace {
    /// Its repository.
    pub repo: RepoRef,
    /// What to check out.
    pub checkout: Checkout,
    /// Which repository of its forge that is, where the host made sure of it.
    pub forge: Option<ForgeRepository>,
    /// Its name; made from the repository's when absent.
    pub name: Option<WorkspaceName>,
    /// How large its node shall be.
    pub size: Size,
    /// Where its node is bought; where the installation usually does when absent.
    pub provider: Option<ProviderName>,
    /// A lease on its life, renewed by its client; kept when absent.
    pub lease: Option<Duration>,
    /// Whether it is stopped when nobody uses it.
    pub idle_stop: IdleStop,
}

impl NewWorkspace {
    /// Asks for a repository's default branch on a medium node.
    pub const fn new(repo: RepoRef) -> Self {
        Self {
            repo,
            checkout: Checkout::Default,
            forge: None,
            name: None,
            size: Size::Medium,
            provider: None,
            lease: None,
            idle_stop: IdleStop::Default,
        }
    }

    /// Sets what to check out.
    #[must_use]
    pub fn with_checkout(mut self, checkout: Checkout) -> Self {
        self.checkout = checkout;
        self
    }

    /// Sets which repository of its forge it is. It never becomes another one.
    #[must_use]
    pub fn with_forge(mut self, forge: Option<ForgeRepository>) -> Self {
        self.forge = forge;
        self
    }

    /// Sets its name.
    #[must_use]
    pub fn with_name(mut self, name: Option<WorkspaceName>) -> Self {
        self.name = name;
        self
    }

    /// Sets how large its node shall be.
    #[must_use]
    pub fn with_size(mut self, size: Size) -> Self {
        self.size = size;
        self
    }

    /// Sets where its node is bought.
    #[must_use]
    pub fn with_provider(mut self, provider: Option<ProviderName>) -> Self {
        self.provider = provider;
        self
    }

    /// Lets it live only while somebody renews its lease.
    #[must_use]
    pub fn with_lease(mut self, lease: Option<Duration>) -> Self {
        self.lease = lease;
        self
    }

    /// Sets whether it is stopped when nobody uses it.
    #[must_use]
    pub fn with_idle_stop(mut self, idle_stop: IdleStop) -> Self {
        self.idle_stop = idle_stop;
        self
    }

    pub(crate) fn into_record(
        self,
        id: WorkspaceId,
        name: WorkspaceName,
        owner: String,
        now: Timestamp,
    ) -> WorkspaceRecord {
        WorkspaceRecord {
            format: WorkspaceRecord::FORMAT,
            id,
            name,
            owner,
            state: WorkspaceState::Requested,
            wish: WorkspaceWish::Running,
            repo: self.repo,
            checkout: self.checkout,
            forge: self.forge,
            size: self.size,
            provider: self.provider,
            lifetime: self.lease.map_or(Lifetime::Kept, |span| leased(span, now)),
            node: None,
            instance: None,
            commit: None,
            branch: None,
            verb: Verb::Create,
            steps: Vec::new(),
            error: None,
            created_at: now,
            state_at: now,
            idle_stop: self.idle_stop,
            idle_warned_at: None,
            stopped_by: None,
        }
    }
}

fn leased(span: Duration, now: Timestamp) -> Lifetime {
    Lifetime::Leased { until: now.plus(span.clamp(Lifetime::LEASE_MIN, Lifetime::LEASE_MAX)) }
}

impl WorkspaceRecord {
    /// Returns it with another wish; `None` when it is wished so already.
    ///
    /// # Errors
    /// `Conflict` when its state or an earlier wish forbids it. Deleting is never forbidden.
    pub fn wished(&self, wish: WorkspaceWish) -> Result<Option<Self>> {
        // What nobody but the idle rule wished becomes the owner's own wish.
        if self.wish == wish && self.stopped_by.is_none() {
            return Ok(None);
        }
        let forbidden = |why: &str| {
            Err(Error::new(ErrorKind::Conflict, format!("workspace {} {why}", self.name)))
        };
        match (wish, self.state) {
            (WorkspaceWish::Deleted, WorkspaceState::Deleted) => return Ok(None),
            (WorkspaceWish::Deleted, _) => {}
            (_, WorkspaceState::Deleting | WorkspaceState::Deleted) => {
                return forbidden("is deleted")
                    .map_err(|error| error.with_hint("create it again with `sam up`"));
            }
            _ if self.wish == WorkspaceWish::Deleted => return forbidden("is being deleted"),
            (_, WorkspaceState::Failed) => {
                return forbidden("has failed").map_err(|error| {
                    error.with_hint("see why with `sam show`, delete it, and create it again")
                });
            }
            _ => {}
        }
        Ok(Some(Self { wish, stopped_by: None, ..self.clone() }))
    }

    /// Returns it with its lease renewed by `span`, cut to the bounds of [`Lifetime`].
    ///
    /// # Errors
    /// `Conflict` when it has no lease or is being deleted.
    pub fn lease_renewed(&self, span: Duration, now: Timestamp) -> Result<Self> {
        let conflict = |message| Err(Error::new(ErrorKind::Conflict, message));
        match self.lifetime {
            Lifetime::Kept => conflict("the workspace has no lease on its life"),
            Lifetime::Leased { .. } if self.wish == WorkspaceWish::Deleted => {
                conflict("the workspace is being deleted")
            }
            Lifetime::Leased { .. } => Ok(Self { lifetime: leased(span, now), ..self.clone() }),
        }
    }
}
