//! What Hetzner sends and takes: the members that are used, and nothing that is not needed.
//!
//! Members come and go (`datacenter` is gone since July 2026), so whatever can be absent or null is
//! allowed to be. The root password of a new server is not read at all.

use std::net::Ipv6Addr;

use sam_core::compute::{Machine, MachineKey, Power};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::api::{Tags, key_of, labels_of, machine_key};

/// One page of anything.
#[derive(Debug, Deserialize)]
pub(super) struct Listing<T> {
    #[serde(
        alias = "actions",
        alias = "firewalls",
        alias = "primary_ips",
        alias = "server_types",
        alias = "servers",
        alias = "volumes"
    )]
    pub(super) items: Vec<T>,
    #[serde(default)]
    pub(super) meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub(super) pagination: Pagination,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Pagination {
    pub(super) next_page: Option<u64>,
}

/// Something that is listed page by page.
pub(super) trait Listed: DeserializeOwned + Send {
    /// Its path.
    const PATH: &'static str;
    fn id(&self) -> u64;
    fn name(&self) -> &str;
    fn tags(&self) -> &Tags;
}

macro_rules! listed {
    ($($type:ident $path:literal),+) => {$(
        impl Listed for $type {
            const PATH: &'static str = $path;

            fn id(&self) -> u64 {
                self.id
            }

            fn name(&self) -> &str {
                &self.name
            }

            fn tags(&self) -> &Tags {
                &self.labels
            }
        }
    )+};
}

listed!(Server "/servers", Volume "/volumes", Firewall "/firewalls", PrimaryIp "/primary_ips");

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Server {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) labels: Tags,
    #[serde(default)]
    pub(super) public_net: PublicNet,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PublicNet {
    pub(super) ipv4: Option<Address>,
    pub(super) ipv6: Option<Address>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Address {
    pub(super) id: Option<u64>,
    pub(super) ip: String,
}

impl Server {
    pub(super) const OFF: &'static str = "off";
    pub(super) const STOPPING: &'static str = "stopping";
    pub(super) const DELETING: &'static str = "deleting";
    pub(super) const INITIALIZING: &'static str = "initializing";

    /// Returns the key it was made under; `None` where it is not ours.
    pub(super) fn key(&self) -> Option<MachineKey> {
        machine_key(key_of(&self.labels)?)
    }

    /// Describes it under a key that is known to be its own.
    pub(super) fn machine(&self, key: MachineKey) -> Machine {
        let power = if self.status == Self::OFF { Power::Off } else { Power::On };
        let v4 = self.public_net.ipv4.as_ref().map(|address| address.ip.clone());
        let v6 = self.public_net.ipv6.as_ref().and_then(|address| first_host(&address.ip));
        Machine::new(key, self.id.to_string(), labels_of(&self.labels))
            .with_power(power)
            .with_addresses(v4.into_iter().chain(v6).collect())
    }

    /// Returns the ids of its addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = u64> {
        let net = &self.public_net;
        [&net.ipv4, &net.ipv6].into_iter().flatten().filter_map(|address| address.id)
    }
}

/// A server gets a whole network of version 6 (`2001:db8:1::/64`), and answers under its first address.
fn first_host(network: &str) -> Option<String> {
    let start: Ipv6Addr = network.split('/').next()?.parse().ok()?;
    let first = u128::from(start).checked_add(u128::from(network.contains('/')))?;
    Some(Ipv6Addr::from(first).to_string())
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Volume {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) size: serde_json::Number,
    pub(super) server: Option<u64>,
    #[serde(default)]
    pub(super) labels: Tags,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Firewall {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) labels: Tags,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct PrimaryIp {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) labels: Tags,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Action {
    pub(super) id: u64,
    pub(super) command: String,
    pub(super) status: String,
    /// Means something only where the status is `error`.
    pub(super) error: Option<ActionError>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ActionError {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

/// What was made, and what goes on for it. Where nothing is made, `T` is `IgnoredAny`.
#[derive(Debug, Deserialize)]
pub(super) struct Started<T> {
    #[serde(flatten)]
    pub(super) made: T,
    pub(super) action: Option<Action>,
    #[serde(default)]
    pub(super) next_actions: Vec<Action>,
}

impl<T> Started<T> {
    /// Splits what was made from what goes on.
    pub(super) fn split(self) -> (T, Vec<Action>) {
        (self.made, self.action.into_iter().chain(self.next_actions).collect())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct OneServer {
    pub(super) server: Server,
}

#[derive(Debug, Deserialize)]
pub(super) struct OneVolume {
    pub(super) volume: Volume,
}

#[derive(Debug, Deserialize)]
pub(super) struct OneFirewall {
    pub(super) firewall: Firewall,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ServerType {
    pub(super) name: String,
    pub(super) cores: serde_json::Number,
    /// In GiB.
    pub(super) memory: serde_json::Number,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) deprecated: Option<bool>,
    #[serde(default)]
    pub(super) deprecation: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) prices: Vec<Price>,
    #[serde(default)]
    pub(super) locations: Vec<TypeLocation>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct TypeLocation {
    pub(super) name: String,
    #[serde(default)]
    pub(super) deprecation: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) available: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Price {
    pub(super) location: String,
    pub(super) price_hourly: Amount,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Amount {
    pub(super) gross: String,
}

/// Asks for a server.
#[derive(Serialize)]
pub(super) struct NewServer<'a> {
    pub(super) name: &'a str,
    pub(super) server_type: &'a str,
    pub(super) image: &'a str,
    pub(super) location: &'a str,
    pub(super) labels: &'a Tags,
    pub(super) user_data: &'a str,
    pub(super) start_after_create: bool,
    pub(super) public_net: NewNet,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) firewalls: Vec<UseFirewall>,
}

#[derive(Serialize)]
pub(super) struct NewNet {
    pub(super) enable_ipv4: bool,
    pub(super) enable_ipv6: bool,
}

#[derive(Serialize)]
pub(super) struct UseFirewall {
    pub(super) firewall: u64,
}

#[derive(Serialize)]
pub(super) struct NewFirewall<'a> {
    pub(super) name: &'a str,
    pub(super) labels: &'a Tags,
    pub(super) rules: Vec<NewRule<'a>>,
}

#[derive(Serialize)]
pub(super) struct NewRule<'a> {
    pub(super) direction: &'static str,
    pub(super) protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<&'a str>,
    pub(super) source_ips: &'a [String],
}

#[derive(Serialize)]
pub(super) struct NewVolume<'a> {
    pub(super) name: &'a str,
    pub(super) size: u32,
    pub(super) location: &'a str,
    pub(super) labels: &'a Tags,
}

/// Says of an address whose it is, and that it goes with its server.
#[derive(Serialize)]
pub(super) struct MarkAddress<'a> {
    pub(super) labels: &'a Tags,
    pub(super) auto_delete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_shown_as_its_first_address() {
        assert_eq!(first_host("2001:db8:1::/64").as_deref(), Some("2001:db8:1::1"));
        assert_eq!(first_host("2001:db8:1::7").as_deref(), Some("2001:db8:1::7"));
        assert_eq!(first_host("nonsense"), None);
    }
}
