//! What DigitalOcean sends and takes: the members that are used, and nothing that is not needed.

use sam_core::compute::{Machine, MachineKey, Power};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use super::labels;
use crate::api::{Tags, key_of, labels_of, machine_key};

/// One page of anything.
#[derive(Debug, Deserialize)]
pub(super) struct Listing<T> {
    #[serde(
        alias = "actions",
        alias = "droplets",
        alias = "regions",
        alias = "sizes",
        alias = "volumes"
    )]
    pub(super) items: Vec<T>,
    #[serde(default)]
    pub(super) links: Links,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Links {
    #[serde(default)]
    pub(super) pages: Pages,
    #[serde(default)]
    pub(super) actions: Vec<ActionLink>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Pages {
    /// Where the next page is; only that there is one is believed.
    pub(super) next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ActionLink {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) rel: String,
}

/// Something of ours that is listed page by page.
pub(super) trait Listed: DeserializeOwned + Send {
    /// The last part of its path.
    const NAME: &'static str;
    /// Its id, in an order that stays.
    type Id: Ord + Clone + Send + ToString;
    fn id(&self) -> Self::Id;
    fn tags(&self) -> &Tags;
}

/// Reads tags, which may be null.
fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<Tags, D::Error> {
    let tags: Option<Vec<String>> = Deserialize::deserialize(from)?;
    Ok(labels::read(&tags.unwrap_or_default()))
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Droplet {
    /// Ids grow.
    pub(super) id: u64,
    pub(super) status: String,
    /// An action runs on it.
    #[serde(default)]
    pub(super) locked: bool,
    #[serde(default)]
    networks: Networks,
    #[serde(default, deserialize_with = "tags")]
    pub(super) tags: Tags,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Networks {
    #[serde(default)]
    v4: Vec<Network>,
    #[serde(default)]
    v6: Vec<Network>,
}

#[derive(Debug, Clone, Deserialize)]
struct Network {
    ip_address: String,
    #[serde(rename = "type", default)]
    sort: String,
}

impl Listed for Droplet {
    const NAME: &'static str = "droplets";
    type Id = u64;

    fn id(&self) -> u64 {
        self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl Droplet {
    pub(super) const NEW: &'static str = "new";
    const OFF: &'static str = "off";
    const ARCHIVE: &'static str = "archive";

    /// Returns the key it was made under; `None` where it is not ours.
    pub(super) fn key(&self) -> Option<MachineKey> {
        machine_key(key_of(&self.tags)?)
    }

    pub(super) fn power(&self) -> Power {
        if [Self::OFF, Self::ARCHIVE].contains(&&*self.status) { Power::Off } else { Power::On }
    }

    /// Describes it under a key that is known to be its own.
    pub(super) fn machine(&self, key: MachineKey) -> Machine {
        let networks = self.networks.v4.iter().chain(&self.networks.v6);
        let public = networks.filter(|network| network.sort == "public");
        Machine::new(key, self.id.to_string(), labels_of(&self.tags))
            .with_power(self.power())
            .with_addresses(public.map(|network| network.ip_address.clone()).collect())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Volume {
    /// Ids are UUIDs of version 1, and in no order that means anything.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) size_gigabytes: u32,
    /// At most one.
    #[serde(default)]
    pub(super) droplet_ids: Option<Vec<u64>>,
    pub(super) region: VolumeRegion,
    #[serde(default, deserialize_with = "tags")]
    pub(super) tags: Tags,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct VolumeRegion {
    pub(super) slug: String,
}

impl Volume {
    /// Returns the droplet that it is attached to.
    pub(super) fn droplet(&self) -> Option<u64> {
        self.droplet_ids.as_ref()?.first().copied()
    }
}

impl Listed for Volume {
    const NAME: &'static str = "volumes";
    type Id = String;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Action {
    pub(super) id: u64,
    pub(super) status: String,
    #[serde(rename = "type", default)]
    pub(super) sort: String,
}

impl Action {
    pub(super) const COMPLETED: &'static str = "completed";
    pub(super) const ERRORED: &'static str = "errored";
    /// The action that makes a droplet.
    pub(super) const CREATE: &'static str = "create";

    /// One of which only the id is known.
    pub(super) fn started(id: u64) -> Self {
        Self { id, status: "in-progress".to_owned(), sort: Self::CREATE.to_owned() }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct OneAction {
    pub(super) action: Action,
}

#[derive(Debug, Deserialize)]
pub(super) struct OneDroplet {
    pub(super) droplet: Droplet,
    #[serde(default)]
    pub(super) links: Links,
}

#[derive(Debug, Deserialize)]
pub(super) struct OneVolume {
    pub(super) volume: Volume,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct SizeSold {
    pub(super) slug: String,
    pub(super) vcpus: u32,
    /// In MiB.
    pub(super) memory: u64,
    pub(super) price_hourly: serde_json::Number,
    #[serde(default)]
    pub(super) regions: Vec<String>,
    #[serde(default)]
    pub(super) available: bool,
    #[serde(default)]
    pub(super) gpu_info: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Region {
    pub(super) slug: String,
    #[serde(default)]
    pub(super) available: bool,
}

/// Asks for a droplet.
#[derive(Serialize)]
pub(super) struct NewDroplet<'a> {
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    pub(super) size: &'a str,
    pub(super) image: &'a str,
    pub(super) ipv6: bool,
    /// Their own program for their console; ours needs it not.
    pub(super) with_droplet_agent: bool,
    pub(super) tags: &'a [String],
    pub(super) user_data: &'a str,
}

#[derive(Serialize)]
pub(super) struct NewVolume<'a> {
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    pub(super) size_gigabytes: u32,
    pub(super) tags: &'a [String],
}
