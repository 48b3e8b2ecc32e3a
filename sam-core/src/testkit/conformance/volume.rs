//! What every [`VolumeProvider`] must do, reached alone or through a provider of machines.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::compute::ComputeHarness;
use super::{Failure, Harness, Outcome, cases, ensure, ensure_eq, ensure_kind};
use crate::compute::{ComputeProvider, Deletion, Labels, MachineKey};
use crate::error::ErrorKind;
use crate::volume::{CreateVolume, Volume, VolumeProvider};

/// Most times a deletion of a machine is asked again before it counts as stuck.
const DELETE_ASKS_MAX: usize = 600;

/// Volumes under test.
#[async_trait]
pub trait VolumeHarness: fmt::Debug + Send + Sync {
    /// Returns whether volumes are claimed.
    fn claimed(&self) -> bool;

    /// Returns the provider of volumes.
    fn volumes(&self) -> Option<&dyn VolumeProvider>;

    /// Returns the provider of the machines that they are attached to, where there are any.
    fn compute(&self) -> Option<&dyn ComputeProvider>;

    /// Returns a request whose key was never used, for 10 GiB, with labels that no other harness
    /// uses (at least one, at most eight, the same each time).
    fn request(&self) -> CreateVolume;

    /// Returns a machine that volumes can be attached to; each call another one.
    async fn machine(&self) -> Result<MachineKey, Failure>;

    /// Waits a little before something is asked again; a fake needs no wait.
    async fn pause(&self);
}

/// The volumes of a provider of machines: a harness of the one is a harness of the other.
#[derive(Debug)]
pub struct OfCompute<H> {
    harness: H,
    machines: Mutex<Vec<MachineKey>>,
}

impl<H: ComputeHarness> OfCompute<H> {
    /// Reaches volumes through the provider of a harness.
    pub const fn new(harness: H) -> Self {
        Self { harness, machines: Mutex::new(Vec::new()) }
    }
}

#[async_trait]
impl<H: ComputeHarness> VolumeHarness for OfCompute<H> {
    fn claimed(&self) -> bool {
        self.harness.compute().capabilities().volumes
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        self.harness.compute().volumes()
    }

    fn compute(&self) -> Option<&dyn ComputeProvider> {
        Some(self.harness.compute())
    }

    fn request(&self) -> CreateVolume {
        let request = self.harness.request();
        CreateVolume::new(format!("{}-v", request.key), 10, request.labels)
    }

    async fn machine(&self) -> Result<MachineKey, Failure> {
        let request = self.harness.request();
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).push(request.key.clone());
        self.harness.compute().create_machine(&request).await?;
        Ok(request.key)
    }

    async fn pause(&self) {
        self.harness.pause().await;
    }
}

impl<H: ComputeHarness + Harness> Harness for OfCompute<H> {
    fn block_on(&self, case: futures_util::future::BoxFuture<'_, Outcome>) -> Outcome {
        self.harness.block_on(Box::pin(async move {
            let outcome = case.await;
            let made =
                std::mem::take(&mut *self.machines.lock().unwrap_or_else(PoisonError::into_inner));
            for key in &made {
                delete_machine(self, self.harness.compute(), key).await?;
            }
            outcome
        }))
    }
}

cases! {
    VolumeHarness, Scope;
    "VolumeProvider C1", claimed {
        creating_twice_gives_one_volume,
        concurrent_creations_give_one_volume,
        a_creation_broken_off_can_be_repeated,
    }
    "VolumeProvider C2", claimed {
        attaching_and_detaching_repeat,
    }
    "VolumeProvider C3", claimed {
        a_volume_grows_and_never_shrinks,
    }
    "VolumeProvider C4", claimed {
        deleting_the_absent_succeeds,
        an_attached_volume_is_not_deleted,
        a_deleted_volume_is_nowhere_shown,
    }
    "VolumeProvider C5", claimed {
        only_an_absent_volume_is_none,
        a_listing_is_filtered_and_ordered,
    }
    "VolumeProvider C6", claimed {
        what_was_asked_for_comes_back,
    }
    "VolumeProvider C7", claimed {
        an_attached_volume_is_not_taken_away,
    }
    "VolumeProvider C8", claimed {
        what_is_absent_is_not_found,
    }
    "VolumeProvider C9", claimed {
        a_volume_without_a_size_or_a_key_is_refused,
    }
    "VolumeProvider C10", with_machines {
        a_volume_outlives_its_machine,
    }
    "ComputeProvider C8", unclaimed {
        there_are_no_volumes_where_none_are_claimed,
    }
}

