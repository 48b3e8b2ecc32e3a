//! Deleting a machine, with the volume and the secret that were made for it.

use http::Method;
use sam_core::compute::{Deletion, MachineKey};
use sam_core::{Effect, ErrorKind, Result};

use super::FlyCompute;
use super::lease::{After, is_busy};
use super::names::secret_name;
use super::wire::Machine;
use crate::api::{Call, Looks};

const OPERATION: &str = "delete_machine";

impl FlyCompute {
    /// Deletes the machine of a key, then what only goes once it is gone.
    pub(super) async fn delete(&self, key: &MachineKey) -> Result<Deletion> {
        self.delete_within(key, &mut self.looks()).await
    }

    /// The same, in what is left of another call's time.
    pub(super) async fn delete_within(
        &self,
        key: &MachineKey,
        looks: &mut Looks<'_>,
    ) -> Result<Deletion> {
        while let Some(machine) = self.machine_of(OPERATION, key).await? {
            if machine.is_going() {
                // What was deleted may be shown for a while.
                if !looks.pause().await {
                    return Ok(Deletion::InProgress);
                }
                continue;
            }
            match self.destroy(&machine, looks).await {
                Err(error) if is_busy(&error) => {
                    if !looks.pause().await {
                        return Err(error);
                    }
                    continue;
                }
                done => done?,
            }
            if self.machine_by_id(OPERATION, &machine.id).await?.is_some() && !looks.pause().await {
                return Ok(Deletion::InProgress);
            }
        }
        // The name may be somebody else's, and so are the volume and the secret of that name then.
        if self.named(OPERATION, key.as_str()).await?.is_some() {
            return Ok(Deletion::Gone);
        }
        let gone = self.delete_volumes(OPERATION, key, None).await?;
        self.delete_secret(OPERATION, &secret_name(key)).await?;
        Ok(if gone { Deletion::Gone } else { Deletion::InProgress })
    }

    /// Deletes a machine, running or not, and waits for it.
    async fn destroy(&self, machine: &Machine, looks: &mut Looks<'_>) -> Result<()> {
        let call = Call::new(OPERATION, Method::DELETE, self.machine_path(&machine.id, ""))
            .with_query("force", "true");
        match self.change(&machine.id, call, After::Gone).await {
            Ok(_) => {}
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && error.provider_code() == Some(super::dialect::NOT_FOUND) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let unknown = |error: sam_core::Error| error.with_effect(Effect::Unknown);
        self.wait(OPERATION, machine, Machine::DESTROYED, looks).await.map_err(unknown).map(drop)
    }
}
