//! The volume and the secret of a machine: made before it, deleted after it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use sam_core::compute::MachineKey;
use sam_core::{ErrorKind, Result, Secret};
use serde_json::json;

use super::FlyCompute;
use super::find::absent;
use super::names::{key_of_volume, secret_name, volume_name};
use super::wire::{Guest, Machine, NewVolume, Volume};
use crate::api::{Call, segment};

impl FlyCompute {
    /// Returns the volumes that were made under a key. There can be several, for Fly lets volumes share
    /// a name: of two calls at once each may make one, and only one becomes a disk.
    pub(super) async fn volumes_of(
        &self,
        operation: &'static str,
        key: &MachineKey,
    ) -> Result<Vec<Volume>> {
        let mut all = self.volumes(operation).await?;
        all.retain(|volume| volume.is_there() && key_of_volume(&volume.name).as_ref() == Some(key));
        Ok(all)
    }

    /// Returns the volume for a new machine: one that an earlier call has left, or a new one.
    pub(super) async fn volume_for(
        &self,
        operation: &'static str,
        key: &MachineKey,
        region: &str,
        guest: Guest,
    ) -> Result<String> {
        let known = self.volumes_of(operation, key).await?;
        let free = |volume: &&Volume| volume.region == region && volume.machine().is_none();
        if let Some(volume) = known.iter().find(free) {
            return Ok(volume.id.clone());
        }
        let body = NewVolume {
            name: &volume_name(key),
            region,
            size_gb: self.config.disk_gib,
            encrypted: true,
            compute: guest,
        };
        let call = Call::new(operation, Method::POST, self.app_path("/volumes")).with_body(&body);
        Ok(self.send(call).await?.read::<Volume>()?.id)
    }

    /// Deletes the volumes of a key but those of a machine; `false` while one of them is still attached.
    pub(super) async fn delete_volumes(
        &self,
        operation: &'static str,
        key: &MachineKey,
        but_of: Option<&Machine>,
    ) -> Result<bool> {
        let mut gone = true;
        for volume in self.volumes_of(operation, key).await? {
            if but_of.is_some_and(|machine| machine.has_volume(&volume.id)) {
                continue;
            }
            match self.delete_volume(operation, &volume.id).await {
                Err(error) if error.kind() == ErrorKind::Conflict => gone = false,
                // How Fly refuses while a volume is still attached is not described.
                Err(error) if error.kind() == ErrorKind::BadInput && volume.machine().is_some() => {
                    gone = false;
                }
                done => done?,
            }
        }
        Ok(gone)
    }

    /// Deletes a volume; the absent is deleted already.
    pub(super) async fn delete_volume(&self, operation: &'static str, id: &str) -> Result<()> {
        let path = self.app_path(&format!("/volumes/{}", segment(id)));
        absent(self.send(Call::new(operation, Method::DELETE, path)).await).map(drop)
    }

    /// Keeps what a machine is told on its first boot. Fly writes it into a file of the machine, and
    /// shows its name to everybody but its value to nobody.
    pub(super) async fn put_secret(
        &self,
        operation: &'static str,
        key: &MachineKey,
        told: &Secret<String>,
    ) -> Result<()> {
        let path = self.app_path(&format!("/secrets/{}", segment(&secret_name(key))));
        let body = json!({ "value": STANDARD.encode(told.expose()) });
        self.send(Call::new(operation, Method::POST, path).with_body(&body)).await.map(drop)
    }

    /// Deletes a secret by its name; the absent is deleted already.
    pub(super) async fn delete_secret(&self, operation: &'static str, name: &str) -> Result<()> {
        let path = self.app_path(&format!("/secrets/{}", segment(name)));
        absent(self.send(Call::new(operation, Method::DELETE, path)).await).map(drop)
    }
}
