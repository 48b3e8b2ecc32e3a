//! Volumes: disks that outlive the machine they are attached to.

mod forward;
mod memory;

use std::fmt;

use async_trait::async_trait;

pub use self::memory::MemoryVolumes;
use crate::compute::{Labels, MachineKey};
use crate::error::Result;

/// Creates, attaches, grows and deletes volumes. There is no shrinking: no such call exists.
///
/// # Contract
/// - **C1** `create_volume` with a key that exists returns that volume.
/// - **C2** `attach` and `detach` to the state it is in succeed.
/// - **C3** `grow` to the present size succeeds, to a smaller one is `BadInput`.
/// - **C4** `delete_volume` of the absent succeeds; of an attached one it is `Conflict`. What is
///   deleted is shown nowhere.
/// - **C5** `volume` returns `None` only when the provider is sure that it is absent;
///   `list_volumes` returns all that carry the labels, in the order of the keys, or an error.
/// - **C6** Key and labels come back exactly as they were given, and the size is at least what was
///   asked for.
/// - **C7** `attach` of a volume that is attached elsewhere is `Conflict` and changes nothing.
/// - **C8** `attach`, `detach` and `grow` of the absent are `NotFound`.
/// - **C9** A volume without a size, without a key or with a key over its bound is `BadInput`.
/// - **C10** A volume outlives the machine it is attached to, and is then detached.
///
/// ```
/// use sam_core::compute::{Labels, MachineKey};
/// use sam_core::volume::{CreateVolume, MemoryVolumes, VolumeProvider};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let volumes = MemoryVolumes::new();
/// let request = CreateVolume::new("data-1".to_owned(), 10, Labels::default());
/// volumes.create_volume(&request).await?;
/// let machine = MachineKey::of(sam_core::NodeId::from_bits(1));
/// volumes.attach("data-1", &machine).await?;
/// let volume = volumes.volume("data-1").await?.expect("it was created");
/// assert_eq!(volume.attached_to, Some(machine));
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait VolumeProvider: fmt::Debug + Send + Sync + 'static {
    /// Creates the volume of a key, or returns the one that exists.
    ///
    /// # Errors
    /// `BadInput`, `QuotaExceeded`, `Unavailable`, `Timeout`, …
    async fn create_volume(&self, request: &CreateVolume) -> Result<Volume>;

    /// Returns the volume of a key.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …
    async fn volume(&self, key: &str) -> Result<Option<Volume>>;

    /// Returns the volumes that carry all the given labels, ordered by key.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …
    async fn list_volumes(&self, labels: &Labels) -> Result<Vec<Volume>>;

    /// Attaches a volume to a machine. Repeatable.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while it is attached elsewhere; `Unavailable`, …
    async fn attach(&self, key: &str, machine: &MachineKey) -> Result<()>;

    /// Detaches a volume. Repeatable.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, …
    async fn detach(&self, key: &str) -> Result<()>;

    /// Makes a volume larger. Repeatable.
    ///
    /// # Errors
    /// `NotFound`; `BadInput` when it would shrink; `QuotaExceeded`, …
    async fn grow(&self, key: &str, size_gib: u32) -> Result<Volume>;

    /// Deletes a volume and its data. Repeatable.
    ///
    /// # Errors
    /// `Conflict` while it is attached; `Unavailable`, …
    async fn delete_volume(&self, key: &str) -> Result<()>;
}

/// Asks for a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateVolume {
    /// The caller's name for it; at most 63 characters.
    pub key: String,
    /// Its size in GiB, at least 1.
    pub size_gib: u32,
    /// What it carries.
    pub labels: Labels,
}

impl CreateVolume {
    /// Asks for a volume.
    pub const fn new(key: String, size_gib: u32, labels: Labels) -> Self {
        Self { key, size_gib, labels }
    }
}

/// A volume as its provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Volume {
    /// The caller's name for it.
    pub key: String,
    /// Its size in GiB.
    pub size_gib: u32,
    /// What it carries.
    pub labels: Labels,
    /// The machine it is attached to.
    pub attached_to: Option<MachineKey>,
}

impl Volume {
    /// Describes a volume that is not attached.
    pub const fn new(key: String, size_gib: u32, labels: Labels) -> Self {
        Self { key, size_gib, labels, attached_to: None }
    }
}
