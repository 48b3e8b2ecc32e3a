//! Where an installation buys its nodes: what is in this program, what is set up, and how it is shown.

mod assemble;
mod settings;
mod shown;

pub(crate) use self::assemble::{Clouds, Local, providers};
pub(crate) use self::settings::named_variable;
pub use self::settings::{CloudSettings, DockerSettings, ProviderSettings};
pub(crate) use self::shown::{missing, offered, stored, surveyed};

/// A vendor whose adapter is in this program.
#[derive(Debug)]
pub(crate) struct Vendor {
    /// What its providers are called.
    pub(crate) name: &'static str,
    /// What sets it up.
    pub(crate) set_up: &'static str,
}

/// Every vendor in this program.
pub(crate) const VENDORS: [Vendor; 4] = [
    Vendor {
        name: "digitalocean",
        set_up: "set SAM_DIGITALOCEAN_TOKEN, or store a token: `sam credential add digitalocean`",
    },
    Vendor { name: "docker", set_up: "set SAM_DOCKER_IMAGE" },
    Vendor {
        name: "hetzner",
        set_up: "set SAM_HETZNER_TOKEN, or store a token: `sam credential add hetzner`",
    },
    Vendor { name: "process", set_up: "it is always there: nodes are processes of this computer" },
];
