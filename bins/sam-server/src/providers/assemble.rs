//! From what was said to providers that buy.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use sam_core::boot::{BootPlan, BootSettings};
use sam_core::compute::{ComputeProvider, ProviderName};
use sam_core::credential::Connect;
use sam_core::{Error, ErrorKind, Result, Secret};
use sam_providers::api::{Outside, UserData};
use sam_providers::digitalocean::{DigitalOceanCompute, DigitalOceanConfig};
use sam_providers::docker::{DockerCompute, DockerConfig};
use sam_providers::hetzner::{HetznerCompute, HetznerConfig};
use sam_providers::process::{ProcessCompute, ProcessConfig};

use super::settings::{CloudSettings, DockerSettings, ProviderSettings};

/// Hetzner's limit of user data, which is the narrowest we know.
const USER_DATA_BYTES_MAX: usize = 32 << 10;

/// What the providers of this computer are made of.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) nodes_dir: PathBuf,
    pub(crate) agent_command: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The directory of the socket that agents dial, and of nothing else.
    pub(crate) control_dir: PathBuf,
}

/// Makes every provider that is set up, the usual one first.
pub(crate) fn providers(
    settings: &ProviderSettings,
    local: Local,
    outside: impl FnOnce() -> Result<Outside>,
) -> Result<Vec<Arc<dyn ComputeProvider>>> {
    let program = local.agent_command.first().map(PathBuf::from);
    let process = ProcessConfig::new(local.nodes_dir, local.agent_command)
        .with_environment(local.environment);
    let mut all: Vec<Arc<dyn ComputeProvider>> = vec![Arc::new(ProcessCompute::new(process))];
    if let Some(docker) = &settings.docker {
        all.push(Arc::new(containers(docker, program, local.control_dir)?));
    }
    let bought = [(DIGITALOCEAN, &settings.digitalocean), (HETZNER, &settings.hetzner)];
    let bought = bought.map(|(vendor, cloud)| cloud.token.as_ref().map(|token| (vendor, token)));
    if bought.iter().any(Option::is_some) {
        let clouds = Clouds::new(settings, outside()?)?;
        for (vendor, token) in bought.into_iter().flatten() {
            all.push(clouds.connect(vendor, token)?);
        }
    }
    if let Some(usual) = &settings.usual {
        let name = |it: &Arc<dyn ComputeProvider>| it.to_string();
        let at = all.iter().position(|it| name(it) == usual.as_str()).ok_or_else(|| {
            let known: Vec<String> = all.iter().map(name).collect();
            let message = format!("SAM_PROVIDER is {usual}, which is not set up");
            Error::new(ErrorKind::BadInput, message)
                .with_hint(format!("set up are: {}", known.join(", ")))
        })?;
        let usual = all.remove(at);
        all.insert(0, usual);
    }
    Ok(all)
}

fn containers(
    settings: &DockerSettings,
    program: Option<PathBuf>,
    control_dir: PathBuf,
) -> Result<DockerCompute> {
    let mut config = DockerConfig::new(settings.socket.clone(), settings.image.clone())
        .with_control_dir(control_dir);
    config = match (settings.program.as_deref(), program) {
        (Some("image"), _) | (None, None) => config,
        (Some(path), _) => config.with_program(path.into()),
        // What becomes the agent of local nodes becomes that of containers, too.
        (None, Some(own)) => config.with_program(own),
    };
    if let Some(network) = &settings.network {
        config = config.with_network(network.clone());
    }
    if let Some(shown) = &settings.shown {
        config = config.with_shown(shown.clone());
    }
    DockerCompute::new(config)
}

/// Makes providers of machines in clouds, whoever pays for them.
#[derive(Debug)]
pub(crate) struct Clouds {
    digitalocean: CloudSettings,
    hetzner: CloudSettings,
    user_data: UserData,
    outside: Outside,
}

impl Clouds {
    /// Checks that machines of a cloud can become nodes at all.
    ///
    /// # Errors
    /// `BadInput` naming the variable that is missing.
    pub(crate) fn new(settings: &ProviderSettings, outside: Outside) -> Result<Self> {
        let missing = |what: &str, variable: &str| {
            Error::new(ErrorKind::BadInput, format!("machines of a cloud need {what}"))
                .with_hint(format!("set {variable}"))
        };
        if settings.control_url.is_none() {
            return Err(missing("an address of this control plane", "SAM_CONTROL_URL"));
        }
        let boot = settings.boot.clone();
        let boot = boot.ok_or_else(|| {
            missing("an agent to download", "SAM_AGENT_URL_X86_64 and SAM_AGENT_SHA256_X86_64")
        })?;
        let user_data = UserData::new(move |data| rendered(data, &boot));
        let (digitalocean, hetzner) = (settings.digitalocean.clone(), settings.hetzner.clone());
        Ok(Self { digitalocean, hetzner, user_data, outside })
    }

    fn digitalocean(&self, token: &Secret<String>) -> DigitalOceanCompute {
        let mut config = DigitalOceanConfig::new(token.clone(), self.user_data.clone());
        if let Some(base_url) = &self.digitalocean.base_url {
            config = config.with_base_url(base_url.clone());
        }
        if let Some(image) = &self.digitalocean.image {
            config = config.with_image(image.clone());
        }
        if !self.digitalocean.locations.is_empty() {
            config = config.with_regions(self.digitalocean.locations.clone());
        }
        DigitalOceanCompute::new(config, self.outside.clone())
    }

    fn hetzner(&self, token: &Secret<String>) -> HetznerCompute {
        let mut config = HetznerConfig::new(token.clone(), self.user_data.clone());
        if let Some(base_url) = &self.hetzner.base_url {
            config = config.with_base_url(base_url.clone());
        }
        if let Some(image) = &self.hetzner.image {
            config = config.with_image(image.clone());
        }
        if !self.hetzner.locations.is_empty() {
            config = config.with_locations(self.hetzner.locations.clone());
        }
        HetznerCompute::new(config, self.outside.clone())
    }
}

fn rendered(data: &sam_core::compute::BootData, boot: &BootSettings) -> Result<Secret<String>> {
    let text = BootPlan::new(data, boot)?.render(USER_DATA_BYTES_MAX)?;
    Ok(text.expose().clone())
}

/// Vendors whose tokens owners may store.
impl Connect for Clouds {
    fn vendors(&self) -> Vec<&'static str> {
        vec![DIGITALOCEAN, HETZNER]
    }

    fn connect(&self, vendor: &str, secret: &Secret<String>) -> Result<Arc<dyn ComputeProvider>> {
        match vendor {
            DIGITALOCEAN => Ok(Arc::new(self.digitalocean(secret))),
            HETZNER => Ok(Arc::new(self.hetzner(secret))),
            _ => {
                let shown: String = vendor.chars().take(ProviderName::VENDOR_BYTES_MAX).collect();
                let message = format!("credentials of {shown:?} cannot be stored");
                Err(Error::new(ErrorKind::Unsupported, message)
                    .with_hint(format!("those of {DIGITALOCEAN} and {HETZNER} can")))
            }
        }
    }
}

const DIGITALOCEAN: &str = "digitalocean";
const HETZNER: &str = "hetzner";
