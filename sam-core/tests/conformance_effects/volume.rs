//! Volumes in memory, and flawed ones.

use std::sync::Arc;

use async_trait::async_trait;
use sam_core::compute::{ComputeProvider, Labels, MachineKey};
use sam_core::entropy::SeededEntropy;
use sam_core::testkit::conformance::volume::{self, VolumeHarness};
use sam_core::testkit::conformance::{BoxFuture, Failure, Harness, Outcome, Trial, at_once};
use sam_core::time::Timestamp;
use sam_core::volume::{CreateVolume, MemoryVolumes, Volume, VolumeProvider};
use sam_core::{ErrorKind, NodeId, Result};

use super::refuse;

const NOT_APPLICABLE: &str = include_str!("../not_applicable/memory_volumes.volume.txt");

#[derive(Debug)]
struct Over<V> {
    volumes: V,
    entropy: SeededEntropy,
}

impl<V: VolumeProvider> Over<V> {
    fn new(volumes: V) -> Self {
        Self { volumes, entropy: SeededEntropy::new(3) }
    }

    fn fresh(&self) -> NodeId {
        NodeId::new(Timestamp::EPOCH, &self.entropy)
    }
}

#[async_trait]
impl<V: VolumeProvider> VolumeHarness for Over<V> {
    fn claimed(&self) -> bool {
        true
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        Some(&self.volumes)
    }

    fn compute(&self) -> Option<&dyn ComputeProvider> {
        None
    }

    fn request(&self) -> CreateVolume {
        let labels = Labels::default().with(Labels::INSTALLATION, "memory").unwrap();
        CreateVolume::new(format!("v-{}", self.fresh()), 10, labels)
    }

    async fn machine(&self) -> Result<MachineKey, Failure> {
        Ok(MachineKey::of(self.fresh()))
    }

    async fn pause(&self) {}
}

impl<V: VolumeProvider> Harness for Over<V> {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    DeletesAttached,
    DropsLabels,
    ForgetsToDetach,
    HidesOne,
    IgnoresFilter,
    InventsTheAbsent,
    MissesTheAbsent,
    Shrinks,
    Steals,
    TakesNothing,
    TakesTheLatestSize,
}

const FLAWS: [(Flaw, &str); 11] = [
    (Flaw::TakesTheLatestSize, "creating_twice_gives_one_volume"),
    (Flaw::ForgetsToDetach, "attaching_and_detaching_repeat"),
    (Flaw::Shrinks, "a_volume_grows_and_never_shrinks"),
    (Flaw::MissesTheAbsent, "deleting_the_absent_succeeds"),
    (Flaw::DeletesAttached, "an_attached_volume_is_not_deleted"),
    (Flaw::HidesOne, "only_an_absent_volume_is_none"),
    (Flaw::IgnoresFilter, "a_listing_is_filtered_and_ordered"),
    (Flaw::DropsLabels, "what_was_asked_for_comes_back"),
    (Flaw::Steals, "an_attached_volume_is_not_taken_away"),
    (Flaw::InventsTheAbsent, "what_is_absent_is_not_found"),
    (Flaw::TakesNothing, "a_volume_without_a_size_or_a_key_is_refused"),
];

#[derive(Debug)]
struct Flawed {
    inner: MemoryVolumes,
    flaw: Flaw,
}

impl Flawed {
    async fn replace(&self, key: &str, size_gib: u32, labels: Labels) -> Result<Volume> {
        self.inner.detach(key).await?;
        self.inner.delete_volume(key).await?;
        self.inner.create_volume(&CreateVolume::new(key.to_owned(), size_gib, labels)).await
    }
}

#[async_trait]
impl VolumeProvider for Flawed {
    async fn create_volume(&self, request: &CreateVolume) -> Result<Volume> {
        let mut request = request.clone();
        match self.flaw {
            Flaw::DropsLabels => request.labels = Labels::default(),
            Flaw::TakesNothing if request.size_gib == 0 => request.size_gib = 1,
            Flaw::TakesTheLatestSize => {
                if let Some(known) = self.inner.volume(&request.key).await? {
                    return self.replace(&known.key, request.size_gib, known.labels).await;
                }
            }
            _ => {}
        }
        self.inner.create_volume(&request).await
    }

    async fn volume(&self, key: &str) -> Result<Option<Volume>> {
        match self.flaw {
            Flaw::HidesOne => Ok(None),
            _ => self.inner.volume(key).await,
        }
    }

    async fn list_volumes(&self, labels: &Labels) -> Result<Vec<Volume>> {
        let none = Labels::default();
        let ignores = self.flaw == Flaw::IgnoresFilter;
        self.inner.list_volumes(if ignores { &none } else { labels }).await
    }

    async fn attach(&self, key: &str, machine: &MachineKey) -> Result<()> {
        match self.flaw {
            Flaw::Steals => self.inner.detach(key).await?,
            Flaw::InventsTheAbsent if self.inner.volume(key).await?.is_none() => {
                let new = CreateVolume::new(key.to_owned(), 1, Labels::default());
                self.inner.create_volume(&new).await?;
            }
            _ => {}
        }
        self.inner.attach(key, machine).await
    }

    async fn detach(&self, key: &str) -> Result<()> {
        match self.flaw {
            Flaw::ForgetsToDetach => Ok(()),
            _ => self.inner.detach(key).await,
        }
    }

    async fn grow(&self, key: &str, size_gib: u32) -> Result<Volume> {
        if let (Flaw::Shrinks, Some(known)) = (self.flaw, self.inner.volume(key).await?) {
            return self.replace(key, size_gib, known.labels).await;
        }
        self.inner.grow(key, size_gib).await
    }

    async fn delete_volume(&self, key: &str) -> Result<()> {
        let known = self.inner.volume(key).await?;
        match (self.flaw, known) {
            (Flaw::MissesTheAbsent, None) => return Err(refuse(ErrorKind::NotFound)),
            (Flaw::DeletesAttached, Some(_)) => self.inner.detach(key).await?,
            _ => {}
        }
        self.inner.delete_volume(key).await
    }
}

pub(super) fn trials() -> Vec<Trial> {
    let arc = || -> Arc<dyn VolumeProvider> { Arc::new(MemoryVolumes::new()) };
    let boxed = || -> Box<dyn VolumeProvider> { Box::new(MemoryVolumes::new()) };
    let bare = || Over::new(MemoryVolumes::new());
    let mut all = volume::trials("volume::memory", NOT_APPLICABLE, bare);
    all.extend(volume::trials("volume::memory_in_arc", NOT_APPLICABLE, move || Over::new(arc())));
    all.extend(volume::trials("volume::memory_in_box", NOT_APPLICABLE, move || Over::new(boxed())));
    all.extend(FLAWS.map(|(flaw, case)| {
        let make = move || Over::new(Flawed { inner: MemoryVolumes::new(), flaw });
        volume::notices(&format!("{flaw:?}"), case, make)
    }));
    all
}
