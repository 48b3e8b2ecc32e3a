//! Machines: what a cloud sells, or this computer lends.

mod forward;
mod memory;
mod providers;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::error::Result;
use crate::id::NodeId;
use crate::page::Page;
use crate::volume::Volume;

pub use self::memory::MemoryCompute;
pub use self::providers::{ProviderName, Providers};

/// Creates, lists and deletes machines.
///
/// # Contract
/// - **C1** `create_machine` with a key that exists already returns that machine: it *adopts*.
/// - **C2** `delete_machine` of the absent succeeds.
/// - **C3** After `delete_machine` said [`Deletion::Gone`], `machine` and `list_machines` no longer
///   show it, and nothing bought with it is left.
/// - **C4** `machine` returns `None` only when the provider is sure that it is absent.
/// - **C5** `list_machines` returns whole pages or an error, never a part of the truth.
/// - **C6** Labels come back exactly as they were given.
/// - **C7** An error whose effect is unknown, or a call whose future was dropped, may have acted;
///   calling again with the same key is safe.
/// - **C8** What `capabilities` claims is there. What it does not claim is absent, or refused as
///   `BadInput` or `Unsupported`: never dropped in silence.
/// - **C9** `catalog` offers every [`Size`] and, where regions are claimed, at least one; a region
///   that is not on offer is `BadInput`.
/// - **C10** `verify_credentials` succeeds with credentials that the other calls are accepted with.
/// - **C11** The token of the boot data is shown nowhere: not by what is listed, not by `Debug`.
///
/// The suite is `testkit::conformance::compute`; `docs/adding-a-provider.md` tells how to add one.
#[async_trait]
pub trait ComputeProvider: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Returns the facts a caller plans with.
    fn capabilities(&self) -> ComputeCapabilities;

    /// Returns the sizes and regions on offer.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `RateLimited` or `Unauthenticated`.
    async fn catalog(&self) -> Result<Catalog>;

    /// Checks that the credentials are accepted.
    ///
    /// # Errors
    /// `Unauthenticated` or `Denied` when they are not.
    async fn verify_credentials(&self) -> Result<()>;

    /// Creates the machine of a key, or returns the one that exists.
    ///
    /// # Errors
    /// `BadInput`, `CapacityUnavailable`, `QuotaExceeded`, `Unavailable`, `Timeout`, …; check
    /// `effect()`.
    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine>;

    /// Returns the machine of a key.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; absence is not an error.
    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>>;

    /// Returns one page of the machines that carry all the given labels.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …
    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>>;

    /// Deletes the machine of a key with everything bought for it. Repeatable.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; absence is not an error.
    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion>;

    /// Returns power control, where machines can be switched.
    fn power(&self) -> Option<&dyn PowerControl>;

    /// Returns volumes, where the provider has them.
    fn volumes(&self) -> Option<&dyn super::volume::VolumeProvider>;

    /// Returns the list of everything it made, where the provider keeps one. Without it nobody can
    /// look for what no record knows.
    fn owned(&self) -> Option<&dyn OwnedResources>;
}

/// Switches machines on and off.
///
/// # Contract
/// - **C1** Switching to the state a machine is in succeeds.
/// - **C2** A machine that is off keeps its disk, is listed as before, and can be deleted.
/// - **C3** Switching the absent is `NotFound`, and makes no machine.
/// - **C4** After it succeeded, the provider shows this machine, and no other, in that state.
#[async_trait]
pub trait PowerControl: fmt::Debug + Send + Sync + 'static {
    /// Switches the machine of a key. Repeatable.
    ///
    /// # Errors
    /// `NotFound` when there is no such machine; `Unavailable`, `Timeout`, …
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()>;
}

/// Lists and deletes every billable or named thing an adapter made, whatever its sort, so that a
/// sweep can find what no record knows.
///
/// # Contract
/// - **C1** Everything the adapter creates is listed until it is gone.
/// - **C2** Nothing that lacks one of the query's labels is listed.
/// - **C3** Deleting the absent succeeds, and a sort that the adapter does not make is absent.
/// - **C4** A resource has the labels that were given for it, the provider's own id, and the
///   caller's key where it was made under one.
/// - **C5** `list_owned` returns whole pages or an error, and each resource once.
/// - **C6** Deleting one leaves the others; what something else needs is `Conflict` and stays.
#[async_trait]
pub trait OwnedResources: fmt::Debug + Send + Sync + 'static {
    /// Returns one page of what carries the installation's labels.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; a partial answer is an error.
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>>;

    /// Deletes one of them. Repeatable.
    ///
    /// # Errors
    /// `Conflict` while something else needs it; `Unavailable`, `Timeout`, …
    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()>;
}

/// The caller's name for a machine: made from the node's id, so that creating twice is creating
/// once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineKey(String);

