//! The facade: the verbs people use, over a store, a provider and a link.

mod accounts;
mod builder;
mod caller;
mod credentials;
mod deliveries;
mod feed;
mod git;
mod hold;
mod names;
mod nodes;
mod orphans;
mod replicas;
mod workspaces;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::{Either, select};

pub use self::builder::SamBuilder;
pub use self::caller::Caller;
pub use self::feed::FeedItem;
pub(crate) use self::nodes::BOOT_GENERATION;
use crate::auth::BootKey;
use crate::compute::{ComputeProvider, Providers};
use crate::engine::{Engine, Stepped};
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind, Result};
use crate::id::CommitId;
use crate::published_name::Publishing;
use crate::secrets::Secrets;
use crate::store::{Commit, CommitError, Committed, Store};
use crate::sweep::Reach;
use crate::time::Clock;

/// The life of workspaces, as a library.
///
/// Cheap to clone. Verbs write what is wanted and return at once; [`Sam::run`] or [`Sam::step`]
/// carries it out, here or in any other process on the same store.
///
/// ```
/// use std::sync::Arc;
/// use sam_core::{Sam, Caller};
/// use sam_core::compute::MemoryCompute;
/// use sam_core::engine::Stepped;
/// use sam_core::store::MemoryStore;
/// use sam_core::time::{ManualClock, Timestamp};
/// use sam_core::workspace::{NewWorkspace, WorkspaceState};
///
/// # futures_util::future::FutureExt::now_or_never(async {
/// let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
/// let store = Arc::new(MemoryStore::new(clock.clone()));
/// let sam = Sam::builder(store, Arc::new(MemoryCompute::new())).clock(clock).build()?;
/// let caller = Caller::named("ann");
/// let made = sam.create_workspace(NewWorkspace::new("octo/hello".parse()?), &caller).await?;
/// while sam.step().await? == Stepped::Worked {}
/// let workspace = sam.workspace(made.record.id).await?.expect("it was created");
/// assert_eq!(workspace.record.state, WorkspaceState::Running);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Sam(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Arc<dyn Store>,
    providers: Arc<Providers>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    boot_key: BootKey,
    engine: Engine,
    reach: Arc<Reach>,
    /// Whether the records of the sweeps are known to exist.
    sweeps_known: AtomicBool,
    /// Whether somebody handles deliveries.
    handles_deliveries: bool,
    secrets: Option<Secrets>,
    /// How names are published, where they are.
    publishing: Option<Publishing>,
}

/// Attempts of a command against concurrent changes of the same record.
const CONFLICTS_MAX: usize = 16;

impl Sam {
    /// Starts with the two choices nobody can make for you: where state lives, and where machines
    /// come from.
    pub fn builder(store: Arc<dyn Store>, compute: Arc<dyn ComputeProvider>) -> SamBuilder {
        SamBuilder::new(store, compute)
    }

    /// Carries one due record as far as it can go without waiting.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn step(&self) -> Result<Stepped> {
        self.know_sweeps().await?;
        self.0.engine.step().await
    }

    /// Carries due records forward until `shutdown` completes.
    ///
    /// # Errors
    /// When the store cannot be read at the start.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
        let sweeps = std::pin::pin!(self.keep_trying_to_know_sweeps());
        let engine = std::pin::pin!(self.0.engine.run(shutdown));
        match select(engine, sweeps).await {
            Either::Left((ended, _)) => ended,
            Either::Right(((), engine)) => engine.await,
        }
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Returns the source of random bytes.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.0.entropy
    }

    /// Returns where secrets are kept, or `None` when the builder was given no such place.
    pub fn secrets(&self) -> Option<&Secrets> {
        self.0.secrets.as_ref()
    }

    /// Returns the providers that nodes are bought from.
    pub fn providers(&self) -> &Providers {
        &self.0.providers
    }

    fn commit_for(&self, caller: &Caller) -> Commit {
        let id = CommitId::new(self.0.clock.now(), &*self.0.entropy);
        Commit::new(id, caller.actor().clone()).with_request_id(caller.request_id().cloned())
    }

    /// Commits, and asks for the outcome once when it is unknown.
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let id = commit.id;
        match self.0.store.commit(commit).await {
            Err(error) if error.may_have_happened() => match self.0.store.outcome(id).await {
                Ok(Some(committed)) => Ok(committed),
                Ok(None) | Err(_) => Err(error),
            },
            result => result,
        }
    }
}

fn too_many_conflicts() -> Error {
    Error::new(ErrorKind::Conflict, "the record kept changing while it was to be changed")
        .with_hint("try again")
}
