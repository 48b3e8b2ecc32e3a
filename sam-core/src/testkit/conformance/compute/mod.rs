//! What every [`ComputeProvider`] must do, and the harness that its parts share: the suites of
//! [`power`](super::power), [`owned`](super::owned) and [`volume`](super::volume).

mod cases;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

pub use self::cases::{CASES, Case, notices, trials};
use super::{Failure, Outcome, ensure};
use crate::compute::{
    ComputeProvider, CreateMachine, Deletion, Labels, ListMachines, ListOwned, Machine, MachineKey,
    OwnedResource, OwnedResources, Power, PowerControl,
};

/// Which rules the cases check; raised when one is added or becomes stricter.
pub const VERSION: u32 = 2;

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

    /// Returns how many machines stand on one page of a listing, where making one more than that is
    /// cheap enough to try.
    fn machines_per_page(&self) -> Option<usize>;

    /// Waits a little before something is asked again; a fake needs no wait.
    async fn pause(&self);
}

/// The provider, and what the running case made with it.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    harness: &'a dyn ComputeHarness,
    made: Mutex<Vec<CreateMachine>>,
}

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    pub(super) async fn open(harness: &'a dyn ComputeHarness) -> Result<Self, Failure> {
        Ok(Self { harness, made: Mutex::default() })
    }
}

impl Scope<'_> {
    pub(super) fn machines_per_page(&self) -> Result<usize, Failure> {
        self.harness.machines_per_page().ok_or_else(|| Failure::new("there is no second page"))
    }

    pub(super) fn compute(&self) -> &dyn ComputeProvider {
        self.harness.compute()
    }

    /// Returns a fresh request and remembers to delete what comes of it.
    pub(super) fn request(&self) -> CreateMachine {
        let request = self.harness.request();
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        request
    }

    pub(super) async fn create(&self) -> Result<(CreateMachine, Machine), Failure> {
        let request = self.request();
        let machine = self.compute().create_machine(&request).await?;
        Ok((request, machine))
    }

    /// Deletes until the provider is sure.
    pub(super) async fn delete(&self, key: &MachineKey) -> Result<(), Failure> {
        for _ in 0..DELETE_ASKS_MAX {
            match self.compute().delete_machine(key).await? {
                Deletion::Gone => return Ok(()),
                Deletion::InProgress => self.harness.pause().await,
            }
        }
        Err(Failure::new(format!("{key} is not gone after {DELETE_ASKS_MAX} deletions")))
    }

    pub(super) async fn listed(&self, labels: &Labels) -> Result<Vec<Machine>, Failure> {
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
        Err(Failure::new(format!("the listing has more than {PAGES_MAX} pages")))
    }

    pub(super) fn owner(&self) -> Result<&dyn OwnedResources, Failure> {
        let missing = || Failure::new("a list of what it made is claimed, but there is none");
        self.compute().owned().ok_or_else(missing)
    }

    /// Returns everything it made, or nothing where no such list is claimed.
    pub(super) async fn owned(&self, labels: &Labels) -> Result<Vec<OwnedResource>, Failure> {
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
        Err(Failure::new(format!("the listing has more than {PAGES_MAX} pages")))
    }

    pub(super) fn power(&self) -> Result<&dyn PowerControl, Failure> {
        self.compute().power().ok_or_else(|| Failure::new("power is claimed, but there is none"))
    }

    pub(super) async fn expect_power(&self, key: &MachineKey, power: Power) -> Outcome {
        match self.compute().machine(key).await? {
            Some(machine) if machine.power == power => Ok(()),
            other => Err(Failure::new(format!("expected {key} to be {power:?}, found {other:?}"))),
        }
    }

    /// Deletes what was made, and looks for what is left.
    pub(super) async fn close(&self) -> Outcome {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for request in &made {
            self.delete(&request.key).await?;
        }
        if let Some(request) = made.last() {
            let left = self.listed(&request.labels).await?;
            ensure!(left.is_empty(), "left behind: {left:?}");
            let left = self.owned(&request.labels).await?;
            ensure!(left.is_empty(), "left behind: {left:?}");
        }
        Ok(())
    }
}
