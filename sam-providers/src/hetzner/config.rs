//! What a provider of machines at Hetzner is told.

use std::collections::BTreeMap;

use sam_core::Secret;
use sam_core::compute::Size;

use crate::api::{BaseUrl, UserData};

/// The project's token, where machines may be, and what they are made of.
///
/// ```
/// use sam_core::Secret;
/// use sam_core::compute::Size;
/// use sam_providers::api::UserData;
/// use sam_providers::hetzner::{HetznerConfig, InboundRule};
///
/// let user_data = UserData::new(|boot| Ok(boot.token.clone()));
/// let config = HetznerConfig::new(Secret::new("token".to_owned()), user_data)
///     .with_locations(["fsn1", "nbg1"])
///     .with_server_type(Size::Small, "cx23")
///     .with_inbound([InboundRule::tcp("22").with_sources(["192.0.2.0/24"])]);
/// assert!(!format!("{config:?}").contains("token\""));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HetznerConfig {
    /// The API token of one project, with the permission Read & Write.
    pub token: Secret<String>,
    /// Where the interface is.
    pub base_url: BaseUrl,
    /// The image that machines start from, by its name at Hetzner.
    pub image: String,
    /// Where machines may be. A request that names no region is tried in this order, each once, while
    /// the one before is sold out.
    pub locations: Vec<String>,
    /// Types to use instead of the cheapest that fits.
    pub server_types: BTreeMap<Size, String>,
    /// Makes what a machine is told on its first boot.
    pub user_data: UserData,
    /// What may come in; `None` is no firewall at all.
    pub firewall: Option<Vec<InboundRule>>,
    /// Whether machines get an address of version 4, which is paid for apart.
    pub ipv4: bool,
}

impl HetznerConfig {
    /// Where Hetzner's interface is.
    pub const BASE_URL: &'static str = "https://api.hetzner.cloud/v1";
    /// A system image with long support.
    pub const IMAGE: &'static str = "ubuntu-24.04";
    /// Falkenstein.
    pub const LOCATION: &'static str = "fsn1";

    /// Machines in one location, behind a firewall that lets nothing in: a node dials out.
    pub fn new(token: Secret<String>, user_data: UserData) -> Self {
        Self {
            token,
            base_url: BaseUrl::known(Self::BASE_URL),
            image: Self::IMAGE.to_owned(),
            locations: vec![Self::LOCATION.to_owned()],
            server_types: BTreeMap::new(),
            user_data,
            firewall: Some(Vec::new()),
            ipv4: true,
        }
    }

    /// Sets where the interface is.
    #[must_use]
    pub fn with_base_url(mut self, base_url: BaseUrl) -> Self {
        self.base_url = base_url;
        self
    }

    /// Sets the image.
    #[must_use]
    pub fn with_image(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self
    }

    /// Sets where machines may be, in the order in which they are tried.
    #[must_use]
    pub fn with_locations<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.locations = names.into_iter().map(Into::into).collect();
        self
    }

    /// Uses a type for a size. One that is retired is replaced by the cheapest of today that has as
    /// much of everything.
    #[must_use]
    pub fn with_server_type(mut self, size: Size, name: impl Into<String>) -> Self {
        self.server_types.insert(size, name.into());
        self
    }

    /// Sets what may come in.
    #[must_use]
    pub fn with_inbound(mut self, rules: impl IntoIterator<Item = InboundRule>) -> Self {
        self.firewall = Some(rules.into_iter().collect());
        self
    }

    /// Leaves the firewall out: everything may come in.
    #[must_use]
    pub fn without_firewall(mut self) -> Self {
        self.firewall = None;
        self
    }

    /// Leaves the address of version 4 out.
    #[must_use]
    pub fn without_ipv4(mut self) -> Self {
        self.ipv4 = false;
        self
    }
}

/// Something that a firewall lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboundRule {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: &'static str,
    /// A port or a range, `22` or `3000-3999`; none for `icmp`.
    pub ports: Option<String>,
    /// Networks it may come from.
    pub sources: Vec<String>,
}

impl InboundRule {
    /// Lets TCP in from anywhere, to a port or a range of ports.
    pub fn tcp(ports: impl Into<String>) -> Self {
        Self::new("tcp", Some(ports.into()))
    }

    /// Lets UDP in from anywhere, to a port or a range of ports.
    pub fn udp(ports: impl Into<String>) -> Self {
        Self::new("udp", Some(ports.into()))
    }

    /// Lets echo requests and their kind in from anywhere.
    pub fn icmp() -> Self {
        Self::new("icmp", None)
    }

    /// Sets the networks it may come from.
    #[must_use]
    pub fn with_sources<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.sources = networks.into_iter().map(Into::into).collect();
        self
    }

    fn new(protocol: &'static str, ports: Option<String>) -> Self {
        Self { protocol, ports, sources: vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()] }
    }
}
