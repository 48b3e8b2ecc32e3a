//! Deleting a machine: every droplet of its key. Volumes are not: they have lives of their own, and
//! DigitalOcean detaches them.

use http::Method;
use sam_core::compute::{Deletion, MachineKey};
use sam_core::{Error, ErrorKind, Result};

use super::DigitalOceanCompute;
use super::actions::in_doubt;
use super::dialect::is_locked;
use super::find::absent;
use crate::api::{Call, Looks, key_of};

const OPERATION: &str = "delete_machine";

impl DigitalOceanCompute {
    /// Deletes the machine of a key. What was deleted may be listed for a while, and is gone after that.
    pub(super) async fn delete(&self, key: &MachineKey) -> Result<Deletion> {
        let mut looks = self.looks();
        loop {
            let droplets = self.droplets_of(OPERATION, key).await?;
            if droplets.is_empty() {
                return Ok(Deletion::Gone);
            }
            for droplet in droplets {
                self.delete_droplet(OPERATION, droplet.id, &mut looks).await?;
            }
            if !looks.pause().await {
                return Ok(Deletion::InProgress);
            }
        }
    }

    /// Deletes a droplet; while an action runs on it, waits for that first.
    pub(super) async fn delete_droplet(
        &self,
        operation: &'static str,
        id: u64,
        looks: &mut Looks<'_>,
    ) -> Result<()> {
        let call = Call::new(operation, Method::DELETE, format!("/v2/droplets/{id}"));
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

    /// Deletes one droplet of ours by its id, and is sure of it. One that is not ours is not there.
    pub(super) async fn delete_droplet_for_good(&self, id: u64) -> Result<()> {
        const OPERATION: &str = "delete_owned";
        let mut looks = self.looks();
        let known = self.droplet(OPERATION, id).await?;
        if known.is_none_or(|droplet| key_of(&droplet.tags).is_none()) {
            return Ok(());
        }
        self.delete_droplet(OPERATION, id, &mut looks).await?;
        while self.droplet(OPERATION, id).await.map_err(in_doubt)?.is_some() {
            if !looks.pause().await {
                let message = format!("the droplet {id} is still being deleted");
                return Err(Error::new(ErrorKind::Conflict, message)
                    .with_operation(OPERATION)
                    .with_hint("it goes on: ask again"));
            }
        }
        Ok(())
    }
}
