//! Volumes. They are made in the first location that is allowed, for a volume can be attached to a
//! machine of its own location only.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use sam_core::compute::{Labels, MachineKey};
use sam_core::volume::{CreateVolume, Volume, VolumeProvider};
use sam_core::{Effect, Error, ErrorKind, Result, Retry};
use serde::de::IgnoredAny;
use serde_json::json;

use super::HetznerCompute;
use super::actions::{ACTION_FAILED, Progress, in_doubt};
use super::dialect::LOCKED;
use super::wire::{self, NewVolume, OneVolume, Server, Started};
use crate::api::{Call, Looks, has_plain_ends, key_of, labels_of, micros, tags, taken};

/// Smallest volume that Hetzner makes, in GiB; less is made as large.
const SIZE_GIB_MIN: u32 = 10;
/// Largest volume that Hetzner makes, in GiB.
const SIZE_GIB_MAX: u32 = 10_240;
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 63;

#[async_trait]
impl VolumeProvider for HetznerCompute {
    async fn create_volume(&self, request: &CreateVolume) -> Result<Volume> {
        const OPERATION: &str = "create_volume";
        check(request)?;
        let tags = tags(&request.labels, &request.key)?;
        let location = self.allowed()?.first().map_or("", String::as_str);
        let size = request.size_gib.max(SIZE_GIB_MIN);
        let body = NewVolume { name: &request.key, size, location, labels: &tags };
        let call = Call::new(OPERATION, Method::POST, "/volumes").with_body(&body);
        let mut looks = self.looks();
        match self.api.send(&call).await {
            Ok(answer) => {
                let (OneVolume { volume }, actions) = answer.read::<Started<_>>()?.split();
                if let Err(error) = self.finish(OPERATION, actions, &mut looks).await {
                    return Err(self.take_volume_back(volume.id, error).await);
                }
                self.described(OPERATION, volume).await.map_err(in_doubt)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let known: Option<wire::Volume> =
                    self.named(OPERATION, &request.key).await.map_err(in_doubt)?;
                match known {
                    Some(known) if is_ours(&known, &request.labels) => {
                        self.described(OPERATION, known).await.map_err(in_doubt)
                    }
                    Some(_) => Err(taken("volume", &request.key).with_operation(OPERATION)),
                    None => Err(error.with_effect(Effect::Unknown).with_retry(Retry::Backoff)),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn volume(&self, key: &str) -> Result<Option<Volume>> {
        match self.volume_of("volume", key).await? {
            Some(volume) => self.described("volume", volume).await.map(Some),
            None => Ok(None),
        }
    }

    async fn list_volumes(&self, labels: &Labels) -> Result<Vec<Volume>> {
        let listed: Vec<wire::Volume> = self.all("list_volumes", labels).await?;
        let mut machines = BTreeMap::new();
        if listed.iter().any(|volume| volume.server.is_some()) {
            let servers: Vec<Server> = self.all("list_volumes", &Labels::default()).await?;
            machines.extend(servers.iter().filter_map(|server| Some((server.id, server.key()?))));
        }
        let volumes = listed.iter().filter_map(|volume| {
            let machine = volume.server.and_then(|id| machines.get(&id).cloned());
            Some(describe(key_of(&volume.labels)?, volume, machine))
        });
        let mut volumes: Vec<Volume> = volumes.collect::<Result<_>>()?;
        volumes.retain(|volume| volume.labels.contains(labels));
        volumes.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(volumes)
    }

    async fn attach(&self, key: &str, machine: &MachineKey) -> Result<()> {
        const OPERATION: &str = "attach";
        let mut looks = self.looks();
        loop {
            let volume = self.volume_of(OPERATION, key).await?.ok_or_else(|| no_volume(key))?;
            let server = self.server_of(OPERATION, machine).await?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no machine {machine}"))
            })?;
            match volume.server {
                Some(id) if id == server.id => return Ok(()),
                Some(_) => return Err(attached(OPERATION, key)),
                None => {}
            }
            let body = json!({ "server": server.id, "automount": false });
            let path = format!("/volumes/{}/actions/attach", volume.id);
            let call = Call::new(OPERATION, Method::POST, path).with_body(&body);
            if self.change(&call, &mut looks).await? == Progress::Done {
                return Ok(());
            }
        }
    }

    async fn detach(&self, key: &str) -> Result<()> {
        const OPERATION: &str = "detach";
        let mut looks = self.looks();
        loop {
            let volume = self.volume_of(OPERATION, key).await?.ok_or_else(|| no_volume(key))?;
            if volume.server.is_none() {
                return Ok(());
            }
            let path = format!("/volumes/{}/actions/detach", volume.id);
            let call = Call::new(OPERATION, Method::POST, path);
            if self.change(&call, &mut looks).await? == Progress::Done {
                return Ok(());
            }
        }
    }

    async fn grow(&self, key: &str, size_gib: u32) -> Result<Volume> {
        const OPERATION: &str = "grow";
        let mut looks = self.looks();
        loop {
            let volume = self.volume_of(OPERATION, key).await?.ok_or_else(|| no_volume(key))?;
            let present = size_of(&volume)?;
            if present == size_gib {
                return self.described(OPERATION, volume).await;
            }
            if size_gib < present || size_gib > SIZE_GIB_MAX {
                let message =
                    format!("the volume {key} has {present} GiB, and {size_gib} is no size for it");
                return Err(Error::new(ErrorKind::BadInput, message)
                    .with_operation(OPERATION)
                    .with_hint(format!("ask for more than it has, up to {SIZE_GIB_MAX}")));
            }
            let path = format!("/volumes/{}/actions/resize", volume.id);
            let call =
                Call::new(OPERATION, Method::POST, path).with_body(&json!({ "size": size_gib }));
            // It is looked at again, also when it is done: its size is the vendor's to say.
            let _progress = self.change(&call, &mut looks).await?;
        }
    }

    async fn delete_volume(&self, key: &str) -> Result<()> {
        const OPERATION: &str = "delete_volume";
        let mut looks = self.looks();
        while let Some(volume) = self.volume_of(OPERATION, key).await? {
            if volume.server.is_some() {
                return Err(attached(OPERATION, key));
            }
            match self.delete_thing(OPERATION, "/volumes", &volume.id.to_string()).await {
                Err(error) if error.provider_code() == Some(LOCKED) => {
                    if !looks.pause().await {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
        Ok(())
    }
}

impl HetznerCompute {
    /// Returns the volume of a key, if it is ours.
    async fn volume_of(&self, operation: &'static str, key: &str) -> Result<Option<wire::Volume>> {
        // Hetzner takes an empty name for no condition.
        if key.is_empty() {
            return Ok(None);
        }
        let volume: Option<wire::Volume> = self.named(operation, key).await?;
        Ok(volume.filter(|volume| key_of(&volume.labels) == Some(key)))
    }

    /// Describes a volume, with the machine that it is attached to.
    async fn described(&self, operation: &'static str, volume: wire::Volume) -> Result<Volume> {
        let machine = match volume.server {
            None => None,
            Some(id) => self.server(operation, id).await?.and_then(|server| server.key()),
        };
        describe(&volume.name, &volume, machine)
    }

    /// Starts an action of a volume and waits for it, or for what keeps it locked.
    async fn change(&self, call: &Call, looks: &mut Looks<'_>) -> Result<Progress> {
        match self.api.send(call).await {
            Ok(answer) => {
                let started: Started<IgnoredAny> = answer.read()?;
                match self.finish(call.operation, started.split().1, looks).await? {
                    Progress::Done => Ok(Progress::Done),
                    Progress::Running => {
                        Err(Error::new(ErrorKind::Timeout, "the volume is not ready yet")
                            .with_operation(call.operation)
                            .with_effect(Effect::Unknown))
                    }
                }
            }
            // Somebody else's action may be the same as ours: look again.
            Err(error) if error.provider_code() == Some(LOCKED) => {
                if looks.pause().await {
                    Ok(Progress::Running)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn take_volume_back(&self, id: u64, error: Error) -> Error {
        if error.provider_code() != Some(ACTION_FAILED) {
            return error;
        }
        match self.delete_thing("create_volume", "/volumes", &id.to_string()).await {
            Ok(()) => error.with_effect(Effect::NotApplied),
            Err(_) => error,
        }
    }
}

fn check(request: &CreateVolume) -> Result<()> {
    let key = &request.key;
    let legal = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if (1..=SIZE_GIB_MAX).contains(&request.size_gib)
        && key.len() <= KEY_BYTES_MAX
        && legal
        && has_plain_ends(key)
    {
        return Ok(());
    }
    let message = format!(
        "a volume has a key of 1 to {KEY_BYTES_MAX} letters, digits, dots, dashes and underscores, and 1 to \
         {SIZE_GIB_MAX} GiB"
    );
    Err(Error::new(ErrorKind::BadInput, message).with_operation("create_volume"))
}

fn is_ours(volume: &wire::Volume, asked: &Labels) -> bool {
    let installation = asked.value(Labels::INSTALLATION);
    key_of(&volume.labels) == Some(&*volume.name)
        && (installation.is_none()
            || labels_of(&volume.labels).value(Labels::INSTALLATION) == installation)
}

fn describe(key: &str, volume: &wire::Volume, machine: Option<MachineKey>) -> Result<Volume> {
    let mut described = Volume::new(key.to_owned(), size_of(volume)?, labels_of(&volume.labels));
    described.attached_to = machine;
    Ok(described)
}

fn size_of(volume: &wire::Volume) -> Result<u32> {
    let gib = micros(&volume.size.to_string()).map(|micros| micros / 1_000_000);
    gib.and_then(|gib| u32::try_from(gib).ok()).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "the size of a volume at Hetzner is no number")
    })
}

fn no_volume(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no volume {key:?}"))
}

pub(super) fn attached(operation: &'static str, key: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("the volume {key} is attached to a machine"))
        .with_operation(operation)
        .with_retry(Retry::Never)
        .with_hint("detach it first")
}
