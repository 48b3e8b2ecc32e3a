//! Volumes in memory, for tests, examples and measurements.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{CreateVolume, Volume, VolumeProvider};
use crate::compute::{Labels, MachineKey};
use crate::error::{Error, ErrorKind, Result};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 63;

/// Volumes that live in this process.
#[derive(Debug, Default)]
pub struct MemoryVolumes(Mutex<BTreeMap<String, Volume>>);

impl MemoryVolumes {
    /// Makes a provider without volumes.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Volume>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attaches at once.
    pub(crate) fn attach_now(&self, key: &str, machine: &MachineKey) -> Result<()> {
        self.change(key, |volume| match &volume.attached_to {
            Some(other) if other != machine => Err(Error::new(
                ErrorKind::Conflict,
                format!("the volume {} is attached to {other}", volume.key),
            )
            .with_operation("attach")
            .with_hint("detach it first")),
            _ => {
                volume.attached_to = Some(machine.clone());
                Ok(())
            }
        })
    }

    /// Detaches whatever is attached to a machine.
    pub(crate) fn detach_all(&self, machine: &MachineKey) {
        for volume in self.lock().values_mut() {
            volume.attached_to.take_if(|attached| attached == machine);
        }
    }

    fn change<T>(&self, key: &str, change: impl FnOnce(&mut Volume) -> Result<T>) -> Result<T> {
        match self.lock().get_mut(key) {
            Some(volume) => change(volume),
            None => Err(Error::new(ErrorKind::NotFound, format!("there is no volume {key:?}"))),
        }
    }
}

#[async_trait]
impl VolumeProvider for MemoryVolumes {
    async fn create_volume(&self, request: &CreateVolume) -> Result<Volume> {
        if request.size_gib == 0 || request.key.is_empty() || request.key.len() > KEY_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::BadInput,
                "a volume has a key of 1 to 63 bytes and at least 1 GiB",
            )
            .with_operation("create_volume"));
        }
        let mut volumes = self.lock();
        let volume = volumes.entry(request.key.clone()).or_insert_with(|| {
            Volume::new(request.key.clone(), request.size_gib, request.labels.clone())
        });
        Ok(volume.clone())
    }

    async fn volume(&self, key: &str) -> Result<Option<Volume>> {
        Ok(self.lock().get(key).cloned())
    }

    async fn list_volumes(&self, labels: &Labels) -> Result<Vec<Volume>> {
        Ok(self.lock().values().filter(|v| v.labels.contains(labels)).cloned().collect())
    }

    async fn attach(&self, key: &str, machine: &MachineKey) -> Result<()> {
        self.attach_now(key, machine)
    }

    async fn detach(&self, key: &str) -> Result<()> {
        self.change(key, |volume| {
            volume.attached_to = None;
            Ok(())
        })
    }

    async fn grow(&self, key: &str, size_gib: u32) -> Result<Volume> {
        self.change(key, |volume| {
            if size_gib < volume.size_gib {
                return Err(Error::new(
                    ErrorKind::BadInput,
                    format!("the volume {} cannot shrink to {size_gib} GiB", volume.key),
                )
                .with_operation("grow")
                .with_hint(format!("it has {} GiB: ask for more", volume.size_gib)));
            }
            volume.size_gib = size_gib;
            Ok(volume.clone())
        })
    }

    async fn delete_volume(&self, key: &str) -> Result<()> {
        let mut volumes = self.lock();
        if let Some(machine) = volumes.get(key).and_then(|volume| volume.attached_to.as_ref()) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the volume {key} is attached to {machine}"),
            )
            .with_operation("delete_volume")
            .with_hint("detach it first"));
        }
        volumes.remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::NodeId;

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing in memory waits")
    }

    fn with_one() -> Arc<dyn VolumeProvider> {
        let volumes = MemoryVolumes::new();
        let labels = Labels::default().with("a", "1").unwrap();
        now(volumes.create_volume(&CreateVolume::new("v".to_owned(), 10, labels))).unwrap();
        Arc::new(volumes)
    }

    fn machine(bits: u128) -> MachineKey {
        MachineKey::of(NodeId::from_bits(bits))
    }

    #[test]
    fn creating_twice_gives_the_first_volume() {
        let volumes = with_one();
        let again = CreateVolume::new("v".to_owned(), 99, Labels::default());
        let found = now(volumes.create_volume(&again)).unwrap();
        assert_eq!(found.size_gib, 10);
        assert_eq!(now(volumes.list_volumes(&Labels::default())).unwrap(), [found]);
        let none = now(volumes.list_volumes(&Labels::default().with("a", "2").unwrap())).unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn attaching_and_detaching_repeat_but_never_steal() {
        let volumes = with_one();
        for _ in 0..2 {
            now(volumes.attach("v", &machine(1))).unwrap();
        }
        let stolen = now(volumes.attach("v", &machine(2))).unwrap_err();
        assert_eq!(stolen.kind(), ErrorKind::Conflict);
        for _ in 0..2 {
            now(volumes.detach("v")).unwrap();
        }
        now(volumes.attach("v", &machine(2))).unwrap();
        let error = now(volumes.attach("w", &machine(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_volume_grows_and_never_shrinks() {
        let volumes = with_one();
        assert_eq!(now(volumes.grow("v", 10)).unwrap().size_gib, 10);
        assert_eq!(now(volumes.grow("v", 20)).unwrap().size_gib, 20);
        assert_eq!(now(volumes.grow("v", 19)).unwrap_err().kind(), ErrorKind::BadInput);
        assert_eq!(now(volumes.volume("v")).unwrap().unwrap().size_gib, 20);
    }

    #[test]
    fn deleting_waits_for_the_detach_and_repeats() {
        let volumes = with_one();
        now(volumes.attach("v", &machine(1))).unwrap();
        assert_eq!(now(volumes.delete_volume("v")).unwrap_err().kind(), ErrorKind::Conflict);
        now(volumes.detach("v")).unwrap();
        for _ in 0..2 {
            now(volumes.delete_volume("v")).unwrap();
        }
        assert_eq!(now(volumes.volume("v")).unwrap(), None);
    }

    #[test]
    fn a_volume_has_a_size_and_a_key() {
        for (key, size) in [("", 1), ("v", 0), (&*"x".repeat(64), 1)] {
            let request = CreateVolume::new(key.to_owned(), size, Labels::default());
            let error = now(MemoryVolumes::new().create_volume(&request)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
        }
    }
}
