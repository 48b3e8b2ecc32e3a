//! A provider that refuses, loses replies, acts late and twice, and answers from yesterday.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::executor::give_way;
use super::faults::{About, Dice, Fault};
use super::world::{DELAY_MAX, Order, SLOW_MAX, World};
use crate::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl,
};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::node::NodeRecord;
use crate::page::Page;
use crate::store::RecordKey;
use crate::volume::VolumeProvider;

/// How long a machine takes to boot at most.
const BOOT_MAX: Duration = Duration::from_secs(20);

/// The provider of a simulation.
#[derive(Debug, Clone)]
pub struct SimCompute {
    world: World,
    dice: Dice,
}

/// The cause of every refusal: what a provider says in private must not reach a record.
#[derive(Debug, thiserror::Error)]
#[error("{}", SimCompute::CANARY)]
struct Canary;

impl SimCompute {
    /// Stands in the private causes of the provider's errors. A check looks for it where it must
    /// not be.
    pub const CANARY: &'static str = "canary-4b1d-of-a-cause";
    /// Machines on one page of a listing, few enough that listings have several.
    const PAGE: usize = 2;

    pub(super) const fn new(world: World, dice: Dice) -> Self {
        Self { world, dice }
    }

    /// Returns the world it acts on.
    pub const fn world(&self) -> &World {
        &self.world
    }

    fn strikes(&self, fault: Fault, key: &MachineKey) -> bool {
        self.dice.strikes(fault, || About::Record(RecordKey::new(NodeRecord::KIND, key)))
    }

    async fn refusal(&self, key: &MachineKey) -> Result<()> {
        give_way().await;
        if self.strikes(Fault::Slow, key) {
            self.world.take_time(self.dice.span(SLOW_MAX)).await;
        }
        if self.strikes(Fault::Refused, key) {
            let kind = match self.dice.below(8) {
                0 => ErrorKind::BadInput,
                1 | 2 => ErrorKind::CapacityUnavailable,
                3 | 4 => ErrorKind::RateLimited,
                _ => ErrorKind::Unavailable,
            };
            return Err(Error::new(kind, "refused by the simulation").with_source(Canary));
        }
        Ok(())
    }

    fn delay(&self) -> Duration {
        self.dice.span(DELAY_MAX)
    }

    fn boot(&self) -> Duration {
        self.dice.span(BOOT_MAX)
    }

    /// A request must carry nothing secret but the one token, and that only where it belongs.
    fn inspect(&self, request: &CreateMachine) {
        let token = request.boot.token.expose();
        let mut state = self.world.lock();
        if !state.secrets.contains(token) {
            state.secrets.insert(token.clone());
        }
        let mut open = request.labels.iter().flat_map(|(name, value)| [name, value]);
        if open.any(|text| text.contains(token.as_str()))
            || request.boot.control_url.contains(token.as_str())
            || request.region.as_ref().is_some_and(|region| region.contains(token.as_str()))
        {
            state.broken = Some(format!("I8: the token of {} is shown to others", request.key));
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Timeout, "no reply in the simulation")
        .with_effect(Effect::Unknown)
        .with_source(Canary)
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
        self.inspect(request);
        self.refusal(&request.key).await?;
        let order = Order::new(request, self.boot());
        if self.strikes(Fault::Delayed, &request.key) {
            self.world.create_later(order, self.delay());
            give_way().await;
            return Err(lost());
        }
        if self.strikes(Fault::Duplicated, &request.key) {
            // Both at once: two makings of one announcement would be too much to spend.
            self.world.create(order.clone());
        }
        let machine = self.world.create(order);
        give_way().await;
        if self.strikes(Fault::ReplyLost, &request.key) { Err(lost()) } else { Ok(machine) }
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        self.refusal(key).await?;
        let found = self.world.lock().find(key).map(|known| known.machine.clone());
        give_way().await;
        // An answer from earlier may miss what is new; it must not be taken as proof of absence
        // by a provider that is unsure, so the adapter reports that as an error (contract C4).
        if self.strikes(Fault::Stale, key) {
            return Err(Error::new(ErrorKind::Unavailable, "the listing is stale"));
        }
        Ok(found)
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        give_way().await;
        // A part is never passed off as the whole (contract C5).
        for fault in [Fault::Refused, Fault::Stale, Fault::Partial] {
            if self.dice.strikes(fault, || About::All) {
                return Err(Error::new(ErrorKind::Unavailable, "the listing is not whole"));
            }
        }
        let state = self.world.lock();
        let left = state
            .machines
            .iter()
            .filter(|(id, _)| query.after.as_ref().is_none_or(|after| *id > after))
            .map(|(_, known)| known.machine.clone())
            .filter(|machine| machine.labels.contains(&query.labels));
        Ok(Page::first(left, Self::PAGE, |machine| machine.provider_id.clone()))
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.refusal(key).await?;
        if self.strikes(Fault::Delayed, key) {
            self.world.delete_later(key, self.delay());
            give_way().await;
            return if self.dice.below(2) == 0 { Err(lost()) } else { Ok(Deletion::InProgress) };
        }
        if self.strikes(Fault::Duplicated, key) {
            self.world.delete(key, "deleted");
            give_way().await;
        }
        self.world.delete(key, "deleted");
        give_way().await;
        if self.strikes(Fault::ReplyLost, key) { Err(lost()) } else { Ok(Deletion::Gone) }
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
        self.refusal(key).await?;
        if self.world.lock().find(key).is_none() {
            return Err(Error::new(ErrorKind::NotFound, "there is no such machine"));
        }
        match power {
            Power::On => self.world.power_on(key, self.boot()),
            Power::Off => self.world.lose_power(key),
        }
        give_way().await;
        if self.strikes(Fault::ReplyLost, key) { Err(lost()) } else { Ok(()) }
    }
}

/// How often everybody else may go on while a stale listing is on its way.
const STALE_TURNS_MAX: u64 = 64;

#[async_trait]
impl OwnedResources for SimCompute {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        give_way().await;
        // A part is never passed off as the whole (contract C1).
        for fault in [Fault::Refused, Fault::Partial] {
            if self.dice.strikes(fault, || About::All) {
                return Err(Error::new(ErrorKind::Unavailable, "the listing is not whole"));
            }
        }
        let owned = self.world.lock().owned(&query.labels);
        let owned: Vec<_> = owned
            .into_iter()
            .filter(|one| query.after.as_ref().is_none_or(|after| one.provider_id > *after))
            .collect();
        if self.dice.strikes(Fault::Stale, || About::All) {
            // A listing may be old when it arrives. One that misses what was there when it was
            // asked for is a partial answer, and that is an error.
            if self.dice.below(2) == 0 {
                return Err(Error::new(ErrorKind::Unavailable, "the listing is stale"));
            }
            for _ in 0..self.dice.below(STALE_TURNS_MAX) {
                give_way().await;
            }
        }
        Ok(Page::first(owned, Self::PAGE, |one| one.provider_id.clone()))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        give_way().await;
        let strikes = |fault| self.dice.strikes(fault, || About::All);
        if strikes(Fault::Refused) {
            return Err(Error::new(ErrorKind::Unavailable, "refused by the simulation"));
        }
        if strikes(Fault::Delayed) {
            self.world.remove_later(&resource.provider_id, self.delay());
            give_way().await;
            return Err(lost());
        }
        self.world.remove(&resource.provider_id);
        give_way().await;
        if strikes(Fault::ReplyLost) { Err(lost()) } else { Ok(()) }
    }
}
