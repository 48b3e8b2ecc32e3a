//! A provider that refuses, loses replies, acts late and answers from yesterday.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::executor::give_way;
use super::faults::Dice;
use super::world::{DELAY_MAX, World};
use crate::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl,
};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::page::Page;
use crate::volume::VolumeProvider;

/// The provider of a simulation.
#[derive(Debug, Clone)]
pub struct SimCompute {
    world: World,
    dice: Dice,
}

impl SimCompute {
    pub(super) const fn new(world: World, dice: Dice) -> Self {
        Self { world, dice }
    }

    /// Returns the world it acts on.
    pub const fn world(&self) -> &World {
        &self.world
    }

    async fn refusal(&self) -> Result<()> {
        give_way().await;
        if self.dice.strikes(self.dice.faults.refused) {
            let kind = match self.dice.below(3) {
                0 => ErrorKind::RateLimited,
                1 => ErrorKind::CapacityUnavailable,
                _ => ErrorKind::Unavailable,
            };
            return Err(Error::new(kind, "refused by the simulation"));
        }
        Ok(())
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(self.dice.below(60_000)).min(DELAY_MAX)
    }

    fn boot(&self) -> Duration {
        Duration::from_millis(self.dice.below(20_000))
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Timeout, "no reply in the simulation").with_effect(Effect::Unknown)
}

impl fmt::Display for SimCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sim")
    }
}

#[async_trait]
impl ComputeProvider for SimCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal()
            .with_power()
            .with_owned()
            .with_create_settles_within(DELAY_MAX)
    }

    async fn catalog(&self) -> Result<Catalog> {
        Ok(Catalog::default())
    }

    async fn verify_credentials(&self) -> Result<()> {
        Ok(())
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        self.world.lock().secrets.push(request.boot.token.expose().clone());
        self.refusal().await?;
        let faults = self.dice.faults;
        if self.dice.strikes(faults.delayed) {
            let (boot, delay) = (self.boot(), self.delay());
            self.world.create_later(&request.key, &request.labels, boot, delay);
            give_way().await;
            return Err(lost());
        }
        let boots_at = self.world.now().plus(self.boot());
        let machine = self.world.lock().adopt_or_create(&request.key, &request.labels, boots_at);
        give_way().await;
        if self.dice.strikes(faults.reply_lost) { Err(lost()) } else { Ok(machine) }
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        self.refusal().await?;
        let found = self.world.lock().find(key).map(|known| known.machine.clone());
        give_way().await;
        // An answer from earlier may miss what is new; it must not be taken as proof of absence
        // by a provider that is unsure, so the adapter reports that as an error (contract C4).
        if self.dice.strikes(self.dice.faults.stale) {
            return Err(Error::new(ErrorKind::Unavailable, "the listing is stale"));
        }
        Ok(found)
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        self.refusal().await?;
        let state = self.world.lock();
        let machines = state
            .machines
            .values()
            .map(|known| known.machine.clone())
            .filter(|machine| machine.labels.contains(&query.labels))
            .collect();
        drop(state);
        Ok(Page::new(machines, None))
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.refusal().await?;
        let faults = self.dice.faults;
        if self.dice.strikes(faults.delayed) {
            self.world.delete_later(key, self.delay());
            give_way().await;
            return if self.dice.below(2) == 0 { Err(lost()) } else { Ok(Deletion::InProgress) };
        }
        self.world.lock().delete(key);
        give_way().await;
        if self.dice.strikes(faults.reply_lost) { Err(lost()) } else { Ok(Deletion::Gone) }
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        Some(self)
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        None
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        Some(self)
    }
}

#[async_trait]
impl PowerControl for SimCompute {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        self.refusal().await?;
        let boots_at = self.world.now().plus(self.boot());
        if self.world.lock().find(key).is_none() {
            return Err(Error::new(ErrorKind::NotFound, "there is no such machine"));
        }
        match power {
            Power::On => self.world.lock().power_on(key, boots_at),
            Power::Off => self.world.lock().lose_power(key),
        }
        give_way().await;
        if self.dice.strikes(self.dice.faults.reply_lost) { Err(lost()) } else { Ok(()) }
    }
}

/// How often everybody else may go on while a stale listing is on its way.
const STALE_TURNS_MAX: u64 = 64;

#[async_trait]
impl OwnedResources for SimCompute {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        self.refusal().await?;
        let owned = self.world.lock().owned(&query.labels);
        if self.dice.strikes(self.dice.faults.stale) {
            // A listing may be old when it arrives. One that misses what was there when it was
            // asked for is a partial answer, and that is an error (contract C1).
            if self.dice.below(2) == 0 {
                return Err(Error::new(ErrorKind::Unavailable, "the listing is stale"));
            }
            for _ in 0..self.dice.below(STALE_TURNS_MAX) {
                give_way().await;
            }
        }
        Ok(Page::new(owned, None))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        self.refusal().await?;
        let faults = self.dice.faults;
        if self.dice.strikes(faults.delayed) {
            self.world.remove_later(&resource.provider_id, self.delay());
            give_way().await;
            return Err(lost());
        }
        self.world.lock().remove(&resource.provider_id);
        give_way().await;
        if self.dice.strikes(faults.reply_lost) { Err(lost()) } else { Ok(()) }
    }
}