fn claimed(harness: &dyn VolumeHarness) -> bool {
    harness.claimed()
}

fn unclaimed(harness: &dyn VolumeHarness) -> bool {
    !harness.claimed()
}

fn with_machines(harness: &dyn VolumeHarness) -> bool {
    harness.claimed() && harness.compute().is_some()
}

/// The volumes, and what the running case made.
#[derive(Debug)]
struct Scope<'a> {
    harness: &'a dyn VolumeHarness,
    made: Mutex<Vec<CreateVolume>>,
}

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    async fn open(harness: &'a dyn VolumeHarness) -> Result<Self, Failure> {
        Ok(Self { harness, made: Mutex::default() })
    }

    fn volumes(&self) -> Result<&dyn VolumeProvider, Failure> {
        let missing = || Failure::new("volumes are claimed, but there are none");
        self.harness.volumes().ok_or_else(missing)
    }

    /// Returns a fresh request and remembers to delete what comes of it.
    fn request(&self) -> CreateVolume {
        let request = self.harness.request();
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        request
    }

    async fn create(&self) -> Result<(CreateVolume, Volume), Failure> {
        let request = self.request();
        let volume = self.volumes()?.create_volume(&request).await?;
        Ok((request, volume))
    }

    async fn found(&self, key: &str) -> Result<Volume, Failure> {
        let found = self.volumes()?.volume(key).await?;
        found.ok_or_else(|| Failure::new(format!("the volume {key} is not there")))
    }

    async fn close(&self) -> Outcome {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for request in &made {
            let volumes = self.volumes()?;
            if volumes.volume(&request.key).await?.is_some() {
                volumes.detach(&request.key).await?;
                volumes.delete_volume(&request.key).await?;
            }
        }
        if let Some(request) = made.last() {
            let left = self.volumes()?.list_volumes(&request.labels).await?;
            ensure!(left.is_empty(), "left behind: {left:?}");
        }
        Ok(())
    }
}

async fn delete_machine(
    harness: &dyn VolumeHarness,
    compute: &dyn ComputeProvider,
    key: &MachineKey,
) -> Outcome {
    for _ in 0..DELETE_ASKS_MAX {
        match compute.delete_machine(key).await? {
            Deletion::Gone => return Ok(()),
            Deletion::InProgress => harness.pause().await,
        }
    }
    Err(Failure::new(format!("{key} is not gone after {DELETE_ASKS_MAX} deletions")))
}

async fn creating_twice_gives_one_volume(scope: &Scope<'_>) -> Outcome {
    let (request, first) = scope.create().await?;
    let mut larger = request.clone();
    larger.size_gib += 10;
    larger.labels = larger.labels.with("conformance-late", "1")?;
    let second = scope.volumes()?.create_volume(&larger).await?;
    ensure_eq!(second, first, "the volume of a key that exists");
    let listed = scope.volumes()?.list_volumes(&request.labels).await?;
    ensure_eq!(listed, [first], "listed after two creations");
    Ok(())
}

async fn concurrent_creations_give_one_volume(scope: &Scope<'_>) -> Outcome {
    let (request, volumes) = (scope.request(), scope.volumes()?);
    for made in join_all((0..8).map(|_| volumes.create_volume(&request))).await {
        made?;
    }
    let listed = volumes.list_volumes(&request.labels).await?;
    ensure!(listed.len() == 1, "listed after eight creations: {listed:?}");
    Ok(())
}

