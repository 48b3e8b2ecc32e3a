//! A provider of machines that does one thing wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, Labels, ListMachines,
    ListOwned, Machine, MachineKey, MemoryCompute, OwnedResource, OwnedResources, Power,
    PowerControl,
};
use sam_core::volume::VolumeProvider;
use sam_core::{Error, ErrorKind, Page, Result};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// No flaw: it has nothing but machines, and says so.
    ClaimsNothing,
    ClaimsPowerItLacks,
    DeletesAllOwned,
    DeletesOwnedOnce,
    DeletesVolumesWithMachines,
    DropsPages,
    ForgetsKeys,
    ForgetsLabels,
    HidesOwned,
    HidesPower,
    HidesVolumes,
    IgnoresFilter,
    IgnoresOwnedFilter,
    IsBlind,
    KeepsDeleted,
    LosesDisk,
    MakesTwins,
    MissesTheAbsent,
    OwnsNoVolumes,
    OwnsNothing,
    RefusesCredentials,
    RefusesTheSameState,
    SellsNothing,
    ShowsTheToken,
    StumblesOverItself,
    SwitchesNothing,
    SwitchesTheAbsent,
    TakesAnyRegion,
    TruncatesOwned,
}

pub(crate) const COMPUTE: [(Flaw, &str); 13] = [
    (Flaw::DropsPages, "a_listing_holds_every_machine_once"),
    (Flaw::DropsPages, "a_second_page_goes_on_where_the_first_ended"),
    (Flaw::ForgetsLabels, "labels_come_back_as_given"),
    (Flaw::IgnoresFilter, "a_listing_is_filtered_by_all_labels"),
    (Flaw::IsBlind, "only_an_absent_machine_is_none"),
    (Flaw::KeepsDeleted, "a_deleted_machine_is_nowhere_shown"),
    (Flaw::MakesTwins, "creating_twice_gives_one_machine"),
    (Flaw::MissesTheAbsent, "deleting_the_absent_succeeds"),
    (Flaw::RefusesCredentials, "good_credentials_are_accepted"),
    (Flaw::SellsNothing, "every_size_is_on_offer_and_works"),
    (Flaw::ShowsTheToken, "the_token_of_the_first_boot_is_shown_nowhere"),
    (Flaw::StumblesOverItself, "a_creation_broken_off_can_be_repeated"),
    (Flaw::TakesAnyRegion, "a_region_is_refused_where_none_is_claimed"),
];

pub(crate) const POWER: [(Flaw, &str); 6] = [
    (Flaw::ClaimsPowerItLacks, "switching_to_the_present_state_succeeds"),
    (Flaw::HidesPower, "there_is_no_power_where_none_is_claimed"),
    (Flaw::LosesDisk, "a_machine_that_is_off_is_kept_and_comes_back"),
    (Flaw::RefusesTheSameState, "switching_to_the_present_state_succeeds"),
    (Flaw::SwitchesNothing, "switching_one_machine_leaves_the_others_alone"),
    (Flaw::SwitchesTheAbsent, "switching_the_absent_is_not_found"),
];

pub(crate) const OWNED: [(Flaw, &str); 9] = [
    (Flaw::DeletesAllOwned, "deleting_one_leaves_the_others"),
    (Flaw::DeletesOwnedOnce, "what_is_owned_can_be_deleted_twice"),
    (Flaw::ForgetsKeys, "what_is_owned_names_its_sort_its_ids_and_its_labels"),
    (Flaw::HidesOwned, "nothing_is_owned_where_no_list_is_claimed"),
    (Flaw::IgnoresOwnedFilter, "what_others_made_is_not_owned"),
    (Flaw::OwnsNoVolumes, "a_volume_is_owned_until_it_is_gone"),
    (Flaw::OwnsNothing, "what_was_made_is_owned_until_it_is_gone"),
    (Flaw::TruncatesOwned, "everything_owned_is_listed_once"),
    (Flaw::TruncatesOwned, "a_second_page_of_what_is_owned_goes_on_where_the_first_ended"),
];

pub(crate) const VOLUME: [(Flaw, &str); 2] = [
    (Flaw::DeletesVolumesWithMachines, "a_volume_outlives_its_machine"),
    (Flaw::HidesVolumes, "there_are_no_volumes_where_none_are_claimed"),
];

/// Machines in memory, with a flaw.
#[derive(Debug)]
pub(crate) struct Flawed {
    inner: MemoryCompute,
    flaw: Flaw,
    calls: AtomicUsize,
    unfinished: Mutex<BTreeSet<MachineKey>>,
    shown: Mutex<Vec<String>>,
}

