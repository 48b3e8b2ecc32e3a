//! What Fly sends and takes: the members that are used, and nothing that is not needed.
//!
//! Members come and go, so whatever can be absent or null is allowed to be. States are texts: new ones
//! pass through. Neither files nor variables of a machine are read at all.

use std::collections::BTreeMap;

use sam_core::compute::{self, Labels, MachineKey, Power};
use serde::{Deserialize, Serialize};

use crate::api::{Tags, key_of, labels_of, machine_key};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Machine {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) instance_id: Option<String>,
    #[serde(default)]
    pub(super) private_ip: Option<String>,
    #[serde(default)]
    config: Option<Config>,
    /// What is left of the configuration where a host cannot be reached.
    #[serde(default)]
    incomplete_config: Option<Config>,
}

#[derive(Debug, Clone, Deserialize)]
struct Config {
    #[serde(default)]
    metadata: Option<Tags>,
    #[serde(default)]
    mounts: Option<Vec<Mounted>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Mounted {
    #[serde(default)]
    volume: Option<String>,
}

impl Machine {
    pub(super) const STARTED: &'static str = "started";
    pub(super) const STOPPED: &'static str = "stopped";
    pub(super) const STOPPING: &'static str = "stopping";
    pub(super) const SUSPENDED: &'static str = "suspended";
    pub(super) const FAILED: &'static str = "failed";
    pub(super) const DESTROYING: &'static str = "destroying";
    pub(super) const DESTROYED: &'static str = "destroyed";

    fn config(&self) -> Option<&Config> {
        self.config.as_ref().or(self.incomplete_config.as_ref())
    }

    fn tags(&self) -> Option<&Tags> {
        self.config()?.metadata.as_ref()
    }

    /// Returns the key it was made under, which is its name, too; `None` where it is not ours.
    pub(super) fn key(&self) -> Option<MachineKey> {
        key_of(self.tags()?).filter(|key| *key == self.name).and_then(machine_key)
    }

    pub(super) fn labels(&self) -> Labels {
        self.tags().map(labels_of).unwrap_or_default()
    }

    /// Returns whether it is off: it does not run, and nothing is under way.
    pub(super) fn is_off(&self) -> bool {
        [Self::STOPPED, Self::SUSPENDED].contains(&&*self.state)
    }

    /// Returns whether it goes, or is gone.
    pub(super) fn is_going(&self) -> bool {
        [Self::DESTROYING, Self::DESTROYED].contains(&&*self.state)
    }

    /// Returns whether a volume is its disk.
    pub(super) fn has_volume(&self, id: &str) -> bool {
        let mounts = self.config().and_then(|config| config.mounts.as_ref());
        mounts.into_iter().flatten().any(|mount| mount.volume.as_deref() == Some(id))
    }

    /// Describes it under a key that is known to be its own.
    pub(super) fn described(&self, key: MachineKey) -> compute::Machine {
        let power = if self.is_off() { Power::Off } else { Power::On };
        compute::Machine::new(key, self.id.clone(), self.labels())
            .with_power(power)
            .with_addresses(self.private_ip.clone().into_iter().collect())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Volume {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) region: String,
    #[serde(default)]
    pub(super) attached_machine_id: Option<String>,
}

impl Volume {
    /// Returns whether it is there. Deleted ones are shown for a day, in which Fly's support can bring
    /// them back.
    pub(super) fn is_there(&self) -> bool {
        !["scheduling_destroy", "pending_destroy", "destroying", "destroyed"]
            .contains(&&*self.state)
    }

    pub(super) fn machine(&self) -> Option<&str> {
        self.attached_machine_id.as_deref().filter(|id| !id.is_empty())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Secrets {
    #[serde(default)]
    pub(super) secrets: Option<Vec<NamedSecret>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NamedSecret {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Apps {
    #[serde(default)]
    pub(super) apps: Option<Vec<App>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct App {
    pub(super) name: String,
    #[serde(default)]
    pub(super) organization: Option<Organization>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Organization {
    #[serde(default)]
    pub(super) slug: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Regions {
    #[serde(default)]
    pub(super) regions: Option<Vec<Region>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Region {
    pub(super) code: String,
    #[serde(default)]
    pub(super) deprecated: Option<bool>,
}

/// A lease, in an envelope as the guide has it, or without one as the description has it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Lease {
    Wrapped { data: Nonce },
    Plain(Nonce),
}

#[derive(Deserialize)]
pub(super) struct Nonce {
    nonce: String,
}

impl Lease {
    pub(super) fn into_nonce(self) -> String {
        match self {
            Self::Wrapped { data } => data.nonce,
            Self::Plain(lease) => lease.nonce,
        }
    }
}

#[derive(Serialize)]
pub(super) struct NewApp<'a> {
    pub(super) name: &'a str,
    pub(super) org_slug: &'a str,
}

#[derive(Serialize)]
pub(super) struct NewVolume<'a> {
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    pub(super) size_gb: u32,
    pub(super) encrypted: bool,
    /// What the machine needs that it is for: it is made where there is room for both.
    pub(super) compute: Guest,
}

/// Asks for a machine.
#[derive(Serialize)]
pub(super) struct NewMachine<'a> {
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    pub(super) config: NewConfig<'a>,
}

#[derive(Serialize)]
pub(super) struct NewConfig<'a> {
    pub(super) image: &'a str,
    pub(super) guest: Guest,
    pub(super) metadata: &'a Tags,
    pub(super) files: [NewFile<'a>; 1],
    pub(super) mounts: [NewMount<'a>; 1],
    pub(super) processes: [NewProcess<'a>; 1],
    pub(super) restart: BTreeMap<&'static str, &'static str>,
    pub(super) auto_destroy: bool,
}

#[derive(Serialize, Clone, Copy)]
pub(super) struct Guest {
    pub(super) cpu_kind: &'static str,
    pub(super) cpus: u32,
    pub(super) memory_mb: u32,
}

/// A file whose content is a secret.
#[derive(Serialize)]
pub(super) struct NewFile<'a> {
    pub(super) guest_path: &'a str,
    pub(super) secret_name: &'a str,
    pub(super) mode: u32,
}

#[derive(Serialize)]
pub(super) struct NewMount<'a> {
    pub(super) volume: &'a str,
    pub(super) path: &'a str,
}

/// What runs. The secrets of an app are those of all its machines, and would be in the environment of
/// each: this process gets none of them.
#[derive(Serialize)]
pub(super) struct NewProcess<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) exec: &'a [String],
    pub(super) ignore_app_secrets: bool,
}