impl MachineKey {
    /// Returns the key of a node's machine; it is a legal DNS label.
    pub fn of(node: NodeId) -> Self {
        Self(node.to_string())
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name–value pairs that a machine carries; at most [`Labels::COUNT_MAX`], each part at most 63
/// characters of `[a-z0-9A-Z._-]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Most labels on one machine.
    pub const COUNT_MAX: usize = 16;
    /// The installation that made it.
    pub const INSTALLATION: &'static str = "sam-installation";
    /// The store epoch it was made in.
    pub const EPOCH: &'static str = "sam-epoch";
    /// The node it belongs to.
    pub const NODE: &'static str = "sam-node";
    /// The owner of the node.
    pub const OWNER: &'static str = "sam-owner";
    /// The workspace whose published name it is.
    pub const WORKSPACE: &'static str = "sam-workspace";

    /// Adds a label.
    ///
    /// # Errors
    /// `BadInput` when a part is empty, too long or has other characters, or there are too many.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self> {
        let legal = |text: &str| {
            !text.is_empty()
                && text.len() <= 63
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !legal(name) || !legal(value) || self.0.len() >= Self::COUNT_MAX {
            return Err(crate::Error::new(
                crate::ErrorKind::BadInput,
                format!("label {name:?}={value:?} is not allowed"),
            ));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(self)
    }

    /// Returns a label's value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the labels in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns whether every label of `other` is here with the same value.
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(name, value)| self.value(name) == Some(value))
    }
}

/// How large a machine is. Providers map it to what they sell today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Size {
    /// About 2 processors and 4 GiB.
    Small,
    /// About 4 processors and 8 GiB.
    #[default]
    Medium,
    /// About 8 processors and 16 GiB.
    Large,
}

impl Size {
    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// What a new machine is told on its first boot. It holds one single-use token and nothing else
/// that is secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BootData {
    /// The node the machine becomes.
    pub node_id: NodeId,
    /// Where the agent reaches the control plane: `https://…`, or `unix:/path` on this computer; or
    /// several of these with commas between them, which it tries in turn.
    pub control_url: String,
    /// Traded once for an identity.
    pub token: Secret<String>,
}

impl BootData {
    /// Puts boot data together.
    pub const fn new(node_id: NodeId, control_url: String, token: Secret<String>) -> Self {
        Self { node_id, control_url, token }
    }
}

/// Asks for a machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreateMachine {
    /// The caller's name for it.
    pub key: MachineKey,
    /// How large.
    pub size: Size,
    /// Where; `None` leaves it to the provider.
    pub region: Option<String>,
    /// What it carries.
    pub labels: Labels,
    /// What it is told on first boot.
    pub boot: BootData,
}

impl CreateMachine {
    /// Asks for a medium machine anywhere.
    pub fn new(key: MachineKey, boot: BootData) -> Self {
        Self { key, size: Size::default(), region: None, labels: Labels::default(), boot }
    }

    /// Sets the size.
    #[must_use]
    pub fn with_size(mut self, size: Size) -> Self {
        self.size = size;
        self
    }

    /// Sets the region.
    #[must_use]
    pub fn with_region(mut self, region: Option<String>) -> Self {
        self.region = region;
        self
    }

    /// Sets the labels.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }
}

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Power {
    /// It does not run; its disk is kept.
    Off,
    /// It runs, or is about to.
    On,
}

/// A machine as its provider describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// The caller's name for it.
    pub key: MachineKey,
    /// The provider's own id, kept for people and for support.
    pub provider_id: String,
    /// Whether it runs.
    pub power: Power,
    /// What it carries.
    #[serde(default)]
    pub labels: Labels,
    /// Addresses it can be reached under, most useful first.
    #[serde(default)]
    pub addresses: Vec<String>,
}

impl Machine {
    /// Describes a running machine.
    pub const fn new(key: MachineKey, provider_id: String, labels: Labels) -> Self {
        Self { key, provider_id, power: Power::On, labels, addresses: Vec::new() }
    }

    /// Sets whether it runs.
    #[must_use]
    pub fn with_power(mut self, power: Power) -> Self {
        self.power = power;
        self
    }

    /// Sets the addresses it can be reached under, most useful first.
    #[must_use]
    pub fn with_addresses(mut self, addresses: Vec<String>) -> Self {
        self.addresses = addresses;
        self
    }
}

/// How far a deletion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deletion {
    /// The provider is sure that nothing is left.
    Gone,
    /// It goes on; ask again.
    InProgress,
}

/// Facts a caller plans with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact")]
pub struct ComputeCapabilities {
    /// Machines can be switched off and on.
    pub power: bool,
    /// Volumes can be created and attached.
    pub volumes: bool,
    /// Everything it made can be listed and deleted one by one.
    pub owned: bool,
    /// The caller may name a region.
    pub regions: bool,
    /// A machine's disk survives being switched off.
    pub disk_survives_power_off: bool,
    /// The longest a create may still take effect after its reply was lost.
    pub create_settles_within: Duration,
}

