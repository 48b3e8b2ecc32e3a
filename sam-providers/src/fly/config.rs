//! What a provider of machines at Fly is told.

use sam_core::Secret;
use sam_core::compute::{Labels, Size};
use sam_core::{Error, ErrorKind, Result};

use crate::api::{BaseUrl, UserData};

/// The organisation's token, the app, and what machines are made of.
///
/// ```
/// use sam_core::Secret;
/// use sam_providers::api::UserData;
/// use sam_providers::fly::{CpuKind, FlyConfig};
///
/// let boot = UserData::new(|boot| Ok(boot.token.clone()));
/// let token = Secret::new("token".to_owned());
/// let config = FlyConfig::new(token, "acme", "acme-sam", "registry.fly.io/acme-node:1", boot)
///     .with_installation("acme")
///     .with_regions(["ams", "fra"])
///     .with_cpu_kind(CpuKind::Performance);
/// assert!(!format!("{config:?}").contains("token\""));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FlyConfig {
    /// A token that may manage the organisation's apps.
    pub token: Secret<String>,
    /// Where the interface is.
    pub base_url: BaseUrl,
    /// The organisation, by its short name.
    pub org_slug: String,
    /// The app that all machines are in. It is made when it is absent; its name is taken from one
    /// namespace of all of Fly's customers.
    pub app: String,
    /// The value of the label [`Labels::INSTALLATION`] of everything in the app.
    pub installation: String,
    /// The image that machines start from.
    pub image: String,
    /// What runs in it; empty is what the image says. It runs whenever a machine is switched on.
    pub command: Vec<String>,
    /// Where machines may be. A request that names no region is tried in this order, each once, while
    /// the one before is sold out.
    pub regions: Vec<String>,
    /// Which processors machines have.
    pub cpu_kind: CpuKind,
    /// The size of each machine's volume, in GiB.
    pub disk_gib: u32,
    /// Where the volume is seen in a machine: what is outside of it may be lost when it is switched off.
    pub disk_path: String,
    /// Makes the file that a machine finds at [`FlyConfig::BOOT_PATH`].
    pub boot: UserData,
}

impl FlyConfig {
    /// Where Fly's interface is.
    pub const BASE_URL: &'static str = "https://api.machines.dev/v1";
    /// Where a machine finds what it is told.
    pub const BOOT_PATH: &'static str = "/etc/sam/boot";
    /// Where a machine's volume is.
    pub const DISK_PATH: &'static str = "/var/lib/sam";
    /// Amsterdam.
    pub const REGION: &'static str = "ams";
    /// What runs in a machine: the file that it was told, as a script.
    pub const COMMAND: [&'static str; 2] = ["/bin/sh", Self::BOOT_PATH];
    /// Largest volume that Fly makes, in GiB.
    pub const DISK_GIB_MAX: u32 = 500;

    /// Machines in one region with shared processors and 20 GiB; the installation is called as the app.
    pub fn new(
        token: Secret<String>,
        org_slug: impl Into<String>,
        app: impl Into<String>,
        image: impl Into<String>,
        boot: UserData,
    ) -> Self {
        let app = app.into();
        Self {
            token,
            base_url: BaseUrl::known(Self::BASE_URL),
            org_slug: org_slug.into(),
            installation: app.clone(),
            app,
            image: image.into(),
            command: Self::COMMAND.map(str::to_owned).to_vec(),
            regions: vec![Self::REGION.to_owned()],
            cpu_kind: CpuKind::Shared,
            disk_gib: 20,
            disk_path: Self::DISK_PATH.to_owned(),
            boot,
        }
    }

    /// Sets where the interface is.
    #[must_use]
    pub fn with_base_url(mut self, base_url: BaseUrl) -> Self {
        self.base_url = base_url;
        self
    }

    /// Sets the name of the installation that the app belongs to.
    #[must_use]
    pub fn with_installation(mut self, name: impl Into<String>) -> Self {
        self.installation = name.into();
        self
    }

    /// Sets what runs in the image.
    #[must_use]
    pub fn with_command<T: Into<String>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Sets where machines may be, in the order in which they are tried.
    #[must_use]
    pub fn with_regions<T: Into<String>>(mut self, codes: impl IntoIterator<Item = T>) -> Self {
        self.regions = codes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets which processors machines have.
    #[must_use]
    pub const fn with_cpu_kind(mut self, kind: CpuKind) -> Self {
        self.cpu_kind = kind;
        self
    }

    /// Sets the size of each machine's volume, in GiB, and where it is seen.
    #[must_use]
    pub fn with_disk(mut self, gib: u32, path: impl Into<String>) -> Self {
        self.disk_gib = gib;
        self.disk_path = path.into();
        self
    }

    /// Checks what can be checked without asking.
    ///
    /// # Errors
    /// `BadInput`, with what to set.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |message: &str, hint: &'static str| {
            Err(Error::new(ErrorKind::BadInput, message.to_owned()).with_hint(hint))
        };
        if self.regions.is_empty() {
            return wrong("no region is allowed", "allow at least one, such as ams");
        }
        if !(1..=Self::DISK_GIB_MAX).contains(&self.disk_gib) {
            return wrong("a machine's volume has no such size", "choose 1 to 500 GiB");
        }
        if !self.disk_path.starts_with('/') || self.disk_path.len() < 2 {
            return wrong("the volume's path is not absolute", "choose one such as /var/lib/sam");
        }
        Labels::default().with(Labels::INSTALLATION, &self.installation).map(drop)
    }
}

/// Which processors a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CpuKind {
    /// Its own.
    Performance,
    /// Shared with others, in bursts.
    #[default]
    Shared,
}

impl CpuKind {
    /// Returns Fly's word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Performance => "performance",
            Self::Shared => "shared",
        }
    }
}

/// Returns the processors and MiB of memory of a size.
pub(super) const fn parts(size: Size) -> (u32, u32) {
    match size {
        Size::Small => (2, 4_096),
        Size::Large => (8, 16_384),
        // Sizes that are new since then are medium until somebody says what they are here.
        _ => (4, 8_192),
    }
}
