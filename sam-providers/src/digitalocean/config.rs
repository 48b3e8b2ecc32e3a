//! What a provider of machines at DigitalOcean is told.

use std::collections::BTreeMap;

use sam_core::Secret;
use sam_core::compute::Size;

use crate::api::{BaseUrl, UserData};

/// The team's token, where machines may be, and what they are made of.
///
/// ```
/// use sam_core::Secret;
/// use sam_core::compute::Size;
/// use sam_providers::api::UserData;
/// use sam_providers::digitalocean::DigitalOceanConfig;
///
/// let user_data = UserData::new(|boot| Ok(boot.token.clone()));
/// let config = DigitalOceanConfig::new(Secret::new("token".to_owned()), user_data)
///     .with_regions(["fra1", "ams3"])
///     .with_size(Size::Small, "s-2vcpu-4gb");
/// assert!(!format!("{config:?}").contains("token\""));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DigitalOceanConfig {
    /// The API token of one team, which may read and write droplets, volumes and tags.
    pub token: Secret<String>,
    /// Where the interface is, without its `/v2`.
    pub base_url: BaseUrl,
    /// The image that machines start from, by its slug.
    pub image: String,
    /// Where machines may be. A request that names no region is tried in this order, each once, while
    /// the one before is sold out.
    pub regions: Vec<String>,
    /// Sizes of DigitalOcean to use instead of the cheapest that fits, by their slugs.
    pub sizes: BTreeMap<Size, String>,
    /// Makes what a machine is told on its first boot.
    pub user_data: UserData,
}

impl DigitalOceanConfig {
    /// Where DigitalOcean's interface is.
    pub const BASE_URL: &'static str = "https://api.digitalocean.com";
    /// A system image with long support.
    pub const IMAGE: &'static str = "ubuntu-24-04-x64";
    /// Frankfurt.
    pub const REGION: &'static str = "fra1";

    /// Machines in one region.
    pub fn new(token: Secret<String>, user_data: UserData) -> Self {
        Self {
            token,
            base_url: BaseUrl::known(Self::BASE_URL),
            image: Self::IMAGE.to_owned(),
            regions: vec![Self::REGION.to_owned()],
            sizes: BTreeMap::new(),
            user_data,
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
    pub fn with_image(mut self, slug: impl Into<String>) -> Self {
        self.image = slug.into();
        self
    }

    /// Sets where machines may be, in the order in which they are tried.
    #[must_use]
    pub fn with_regions<T: Into<String>>(mut self, slugs: impl IntoIterator<Item = T>) -> Self {
        self.regions = slugs.into_iter().map(Into::into).collect();
        self
    }

    /// Uses a size of DigitalOcean for one of ours. One that is not sold any more is replaced by the
    /// cheapest of today that has as much of everything.
    #[must_use]
    pub fn with_size(mut self, size: Size, slug: impl Into<String>) -> Self {
        self.sizes.insert(size, slug.into());
        self
    }
}