impl ComputeCapabilities {
    /// Describes a provider that can only create and delete, and settles within two minutes.
    pub const fn minimal() -> Self {
        Self {
            power: false,
            volumes: false,
            owned: false,
            regions: false,
            disk_survives_power_off: false,
            create_settles_within: Duration::from_mins(2),
        }
    }

    /// Claims power control.
    #[must_use]
    pub const fn with_power(mut self) -> Self {
        self.power = true;
        self.disk_survives_power_off = true;
        self
    }

    /// Claims volumes.
    #[must_use]
    pub const fn with_volumes(mut self) -> Self {
        self.volumes = true;
        self
    }

    /// Claims a list of everything it made.
    #[must_use]
    pub const fn with_owned(mut self) -> Self {
        self.owned = true;
        self
    }

    /// Claims regions.
    #[must_use]
    pub const fn with_regions(mut self) -> Self {
        self.regions = true;
        self
    }

    /// Says how long a lost create may still take effect.
    #[must_use]
    pub const fn with_create_settles_within(mut self, span: Duration) -> Self {
        self.create_settles_within = span;
        self
    }
}

/// What a provider sells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Catalog {
    /// Regions, in the provider's words.
    pub regions: Vec<String>,
    /// Sizes and what they mean there.
    pub sizes: Vec<SizeOffer>,
}

impl Catalog {
    /// Makes a catalogue.
    pub const fn new(regions: Vec<String>, sizes: Vec<SizeOffer>) -> Self {
        Self { regions, sizes }
    }
}

/// What a size means at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SizeOffer {
    /// Our word.
    pub size: Size,
    /// The provider's word.
    pub provider_size: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Price in millionths of the account's currency for an hour, where known.
    pub price_micros_per_hour: Option<u64>,
    /// The provider's word that was asked for, where that is no longer sold and this stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

impl SizeOffer {
    /// Describes an offer without a price.
    pub const fn new(size: Size, provider_size: String, cpus: u32, memory_mib: u64) -> Self {
        let (price_micros_per_hour, replaces) = (None, None);
        Self { size, provider_size, cpus, memory_mib, price_micros_per_hour, replaces }
    }

    /// Sets the price of an hour, in millionths of the account's currency.
    #[must_use]
    pub const fn with_price_micros_per_hour(mut self, price: Option<u64>) -> Self {
        self.price_micros_per_hour = price;
        self
    }

    /// Says what it stands in for.
    #[must_use]
    pub fn with_replaces(mut self, asked: Option<String>) -> Self {
        self.replaces = asked;
        self
    }
}

/// Asks for one page of machines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ListMachines {
    /// Labels a machine must carry.
    pub labels: Labels,
    /// Continues a listing, from [`Page::next`](crate::Page::next).
    pub after: Option<String>,
}

impl ListMachines {
    /// Asks for the first page.
    pub const fn new(labels: Labels) -> Self {
        Self { labels, after: None }
    }

    /// Continues a listing.
    #[must_use]
    pub fn with_after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }
}

/// Something an adapter made: a machine, an address, a volume, a certificate …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OwnedResource {
    /// What it is, in one word: [`Self::MACHINE`], [`Self::VOLUME`], `address`, …
    pub sort: Cow<'static, str>,
    /// The provider's own id.
    pub provider_id: String,
    /// The caller's name for it, such as the text of a [`MachineKey`], where it has one.
    pub key: Option<String>,
    /// What it carries.
    pub labels: Labels,
}

impl OwnedResource {
    /// The sort of a machine.
    pub const MACHINE: &'static str = "machine";
    /// The sort of a volume.
    pub const VOLUME: &'static str = "volume";

    /// Describes a resource that its maker has no name for.
    pub fn new(sort: impl Into<Cow<'static, str>>, provider_id: String, labels: Labels) -> Self {
        Self { sort: sort.into(), provider_id, key: None, labels }
    }

    /// Describes a machine.
    pub fn machine(machine: Machine) -> Self {
        let key = machine.key.to_string();
        Self::new(Self::MACHINE, machine.provider_id, machine.labels).with_key(key)
    }

    /// Describes a volume, where the provider knows it by its key.
    pub fn volume(volume: Volume) -> Self {
        Self::new(Self::VOLUME, volume.key.clone(), volume.labels).with_key(volume.key)
    }

    /// Tells the caller's name for it.
    #[must_use]
    pub fn with_key(mut self, key: String) -> Self {
        self.key = Some(key);
        self
    }
}

/// Asks for one page of owned resources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ListOwned {
    /// Labels that must match, at least the installation.
    pub labels: Labels,
    /// Continues a listing.
    pub after: Option<String>,
}

impl ListOwned {
    /// Asks for the first page.
    pub const fn new(labels: Labels) -> Self {
        Self { labels, after: None }
    }

    /// Continues a listing.
    #[must_use]
    pub fn with_after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }
}