impl Flawed {
    pub(crate) fn new(inner: MemoryCompute, flaw: Flaw) -> Self {
        let (calls, unfinished) = (AtomicUsize::new(0), Mutex::default());
        Self { inner, flaw, calls, unfinished, shown: Mutex::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn owner(&self) -> &dyn OwnedResources {
        self.inner.owned().expect("memory lists what it made")
    }
}

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

fn refuse(kind: ErrorKind) -> Error {
    Error::new(kind, "refused by a flaw")
}

#[async_trait]
impl ComputeProvider for Flawed {
    fn capabilities(&self) -> ComputeCapabilities {
        let mut claimed = self.inner.capabilities();
        claimed.power &= !self.has(Flaw::HidesPower);
        claimed.volumes &= !self.has(Flaw::HidesVolumes);
        claimed.owned &= !self.has(Flaw::HidesOwned);
        if self.has(Flaw::ClaimsNothing) { ComputeCapabilities::minimal() } else { claimed }
    }

    async fn catalog(&self) -> Result<Catalog> {
        if self.has(Flaw::SellsNothing) {
            return Ok(Catalog::default());
        }
        self.inner.catalog().await
    }

    async fn verify_credentials(&self) -> Result<()> {
        if self.has(Flaw::RefusesCredentials) {
            return Err(refuse(ErrorKind::Denied));
        }
        self.inner.verify_credentials().await
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        let mut request = request.clone();
        match self.flaw {
            Flaw::TakesAnyRegion => request.region = None,
            Flaw::ForgetsLabels => request.labels = Labels::default(),
            Flaw::ShowsTheToken => {
                let token = request.boot.token.expose().clone();
                self.shown.lock().expect("no panic").push(token);
            }
            Flaw::StumblesOverItself
                if !self.unfinished.lock().expect("no panic").insert(request.key.clone()) =>
            {
                return Err(refuse(ErrorKind::AlreadyExists));
            }
            _ => {}
        }
        let mut machine = self.inner.create_machine(&request).await?;
        if self.has(Flaw::StumblesOverItself) {
            futures_util::pending!();
            self.unfinished.lock().expect("no panic").remove(&request.key);
        }
        if self.has(Flaw::MakesTwins) {
            machine.provider_id = self.calls.fetch_add(1, Ordering::Relaxed).to_string();
        }
        Ok(machine)
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        if self.has(Flaw::IsBlind) {
            return Ok(None);
        }
        self.inner.machine(key).await
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let mut query = query.clone();
        if self.has(Flaw::IgnoresFilter) {
            query.labels = Labels::default();
        }
        let mut page = self.inner.list_machines(&query).await?;
        if self.has(Flaw::DropsPages) {
            page.items.truncate(2);
        }
        Ok(page)
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        match self.flaw {
            Flaw::KeepsDeleted => return Ok(Deletion::Gone),
            Flaw::MissesTheAbsent if self.inner.machine(key).await?.is_none() => {
                return Err(refuse(ErrorKind::NotFound));
            }
            Flaw::DeletesVolumesWithMachines => {
                let volumes = self.inner.list_volumes(&Labels::default()).await?;
                for volume in volumes.iter().filter(|v| v.attached_to.as_ref() == Some(key)) {
                    self.inner.detach(&volume.key).await?;
                    self.inner.delete_volume(&volume.key).await?;
                }
            }
            _ => {}
        }
        self.inner.delete_machine(key).await
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        let lacking = [Flaw::ClaimsNothing, Flaw::ClaimsPowerItLacks].contains(&self.flaw);
        (!lacking).then_some(self)
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        self.inner.volumes().filter(|_| !self.has(Flaw::ClaimsNothing))
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        (!self.has(Flaw::ClaimsNothing)).then_some(self)
    }
}

#[async_trait]
impl PowerControl for Flawed {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        let found = self.inner.machine(key).await?;
        match (self.flaw, found) {
            (Flaw::SwitchesTheAbsent, None) | (Flaw::SwitchesNothing, Some(_)) => return Ok(()),
            (Flaw::RefusesTheSameState, Some(machine)) if machine.power == power => {
                return Err(refuse(ErrorKind::Conflict));
            }
            (Flaw::LosesDisk, Some(_)) if power == Power::Off => {
                self.inner.delete_machine(key).await?;
                return Ok(());
            }
            _ => {}
        }
        self.inner.set_power(key, power).await
    }
}

#[async_trait]
impl OwnedResources for Flawed {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let mut query = query.clone();
        match self.flaw {
            Flaw::OwnsNothing => return Ok(Page::default()),
            Flaw::IgnoresOwnedFilter => query.labels = Labels::default(),
            _ => {}
        }
        let mut page = self.owner().list_owned(&query).await?;
        match self.flaw {
            Flaw::ForgetsKeys => page.items.iter_mut().for_each(|resource| resource.key = None),
            Flaw::OwnsNoVolumes => page.items.retain(|r| r.sort != OwnedResource::VOLUME),
            Flaw::TruncatesOwned => {
                page.items.truncate(2);
                page.next = None;
            }
            _ => {}
        }
        Ok(page)
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        let all = self.owner().list_owned(&ListOwned::default()).await?.items;
        match self.flaw {
            Flaw::DeletesOwnedOnce if !all.contains(resource) => Err(refuse(ErrorKind::NotFound)),
            Flaw::DeletesAllOwned => {
                for resource in &all {
                    self.owner().delete_owned(resource).await?;
                }
                Ok(())
            }
            _ => self.owner().delete_owned(resource).await,
        }
    }
}
