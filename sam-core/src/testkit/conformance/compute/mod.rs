//! The suite for [`ComputeProvider`], [`PowerControl`](crate::compute::PowerControl) and
//! [`OwnedResources`].
//!
//! An author implements [`ComputeHarness`] over an empty scope of the provider and runs every case
//! of [`CASES`]. What a case made is deleted when it ends, whether it passed or not, and a case
//! that leaves something behind fails. A case that needs a capability the provider does not claim
//! is *not applicable*, never passed; a capability that is not claimed and works all the same
//! fails.

mod cases;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

pub use self::cases::CASES;
use crate::compute::{
    ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, Labels, ListMachines, ListOwned,
    Machine, MachineKey, OwnedResource, OwnedResources,
};

/// Which rules the cases check; raised when one is added or becomes stricter.
pub const VERSION: u32 = 1;

/// Most times a deletion is asked again before it counts as stuck.
const DELETE_ASKS_MAX: usize = 600;

/// Most pages a listing may have.
const PAGES_MAX: usize = 1_000;

/// A provider under test.
#[async_trait]
pub trait ComputeHarness: fmt::Debug + Send + Sync {
    /// Returns the provider.
    fn compute(&self) -> &dyn ComputeProvider;

    /// Returns a request whose key was never used, with boot data that fits and labels that no
    /// other harness uses (at least one, at most eight, the same each time).
    fn request(&self) -> CreateMachine;

    /// Waits a little before something is asked again; a fake needs no wait.
    async fn pause(&self);
}

/// What a case needs before it says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// Nothing.
    Always,
    /// A list of everything it made is claimed.
    Owned,
    /// Power control is claimed.
    Power,
    /// Regions are claimed.
    Regions,
    /// A list of everything it made is not claimed, so there must be none.
    WithoutOwned,
    /// Power control is not claimed, so there must be none.
    WithoutPower,
    /// Regions are not claimed, so naming one must be refused.
    WithoutRegions,
    /// Volumes are not claimed, so there must be none.
    WithoutVolumes,
}

impl Requirement {
    /// Returns whether a provider with these capabilities is bound by the case.
    pub const fn applies_to(self, capabilities: &ComputeCapabilities) -> bool {
        match self {
            Self::Always => true,
            Self::Owned => capabilities.owned,
            Self::Power => capabilities.power,
            Self::Regions => capabilities.regions,
            Self::WithoutOwned => !capabilities.owned,
            Self::WithoutPower => !capabilities.power,
            Self::WithoutRegions => !capabilities.regions,
            Self::WithoutVolumes => !capabilities.volumes,
        }
    }
}

/// Why a case failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Makes a failure.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self(format!("unexpected error: {error:?}"))
    }
}

/// One rule, tried.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Case {
    /// What must hold, as a sentence.
    pub name: &'static str,
    /// The clause of the trait's contract, such as `ComputeProvider C1`.
    pub clause: &'static str,
    /// What it needs.
    pub requires: Requirement,
    body: for<'a> fn(&'a Scope<'a>) -> BoxFuture<'a, Result<(), Failure>>,
}

impl Case {
    /// Tries the case and deletes everything it made.
    ///
    /// # Errors
    /// What did not hold, or what was left behind.
    pub async fn run(&self, harness: &dyn ComputeHarness) -> Result<(), Failure> {
        let scope = Scope { harness, made: Mutex::default() };
        let outcome = (self.body)(&scope).await;
        let scrubbed = scope.scrub().await;
        outcome.and(scrubbed).map_err(|failure| Failure(format!("{}: {failure}", self.clause)))
    }
}

/// The provider, and what the running case made with it.
#[derive(Debug)]
struct Scope<'a> {
    harness: &'a dyn ComputeHarness,
    made: Mutex<Vec<CreateMachine>>,
}

impl Scope<'_> {
    fn compute(&self) -> &dyn ComputeProvider {
        self.harness.compute()
    }

    /// Returns a fresh request and remembers to delete what comes of it.
    fn request(&self) -> CreateMachine {
        let request = self.harness.request();
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        request
    }

    async fn create(&self) -> Result<(CreateMachine, Machine), Failure> {
        let request = self.request();
        let machine = self.compute().create_machine(&request).await?;
        Ok((request, machine))
    }

    /// Deletes until the provider is sure.
    async fn delete(&self, key: &MachineKey) -> Result<(), Failure> {
        for _ in 0..DELETE_ASKS_MAX {
            match self.compute().delete_machine(key).await? {
                Deletion::Gone => return Ok(()),
                Deletion::InProgress => self.harness.pause().await,
            }
        }
        Err(Failure(format!("{key} is not gone after {DELETE_ASKS_MAX} deletions")))
    }

    async fn listed(&self, labels: &Labels) -> Result<Vec<Machine>, Failure> {
        let mut machines = Vec::new();
        let mut query = ListMachines::new(labels.clone());
        for _ in 0..PAGES_MAX {
            let page = self.compute().list_machines(&query).await?;
            machines.extend(page.items);
            match page.next {
                None => return Ok(machines),
                next => query.after = next,
            }
        }
        Err(Failure(format!("the listing has more than {PAGES_MAX} pages")))
    }

    fn owner(&self) -> Result<&dyn OwnedResources, Failure> {
        let missing = || Failure::new("a list of what it made is claimed, but there is none");
        self.compute().owned().ok_or_else(missing)
    }

    /// Returns everything it made, or nothing where no such list is claimed.
    async fn owned(&self, labels: &Labels) -> Result<Vec<OwnedResource>, Failure> {
        if !self.compute().capabilities().owned {
            return Ok(Vec::new());
        }
        let mut resources = Vec::new();
        let mut query = ListOwned::new(labels.clone());
        for _ in 0..PAGES_MAX {
            let page = self.owner()?.list_owned(&query).await?;
            resources.extend(page.items);
            match page.next {
                None => return Ok(resources),
                next => query.after = next,
            }
        }
        Err(Failure(format!("the listing has more than {PAGES_MAX} pages")))
    }

    async fn scrub(&self) -> Result<(), Failure> {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for request in &made {
            self.delete(&request.key).await?;
        }
        for request in &made {
            let left = self.listed(&request.labels).await?;
            ensure(left.is_empty(), || format!("left behind: {left:?}"))?;
            let left = self.owned(&request.labels).await?;
            ensure(left.is_empty(), || format!("left behind: {left:?}"))?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure(otherwise())) }
}
