//! Volumes. They are made in the first region that is allowed, for a volume can be attached to a machine
//! of its own region only. Their names are made from their keys, and unique in a region.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use sam_core::compute::{Labels, MachineKey};
use sam_core::volume::{CreateVolume, Volume, VolumeProvider};
use sam_core::{Effect, Error, ErrorKind, Result, Retry};
use serde_json::{Value, json};

use super::DigitalOceanCompute;
use super::actions::{Progress, in_doubt};
use super::dialect::is_locked;
use super::find::absent;
use super::labels;
use super::wire::{self, Droplet, Listed as _, Listing, NewVolume, OneAction, OneVolume};
use crate::api::{Call, Looks, key_of, labels_of, segment, taken};

/// Largest volume that DigitalOcean makes, in GiB.
const SIZE_GIB_MAX: u32 = 16_384;
/// Longest key, in bytes; a name has 64.
const KEY_BYTES_MAX: usize = 60;

#[async_trait]
impl VolumeProvider for DigitalOceanCompute {
    async fn create_volume(&self, request: &CreateVolume) -> Result<Volume> {
        const OPERATION: &str = "create_volume";
        check(request)?;
        let tags = labels::tags(&request.labels, &request.key)?;
        // It may have been made in a region that was the first then.
        if let Some(known) = self.volume_of(OPERATION, &request.key).await? {
            return self.adopted(known, request).await;
        }
        let body = NewVolume {
            name: &name_of(&request.key),
            region: self.allowed()?.first().map_or("", String::as_str),
            size_gigabytes: request.size_gib,
            tags: &tags,
        };
        let call = Call::new(OPERATION, Method::POST, "/v2/volumes").with_body(&body);
        match self.api.send(&call).await {
            Ok(answer) => {
                let OneVolume { volume } = answer.read()?;
                self.described(OPERATION, volume).await.map_err(in_doubt)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) =>
            {
                match self.volume_of(OPERATION, &request.key).await.map_err(in_doubt)? {
                    Some(known) => self.adopted(known, request).await,
                    // Made by a call whose answer was lost, and not on the list yet; or not ours.
                    None => Err(error
                        .with_effect(Effect::Unknown)
                        .with_retry(Retry::Backoff)
                        .with_hint("a volume of this name may be there without its tag sam-key")),
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
        const OPERATION: &str = "list_volumes";
        let listed = self.everything::<wire::Volume>(OPERATION, labels).await?;
        let mut machines = BTreeMap::new();
        if listed.values().any(|volume| volume.droplet().is_some()) {
            let droplets = self.everything::<Droplet>(OPERATION, &Labels::default()).await?;
            machines.extend(droplets.into_values().filter_map(|it| Some((it.id, it.key()?))));
        }
        let volumes = listed.values().filter_map(|volume| {
            let machine = volume.droplet().and_then(|id| machines.get(&id).cloned());
            Some(describe(key_of(&volume.tags)?, volume, machine))
        });
        let mut volumes: Vec<Volume> = volumes.collect();
        volumes.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(volumes)
    }

    async fn attach(&self, key: &str, machine: &MachineKey) -> Result<()> {
        const OPERATION: &str = "attach";
        let mut looks = self.looks();
        loop {
            let volume = self.volume_of(OPERATION, key).await?.ok_or_else(|| no_volume(key))?;
            let droplet = self.droplets_of(OPERATION, machine).await?.into_iter().next();
            let droplet = droplet.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no machine {machine}"))
            })?;
            match volume.droplet() {
                Some(id) if id == droplet.id => return Ok(()),
                Some(_) => return Err(attached(OPERATION, key)),
                None => {}
            }
            let body = json!({ "type": "attach", "droplet_id": droplet.id });
            self.change(OPERATION, &volume, &body, &mut looks).await?;
        }
    }

    async fn detach(&self, key: &str) -> Result<()> {
        const OPERATION: &str = "detach";
        let mut looks = self.looks();
        loop {
            let volume = self.volume_of(OPERATION, key).await?.ok_or_else(|| no_volume(key))?;
            let Some(droplet) = volume.droplet() else { return Ok(()) };
            let body = json!({ "type": "detach", "droplet_id": droplet });
            self.change(OPERATION, &volume, &body, &mut looks).await?;
        }
    }

    async fn grow(&self, key: &str, size_gib: u32) -> Result<Volume> {
        const OPERATION: &str = "grow";
        let mut looks = self.looks();
        loop {
            let volume = self.volume_of(OPERATION, key).await?.ok_or_else(|| no_volume(key))?;
            let present = volume.size_gigabytes;
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
            let body = json!({
                "type": "resize", "size_gigabytes": size_gib, "region": volume.region.slug,
            });
            self.change(OPERATION, &volume, &body, &mut looks).await?;
        }
    }

    async fn delete_volume(&self, key: &str) -> Result<()> {
        const OPERATION: &str = "delete_volume";
        match self.volume_of(OPERATION, key).await? {
            None => Ok(()),
            Some(volume) => self.remove_volume(OPERATION, &volume).await,
        }
    }
}

impl DigitalOceanCompute {
    /// Returns the volume of a key, if it is ours, in whatever region.
    async fn volume_of(&self, operation: &'static str, key: &str) -> Result<Option<wire::Volume>> {
        let call = Call::get(operation, format!("/v2/{}", wire::Volume::NAME))
            .with_query("name", &name_of(key));
        let listing: Listing<wire::Volume> = self.api.send(&call).await?.read()?;
        let mut volumes = listing.items.into_iter();
        Ok(volumes.find(|volume| key_of(&volume.tags) == Some(key)))
    }

