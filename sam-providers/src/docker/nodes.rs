//! Containers as nodes: made once for a key, started when their boot data are in, removed with all
//! that was made for them.
//!
//! Every step looks at the engine first, so a creation or deletion that was broken off, wherever, is
//! finished by the next call: what is there is adopted, a container that was never started is given
//! its boot data (again) and started. A container that was started once is left as it is.

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, VolumeCreateRequest,
};
use sam_core::compute::{CreateMachine, Deletion, Labels, Machine, MachineKey, Power};
use sam_core::{Effect, Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tracing::info;

use super::Local;
use super::client::{Done, STOP_SECONDS};
use super::map::{self, Found, Limits, Phase};
use super::wire::{Mark, boot_archive, node_dir};

/// Most rounds of looking and acting in one creation: others may create and delete the same key.
const ROUNDS_MAX: usize = 4;

/// Names the node to its holder, as on every other provider.
const NODE_ID: &str = "SAM_NODE_ID";

/// Most bytes of a node's output that the engine keeps, and in how many files.
const LOG_OPTIONS: [(&str, &str); 2] = [("max-size", "8m"), ("max-file", "2")];

/// Microseconds in which a processor's share is counted.
const CPU_PERIOD: i64 = 100_000;

impl Local {
    /// Finds the machine of a key; `None` also for a container that somebody else gave the name.
    pub(super) async fn find(&self, key: &MachineKey) -> Result<Option<Found>> {
        map::check_key(key.as_str())?;
        Ok(self.client.container(key.as_str()).await?.and_then(Found::inspected))
    }

    /// Creates the machine of a key, or adopts it.
    ///
    /// # Errors
    /// `BadInput`, `Conflict`; those of the engine.
    pub(super) async fn create(&self, request: &CreateMachine) -> Result<Machine> {
        let key = &request.key;
        map::check_key(key.as_str())?;
        if let Some(region) = &request.region {
            return Err(Error::new(ErrorKind::BadInput, format!("there is no region {region:?}"))
                .with_hint("leave the region out: the engine's computer is the only place"));
        }
        let body = Box::new(self.body(request)?);
        let _one = self.switching(key).await;
        // Once a round was tried, something may be there, whatever the next one meets.
        let mut tried = Effect::NotApplied;
        for _ in 0..ROUNDS_MAX {
            let again = |error: Error| if tried == Effect::Unknown { bought(error) } else { error };
            let Some(container) = self.client.container(key.as_str()).await.map_err(again)? else {
                Box::pin(self.make(request, body.clone())).await.map_err(again)?;
                tried = Effect::Unknown;
                continue;
            };
            let Some(found) = Found::inspected(container) else {
                return Err(map::foreign("container", key.as_str()));
            };
            match found.phase {
                Phase::Fresh => return self.begin(request).await,
                Phase::Off | Phase::On | Phase::Paused => return Ok(found.machine),
                Phase::Removing => {
                    if self.remove(key).await? != Deletion::Gone {
                        return Err(map::removing(key.as_str()));
                    }
                }
            }
        }
        Err(bought(map::removing(key.as_str())))
    }

    /// Makes volume and container. The next look tells whether it is there: one that somebody else
    /// makes at the same time is as good, and image or network may go while it is made.
    async fn make(&self, request: &CreateMachine, body: Box<ContainerCreateBody>) -> Result<()> {
        if !self.client.has_image(&self.config.image).await? {
            return Err(map::no_image(&self.config.image));
        }
        let key = request.key.as_str();
        let _shared = self.network.read().await;
        self.ensure_network(&request.labels).await.map_err(bought)?;
        let mark = Mark::new(Some(key.to_owned()), request.labels.clone());
        let volume = VolumeCreateRequest {
            name: Some(key.to_owned()),
            labels: Some(mark.labels()),
            ..Default::default()
        };
        let volume = self.client.create_volume(volume).await.map_err(bought)?;
        if Mark::of_machine(key, Some(&volume.labels)).is_none() {
            return Err(bought(map::foreign("volume", key)));
        }
        let first = self.client.create_container(key, body.clone()).await;
        if matches!(first, Ok(Done::Conflict | Done::Yes)) {
            return Ok(());
        }
        // Another process may have removed the network since: engines say so each in their own way.
        self.ensure_network(&request.labels).await.map_err(bought)?;
        self.client.create_container(key, body).await.map_err(bought)?;
        Ok(())
    }

    /// Puts the boot data in and starts the container for the first time.
    async fn begin(&self, request: &CreateMachine) -> Result<Machine> {
        let key = &request.key;
        let archive = boot_archive(&request.boot);
        let uploaded = self.client.upload(key.as_str(), &node_dir(key.as_str()), &archive).await;
        if uploaded.map_err(bought)? != Done::Yes {
            return Err(bought(map::removing(key.as_str())));
        }
        self.start(key, &request.labels).await.map_err(bought)?;
        let found = self.find(key).await.map_err(bought)?;
        let found = found.ok_or_else(|| bought(map::removing(key.as_str())))?;
        if found.phase != Phase::On {
            let printed = self.client.output(key.as_str()).await;
            let message = format!("the node of {key} ended at once; it printed: {printed}");
            return Err(bought(Error::new(ErrorKind::Unavailable, message).with_hint(
                "check that the image can run the program; delete the machine before trying again",
            )));
        }
        info!(node.id = %key, "a container was started as a node");
        Ok(found.machine)
    }

    /// Starts a container whose network may be gone.
    async fn start(&self, key: &MachineKey, labels: &Labels) -> Result<()> {
        let first = self.client.start(key.as_str()).await;
        if matches!(first, Ok(Done::Yes)) {
            return Ok(());
        }
        // It does not say what it misses; only the network can be made again. A container remembers
        // it by its id, so it must be told of the new one; where it knows it, that changes nothing.
        let _shared = self.network.read().await;
        self.ensure_network(labels).await?;
        self.client.connect(&self.config.network, key.as_str()).await?;
        match self.client.start(key.as_str()).await? {
            Done::Yes => Ok(()),
            Done::Absent => Err(map::not_found(key)),
            Done::Conflict => Err(map::removing(key.as_str())),
        }
    }

    /// Switches a machine.
    ///
    /// # Errors
    /// `NotFound`; those of the engine.
    pub(super) async fn switch(&self, key: &MachineKey, power: Power) -> Result<()> {
        let _one = self.switching(key).await;
        let found = self.find(key).await?.ok_or_else(|| map::not_found(key))?;
        match power {
            Power::On => {
                if found.phase != Phase::Paused {
                    return self.start(key, &found.machine.labels).await;
                }
                match self.client.unpause(key.as_str()).await? {
                    // It runs already, or ended meanwhile: a start is right for both.
                    Done::Conflict => self.start(key, &found.machine.labels).await,
                    Done::Absent => Err(map::not_found(key)),
                    Done::Yes => Ok(()),
                }
            }
            Power::Off => match self.client.stop(key.as_str()).await? {
                Done::Absent => Err(map::not_found(key)),
                Done::Conflict => Err(map::removing(key.as_str())),
                Done::Yes => Ok(()),
            },
            other => Err(Error::new(
                ErrorKind::BadInput,
                format!("a container cannot be switched to {other:?}"),
            )),
        }
    }

    /// Deletes the machine of a key with everything that was made for it.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) async fn delete(&self, key: &MachineKey) -> Result<Deletion> {
        map::check_key(key.as_str())?;
        let _one = self.switching(key).await;
        self.remove(key).await
    }

    async fn remove(&self, key: &MachineKey) -> Result<Deletion> {
        if let Some(found) = self.find(key).await? {
            // By its id: under the name there may be another by now.
            let removed = self.client.remove_container(&found.machine.provider_id).await?;
            if removed == Done::Conflict {
                return Ok(Deletion::InProgress);
            }
            info!(node.id = %key, "the container of a node was removed");
        }
        if self.delete_volume(key.as_str()).await? == Done::Conflict {
            return Ok(Deletion::InProgress);
        }
        self.remove_unused_network().await?;
        Ok(Deletion::Gone)
    }

    /// Removes the volume of a machine, unless somebody else made it.
    pub(super) async fn delete_volume(&self, name: &str) -> Result<Done> {
        let volume = self.client.volume(name).await?;
        match volume.and_then(|volume| Mark::of_machine(name, Some(&volume.labels))) {
            Some(_) => self.client.remove_volume(name).await,
            None => Ok(Done::Absent),
        }
    }

    /// Holds the right to change the machine of a key among the calls of this process. Others are
    /// reckoned with: they see each step as it is.
    async fn switching(&self, key: &MachineKey) -> tokio::sync::MutexGuard<'_, ()> {
        let sum = key
            .as_str()
            .bytes()
            .fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        self.switching[sum % self.switching.len()].lock().await
    }

    /// Describes the container of a request.
    fn body(&self, request: &CreateMachine) -> Result<ContainerCreateBody> {
        let key = request.key.as_str();
        let dir = node_dir(key);
        let (program, arguments) = self.config.node_command.split_first().unzip();
        let mut command = arguments.map(<[String]>::to_vec).unwrap_or_default();
        command.extend(["holder", "--dir", &dir].map(str::to_owned));
        let given = self.config.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let mark = Mark::new(Some(key.to_owned()), request.labels.clone());
        Ok(ContainerCreateBody {
            image: Some(self.config.image.clone()),
            hostname: Some(key.to_owned()),
            // Of the container, whatever the image says: its volumes and sockets are root's.
            user: Some("0:0".to_owned()),
            working_dir: Some("/".to_owned()),
            entrypoint: Some(program.cloned().into_iter().collect()),
            cmd: Some(command),
            env: Some(given.chain([format!("{NODE_ID}={key}")]).collect()),
            labels: Some(mark.labels()),
            stop_signal: Some("SIGTERM".to_owned()),
            stop_timeout: Some(STOP_SECONDS.into()),
            host_config: Some(self.host(request, &dir)?),
            ..Default::default()
        })
    }

    fn host(&self, request: &CreateMachine, dir: &str) -> Result<HostConfig> {
        let limits = Limits::of(request.size);
        let memory = i64::from(limits.memory_gib) << 30;
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut mounts = vec![mount(MountType::VOLUME, request.key.as_str(), dir)];
        if let Some((host, inside)) =
            self.config.program.as_deref().zip(self.config.node_command.first())
        {
            mounts.push(mount(MountType::BIND, &host.to_string_lossy(), inside));
        }
        if let Some(sockets) = self.sockets_of(&request.boot.control_url)? {
            mounts.push(mount(MountType::BIND, &sockets, &sockets));
        }
        mounts.extend(self.config.shown.iter().map(|dir| {
            let dir = dir.to_string_lossy();
            mount(MountType::BIND, &dir, &dir)
        }));
        Ok(HostConfig {
            // As a quota: as a number of processors, more than there are would be refused.
            cpu_period: Some(CPU_PERIOD),
            cpu_quota: Some(i64::from(limits.cpus) * CPU_PERIOD),
            memory: Some(memory),
            memory_swap: Some(memory),
            pids_limit: Some(self.config.pids_max.into()),
            network_mode: Some(self.config.network.clone()),
            extra_hosts: Some(self.config.extra_hosts.clone()),
            mounts: Some(mounts),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(LOG_OPTIONS.map(text).into()),
            }),
            ..Default::default()
        })
    }

    /// Returns the directory of sockets that a node needs to see. It is seen under the same path,
    /// because the control plane tells its agents of addresses later, too.
    fn sockets_of(&self, control_url: &str) -> Result<Option<String>> {
        let mut others = 0;
        for url in control_url.split(',').map(str::trim) {
            let Some(path) = url.strip_prefix("unix:") else {
                others += 1;
                continue;
            };
            let parent = std::path::Path::new(path).parent();
            if parent.is_some() && parent == self.config.control_dir.as_deref() {
                return Ok(parent.map(|dir| dir.to_string_lossy().into_owned()));
            }
        }
        if others > 0 {
            return Ok(None);
        }
        let message = format!("a container cannot reach the control plane at {control_url}");
        Err(Error::new(ErrorKind::BadInput, message).with_hint(
            "set control_dir to the directory of the socket, or give the control plane an http address",
        ))
    }
}

