//! What is said of providers, read from the environment: tokens do not belong into files that people
//! show each other.

use std::path::PathBuf;

use sam_core::boot::{AgentRelease, Arch, BootSettings, Download};
use sam_core::compute::ProviderName;
use sam_core::{Error, ErrorKind, Result, Secret};
use sam_providers::api::BaseUrl;

/// Where nodes are bought. An empty variable is an unset one.
///
/// | variable | holds |
/// |---|---|
/// | `SAM_PROVIDER` | the provider that is used where nobody names one; `process` when unset |
/// | `SAM_DOCKER_IMAGE` | the image of nodes that are containers; sets `docker` up |
/// | `SAM_DOCKER_SOCKET` | the engine's socket; `unix:/var/run/docker.sock` when unset |
/// | `SAM_DOCKER_NETWORK` | the network of its nodes; `sam-nodes` when unset |
/// | `SAM_DOCKER_PROGRAM` | the `sam` program that is shown in its nodes; the image holds it when it is `image` |
/// | `SAM_DOCKER_SHOWN` | a directory of this computer that its nodes see, read-only |
/// | `SAM_HETZNER_TOKEN` | the token of a Hetzner Cloud project; sets `hetzner` up. `HCLOUD_TOKEN` is read as well |
/// | `SAM_HETZNER_LOCATIONS` | where its machines may be, in order: `fsn1,nbg1` |
/// | `SAM_HETZNER_IMAGE` | what they start from. `HETZNER_BASE_IMAGE` is read as well |
/// | `SAM_HETZNER_BASE_URL` | where Hetzner's interface is |
/// | `SAM_DIGITALOCEAN_TOKEN` | the token of a DigitalOcean team; sets `digitalocean` up. `DIGITALOCEAN_ACCESS_TOKEN` is read as well |
/// | `SAM_DIGITALOCEAN_LOCATIONS`, `SAM_DIGITALOCEAN_IMAGE`, `SAM_DIGITALOCEAN_BASE_URL` | as for Hetzner |
/// | `SAM_CONTROL_URL` | where machines of a cloud reach this control plane: `https://…` |
/// | `SAM_AGENT_URL_X86_64`, `SAM_AGENT_SHA256_X86_64` | the agent that they download, and its SHA-256 in hex |
/// | `SAM_AGENT_URL_AARCH64`, `SAM_AGENT_SHA256_AARCH64` | the same for the other processor |
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ProviderSettings {
    /// The one that is used where nobody names one.
    pub usual: Option<ProviderName>,
    /// Containers of this computer.
    pub docker: Option<DockerSettings>,
    /// Machines at DigitalOcean.
    pub digitalocean: CloudSettings,
    /// Machines at Hetzner.
    pub hetzner: CloudSettings,
    /// Where machines of a cloud reach the control plane.
    pub control_url: Option<String>,
    /// What machines of a cloud become.
    pub boot: Option<BootSettings>,
}

/// Containers as nodes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DockerSettings {
    /// The engine's socket.
    pub socket: String,
    /// The image of nodes.
    pub image: String,
    /// Their network, where it is not the usual one.
    pub network: Option<String>,
    /// The program shown in them; the image holds it when this is `image`.
    pub program: Option<String>,
    /// A directory that they see.
    pub shown: Option<PathBuf>,
}

/// Machines of a cloud, whoever pays for them.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CloudSettings {
    /// The token of the installation's own account.
    pub token: Option<Secret<String>>,
    /// Where machines may be; the adapter's own list when empty.
    pub locations: Vec<String>,
    /// What they start from.
    pub image: Option<String>,
    /// Where the interface is.
    pub base_url: Option<BaseUrl>,
}

impl ProviderSettings {
    /// Reads the variables.
    ///
    /// # Errors
    /// `BadInput` naming the variable.
    pub fn from_environment(read: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = |name: &str| read(name).filter(|value| !value.trim().is_empty());
        let usual = read("SAM_PROVIDER").map(|name| name.trim().parse());
        Ok(Self {
            usual: usual.transpose().map_err(named_variable("SAM_PROVIDER"))?,
            docker: read("SAM_DOCKER_IMAGE").map(|image| DockerSettings {
                image,
                socket: read("SAM_DOCKER_SOCKET").unwrap_or_else(|| DOCKER_SOCKET.to_owned()),
                network: read("SAM_DOCKER_NETWORK"),
                program: read("SAM_DOCKER_PROGRAM"),
                shown: read("SAM_DOCKER_SHOWN").map(PathBuf::from),
            }),
            digitalocean: cloud(&read, &DIGITALOCEAN)?,
            hetzner: cloud(&read, &HETZNER)?,
            control_url: read("SAM_CONTROL_URL").map(|url| control_url(&url)).transpose()?,
            boot: boot(&read)?,
        })
    }
}