async fn a_creation_broken_off_can_be_repeated(scope: &Scope<'_>) -> Outcome {
    let (request, volumes) = (scope.request(), scope.volumes()?);
    let broken_off = volumes.create_volume(&request).now_or_never();
    drop(broken_off);
    volumes.create_volume(&request).await?;
    let listed = volumes.list_volumes(&request.labels).await?;
    ensure!(listed.len() == 1, "listed after a broken-off creation: {listed:?}");
    Ok(())
}

async fn attaching_and_detaching_repeat(scope: &Scope<'_>) -> Outcome {
    let (request, made) = scope.create().await?;
    ensure_eq!(made.attached_to, None, "where a new volume is attached");
    let machine = scope.harness.machine().await?;
    for _ in 0..2 {
        scope.volumes()?.attach(&request.key, &machine).await?;
        let found = scope.found(&request.key).await?;
        ensure_eq!(found.attached_to.as_ref(), Some(&machine), "where it is attached");
    }
    for _ in 0..2 {
        scope.volumes()?.detach(&request.key).await?;
        ensure_eq!(scope.found(&request.key).await?.attached_to, None, "after it was detached");
    }
    Ok(())
}

async fn a_volume_grows_and_never_shrinks(scope: &Scope<'_>) -> Outcome {
    let (request, made) = scope.create().await?;
    let (size, volumes) = (made.size_gib, scope.volumes()?);
    ensure_eq!(volumes.grow(&request.key, size).await?.size_gib, size, "grown to its own size");
    let larger = size + 10;
    for _ in 0..2 {
        ensure_eq!(volumes.grow(&request.key, larger).await?.size_gib, larger, "grown");
    }
    let shrunk = volumes.grow(&request.key, size).await;
    ensure_kind!(shrunk, ErrorKind::BadInput, "growing to a smaller size");
    ensure_eq!(scope.found(&request.key).await?.size_gib, larger, "after the refusal");
    Ok(())
}

async fn deleting_the_absent_succeeds(scope: &Scope<'_>) -> Outcome {
    let never = scope.request();
    scope.volumes()?.delete_volume(&never.key).await?;
    let (request, _) = scope.create().await?;
    for _ in 0..2 {
        scope.volumes()?.delete_volume(&request.key).await?;
    }
    Ok(())
}

async fn an_attached_volume_is_not_deleted(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let machine = scope.harness.machine().await?;
    scope.volumes()?.attach(&request.key, &machine).await?;
    let deleted = scope.volumes()?.delete_volume(&request.key).await;
    ensure_kind!(deleted, ErrorKind::Conflict, "deleting an attached volume");
    let found = scope.found(&request.key).await?;
    ensure_eq!(found.attached_to, Some(machine), "after the refusal");
    scope.volumes()?.detach(&request.key).await?;
    Ok(scope.volumes()?.delete_volume(&request.key).await?)
}

async fn a_deleted_volume_is_nowhere_shown(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let (_, other) = scope.create().await?;
    scope.volumes()?.delete_volume(&request.key).await?;
    let found = scope.volumes()?.volume(&request.key).await?;
    ensure!(found.is_none(), "still found: {found:?}");
    let listed = scope.volumes()?.list_volumes(&request.labels).await?;
    ensure_eq!(listed, [other], "listed beside it");
    scope.volumes()?.create_volume(&request).await?;
    scope.found(&request.key).await.map(drop)
}

async fn only_an_absent_volume_is_none(scope: &Scope<'_>) -> Outcome {
    let never = scope.request();
    let found = scope.volumes()?.volume(&never.key).await?;
    ensure!(found.is_none(), "never made, but found: {found:?}");
    let (request, made) = scope.create().await?;
    ensure_eq!(scope.found(&request.key).await?, made, "the volume that was made");
    Ok(())
}