/// Says that something of a machine may be there, whatever failed: the caller must look, or delete.
fn bought(error: Error) -> Error {
    error.with_effect(Effect::Unknown)
}

/// Shows something of the engine's in a container; what is not the node's own only to be read.
fn mount(sort: MountType, source: &str, target: &str) -> Mount {
    Mount {
        read_only: Some(sort == MountType::BIND),
        typ: Some(sort),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        ..Default::default()
    }
}

/// How many machines may be changed at once by this process, at least.
pub(super) type Switching = [Mutex<()>; 16];

#[cfg(test)]
mod tests {
    use sam_core::compute::BootData;
    use sam_core::{NodeId, Secret};

    use super::*;
    use crate::docker::{DockerCompute, DockerConfig};

    fn request(url: &str) -> CreateMachine {
        let node = NodeId::from_bits(7);
        let boot = BootData::new(node, url.to_owned(), Secret::new("canary".to_owned()));
        CreateMachine::new(MachineKey::of(node), boot).with_labels(Labels::default())
    }

    fn compute(config: DockerConfig) -> DockerCompute {
        DockerCompute::new(config).unwrap()
    }

    #[test]
    fn a_container_is_told_no_secret_and_all_limits() {
        let config = DockerConfig::new("/run/docker.sock", "node")
            .with_program("/bin/sam".into())
            .with_shown("/srv/repos".into());
        let compute = compute(config);
        let body = compute.local.body(&request("http://h:1")).unwrap();
        assert!(!format!("{body:?}").contains("canary"));
        let host = body.host_config.unwrap();
        assert_eq!((host.cpu_quota, host.cpu_period), (Some(400_000), Some(100_000)));
        assert_eq!((host.memory, host.memory_swap), (Some(8 << 30), Some(8 << 30)));
        assert_eq!(host.privileged, None);
        let mounts = host.mounts.unwrap();
        let shown: Vec<_> =
            mounts.iter().map(|m| (m.target.as_deref().unwrap(), m.read_only)).collect();
        let dir = node_dir(request("").key.as_str());
        let program = ("/usr/local/bin/sam", Some(true));
        assert_eq!(shown, [(dir.as_str(), Some(false)), program, ("/srv/repos", Some(true))]);
    }

    #[test]
    fn only_the_directory_of_sockets_is_shown() {
        let without = compute(DockerConfig::new("/run/docker.sock", "node"));
        let with = compute(
            DockerConfig::new("/run/docker.sock", "node")
                .with_control_dir("/run/sam/agents".into()),
        );
        let sockets = |compute: &DockerCompute, url: &str| compute.local.sockets_of(url);
        let url = "unix:/run/sam/agents/a.sock, http://h:1";
        assert_eq!(sockets(&with, url).unwrap().as_deref(), Some("/run/sam/agents"));
        assert_eq!(sockets(&without, url).unwrap(), None);
        for hidden in ["unix:/run/sam/agents/a.sock", "unix:/data/agents.sock"] {
            let error = sockets(&without, hidden).unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::BadInput, Effect::NotApplied));
        }
        sockets(&with, "unix:/run/sam/owner.sock").unwrap_err();
    }
}