/// What the variables of a cloud are called: ours first, then what others call them.
struct CloudVariables {
    token: [&'static str; 2],
    locations: &'static str,
    image: [&'static str; 2],
    base_url: &'static str,
}

const DIGITALOCEAN: CloudVariables = CloudVariables {
    token: ["SAM_DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"],
    locations: "SAM_DIGITALOCEAN_LOCATIONS",
    image: ["SAM_DIGITALOCEAN_IMAGE"; 2],
    base_url: "SAM_DIGITALOCEAN_BASE_URL",
};
const HETZNER: CloudVariables = CloudVariables {
    token: ["SAM_HETZNER_TOKEN", "HCLOUD_TOKEN"],
    locations: "SAM_HETZNER_LOCATIONS",
    image: ["SAM_HETZNER_IMAGE", "HETZNER_BASE_IMAGE"],
    base_url: "SAM_HETZNER_BASE_URL",
};

fn cloud(read: &impl Fn(&str) -> Option<String>, names: &CloudVariables) -> Result<CloudSettings> {
    let first = |names: &[&str]| names.iter().find_map(|name| read(name));
    let locations = read(names.locations).unwrap_or_default();
    let listed = locations.split(',').map(str::trim).filter(|name| !name.is_empty());
    let base_url = read(names.base_url).map(|url| url.parse()).transpose();
    Ok(CloudSettings {
        token: first(&names.token).map(Secret::new),
        locations: listed.map(str::to_owned).collect(),
        image: first(&names.image),
        base_url: base_url.map_err(named_variable(names.base_url))?,
    })
}

const DOCKER_SOCKET: &str = "unix:/var/run/docker.sock";

fn control_url(url: &str) -> Result<String> {
    let url = url.trim().trim_end_matches('/');
    let base: BaseUrl = url.parse().map_err(named_variable("SAM_CONTROL_URL"))?;
    if base.as_str().contains(',') {
        return Err(Error::new(ErrorKind::BadInput, "SAM_CONTROL_URL is not one address"));
    }
    Ok(base.as_str().to_owned())
}

/// Reads what machines download; nothing where no agent is named.
fn boot(read: &impl Fn(&str) -> Option<String>) -> Result<Option<BootSettings>> {
    let mut release: Option<AgentRelease> = None;
    for (arch, url_name, sum_name) in [
        (Arch::X86_64, "SAM_AGENT_URL_X86_64", "SAM_AGENT_SHA256_X86_64"),
        (Arch::Aarch64, "SAM_AGENT_URL_AARCH64", "SAM_AGENT_SHA256_AARCH64"),
    ] {
        let download = match (read(url_name), read(sum_name)) {
            (None, None) => continue,
            (Some(url), Some(sum)) => {
                Download::new(url.trim(), sum.trim()).map_err(named_variable(url_name))?
            }
            (Some(_), None) | (None, Some(_)) => {
                let message =
                    format!("{url_name} and {sum_name} belong together, and one is not set");
                return Err(Error::new(ErrorKind::BadInput, message));
            }
        };
        release = Some(match release {
            None => AgentRelease::new(arch, download),
            Some(others) => others.with(arch, download),
        });
    }
    Ok(release.map(BootSettings::new))
}

/// Says which variable it was.
pub(crate) fn named_variable(variable: &'static str) -> impl Fn(Error) -> Error {
    move |error| {
        let hint = error.hint().unwrap_or("see the guide to providers").to_owned();
        Error::new(ErrorKind::BadInput, format!("{variable}: {}", error.public_message()))
            .with_hint(hint)
            .with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<ProviderSettings> {
        ProviderSettings::from_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_said_is_read_and_secrets_are_not_shown() {
        let sum = "0".repeat(64);
        let settings = with(&[
            ("SAM_PROVIDER", "hetzner"),
            ("SAM_DOCKER_IMAGE", "node"),
            ("HCLOUD_TOKEN", "canary"),
            ("SAM_DIGITALOCEAN_TOKEN", "canary-too"),
            ("SAM_HETZNER_LOCATIONS", "fsn1, nbg1,"),
            ("SAM_CONTROL_URL", "https://sam.example.com/"),
            ("SAM_AGENT_URL_AARCH64", "https://sam.example.com/agent"),
            ("SAM_AGENT_SHA256_AARCH64", &sum),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.usual.as_ref().unwrap().as_str(), "hetzner");
        assert_eq!(settings.docker.as_ref().unwrap().socket, DOCKER_SOCKET);
        assert!(settings.hetzner.token.is_some() && settings.digitalocean.token.is_some());
        assert_eq!(settings.hetzner.locations, ["fsn1", "nbg1"]);
        assert_eq!(settings.control_url.as_deref(), Some("https://sam.example.com"));
        assert!(settings.boot.is_some());
        assert!(!format!("{settings:?}").contains("canary"));
        let nothing = with(&[("SAM_HETZNER_TOKEN", " ")]).unwrap();
        assert!(nothing.hetzner.token.is_none() && nothing.docker.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (variables, named) in [
            (vec![("SAM_PROVIDER", "Nowhere!")], "SAM_PROVIDER"),
            (vec![("SAM_CONTROL_URL", "http://sam.example.com")], "SAM_CONTROL_URL"),
            (vec![("SAM_HETZNER_BASE_URL", "canary")], "SAM_HETZNER_BASE_URL"),
            (vec![("SAM_AGENT_URL_X86_64", "https://a.example/x")], "SAM_AGENT_SHA256_X86_64"),
        ] {
            let error = with(&variables).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            let told = error.to_string();
            assert!(told.contains(named) && !told.contains("canary"), "{told}");
        }
    }
}