async fn a_listing_is_filtered_and_ordered(scope: &Scope<'_>) -> Outcome {
    let mut keys = Vec::new();
    let mut labels = Labels::default();
    for _ in 0..4 {
        let (request, _) = scope.create().await?;
        keys.push(request.key);
        labels = request.labels;
    }
    let mut marked = scope.request();
    marked.labels = marked.labels.with("conformance-mark", "yes")?;
    scope.volumes()?.create_volume(&marked).await?;
    keys.push(marked.key.clone());
    keys.sort();
    let listed = async |labels: &Labels| -> Result<Vec<String>, Failure> {
        let listed = scope.volumes()?.list_volumes(labels).await?;
        Ok(listed.into_iter().map(|volume| volume.key).collect())
    };
    ensure_eq!(listed(&labels).await?, keys, "the keys in order");
    ensure_eq!(listed(&marked.labels).await?, [marked.key], "by both labels");
    let none = listed(&labels.with("conformance-mark", "no")?).await?;
    ensure!(none.is_empty(), "by a label that nobody has: {none:?}");
    Ok(())
}

async fn what_was_asked_for_comes_back(scope: &Scope<'_>) -> Outcome {
    let (request, made) = scope.create().await?;
    ensure_eq!(made.key, request.key, "the key");
    ensure_eq!(made.labels, request.labels, "the labels");
    ensure!(made.size_gib >= request.size_gib, "asked for {request:?}, made {made:?}");
    Ok(())
}

async fn an_attached_volume_is_not_taken_away(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let (one, other) = (scope.harness.machine().await?, scope.harness.machine().await?);
    scope.volumes()?.attach(&request.key, &one).await?;
    let stolen = scope.volumes()?.attach(&request.key, &other).await;
    ensure_kind!(stolen, ErrorKind::Conflict, "attaching elsewhere");
    ensure_eq!(scope.found(&request.key).await?.attached_to, Some(one), "after the refusal");
    Ok(())
}

async fn what_is_absent_is_not_found(scope: &Scope<'_>) -> Outcome {
    let (never, volumes) = (scope.request(), scope.volumes()?);
    let machine = scope.harness.machine().await?;
    let attached = volumes.attach(&never.key, &machine).await;
    ensure_kind!(attached, ErrorKind::NotFound, "attaching the absent");
    ensure_kind!(volumes.detach(&never.key).await, ErrorKind::NotFound, "detaching the absent");
    ensure_kind!(volumes.grow(&never.key, 20).await, ErrorKind::NotFound, "growing the absent");
    let found = volumes.volume(&never.key).await?;
    ensure!(found.is_none(), "asking made a volume: {found:?}");
    Ok(())
}

async fn a_volume_without_a_size_or_a_key_is_refused(scope: &Scope<'_>) -> Outcome {
    let good = scope.request();
    let mut cases = [good.clone(), good.clone(), good];
    cases[0].size_gib = 0;
    cases[1].key = String::new();
    cases[2].key = "x".repeat(64);
    for request in cases {
        let made = scope.volumes()?.create_volume(&request).await;
        ensure_kind!(made, ErrorKind::BadInput, "{request:?}");
    }
    Ok(())
}

async fn a_volume_outlives_its_machine(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let machine = scope.harness.machine().await?;
    scope.volumes()?.attach(&request.key, &machine).await?;
    let Some(compute) = scope.harness.compute() else { return Ok(()) };
    delete_machine(scope.harness, compute, &machine).await?;
    let found = scope.found(&request.key).await?;
    ensure_eq!(found.attached_to, None, "after its machine was deleted");
    Ok(scope.volumes()?.delete_volume(&request.key).await?)
}

async fn there_are_no_volumes_where_none_are_claimed(scope: &Scope<'_>) -> Outcome {
    ensure!(scope.harness.volumes().is_none(), "volumes work, but are not claimed");
    Ok(())
}