    /// Describes a volume that is there already, if it is of the same installation.
    async fn adopted(&self, known: wire::Volume, request: &CreateVolume) -> Result<Volume> {
        const OPERATION: &str = "create_volume";
        let installation = request.labels.value(Labels::INSTALLATION);
        let its = labels_of(&known.tags);
        if installation.is_some() && its.value(Labels::INSTALLATION) != installation {
            return Err(taken("volume", &known.name).with_operation(OPERATION));
        }
        self.described(OPERATION, known).await.map_err(in_doubt)
    }

    /// Describes a volume, with the machine that it is attached to.
    async fn described(&self, operation: &'static str, volume: wire::Volume) -> Result<Volume> {
        let machine = match volume.droplet() {
            None => None,
            Some(id) => self.droplet(operation, id).await?.and_then(|droplet| droplet.key()),
        };
        let key = key_of(&volume.tags).unwrap_or(&volume.name);
        Ok(describe(key, &volume, machine))
    }

    /// Starts an action of a volume and waits for it, or for what keeps it locked. The volume is looked
    /// at again, also when it is done: what became of it is the vendor's to say.
    async fn change(
        &self,
        operation: &'static str,
        volume: &wire::Volume,
        body: &Value,
        looks: &mut Looks<'_>,
    ) -> Result<()> {
        let path = format!("/v2/volumes/{}/actions", segment(&volume.id));
        let call = Call::new(operation, Method::POST, path).with_body(body);
        match self.api.send(&call).await {
            Ok(answer) => {
                let started: OneAction = answer.read()?;
                let progress = self.finish(operation, started.action, looks).await?;
                // Shown a little later than done, it would be asked for again at once.
                if progress == Progress::Done && looks.pause().await {
                    return Ok(());
                }
                Err(Error::new(ErrorKind::Timeout, "the volume is not ready yet")
                    .with_operation(operation)
                    .with_effect(Effect::Unknown))
            }
            // Somebody else's action may be the same as ours: look again.
            Err(error) if is_locked(&error) => {
                if looks.pause().await {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes a volume of ours by its id; one that is not ours is not there.
    pub(super) async fn delete_owned_volume(&self, id: &str) -> Result<()> {
        const OPERATION: &str = "delete_owned";
        let call = Call::get(OPERATION, format!("/v2/volumes/{}", segment(id)));
        let Some(answer) = absent(self.api.send(&call).await)? else { return Ok(()) };
        let OneVolume { volume } = answer.read()?;
        if key_of(&volume.tags).is_none() {
            return Ok(());
        }
        self.remove_volume(OPERATION, &volume).await
    }

    async fn remove_volume(&self, operation: &'static str, volume: &wire::Volume) -> Result<()> {
        let mut looks = self.looks();
        if volume.droplet().is_some() {
            return Err(attached(operation, &volume.name));
        }
        let path = format!("/v2/volumes/{}", segment(&volume.id));
        let call = Call::new(operation, Method::DELETE, path);
        loop {
            match absent(self.api.send(&call).await) {
                Ok(_) => return Ok(()),
                Err(error) if is_locked(&error) => {
                    if !looks.pause().await {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns the name of a volume: a letter comes first.
fn name_of(key: &str) -> String {
    format!("sam-{key}")
}

fn check(request: &CreateVolume) -> Result<()> {
    let key = &request.key;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=SIZE_GIB_MAX).contains(&request.size_gib)
        && (1..=KEY_BYTES_MAX).contains(&key.len())
        && key.bytes().all(legal)
        && !key.ends_with('-')
    {
        return Ok(());
    }
    let message = format!(
        "a volume has a key of 1 to {KEY_BYTES_MAX} small letters, digits and dashes, and 1 to \
         {SIZE_GIB_MAX} GiB"
    );
    Err(Error::new(ErrorKind::BadInput, message).with_operation("create_volume"))
}

fn describe(key: &str, volume: &wire::Volume, machine: Option<MachineKey>) -> Volume {
    let mut described = Volume::new(key.to_owned(), volume.size_gigabytes, labels_of(&volume.tags));
    described.attached_to = machine;
    described
}

fn no_volume(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no volume {key:?}"))
}

fn attached(operation: &'static str, key: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("the volume {key} is attached to a machine"))
        .with_operation(operation)
        .with_retry(Retry::Never)
        .with_hint("detach it first")
}
