//! The outside: machines that exist or not, whatever any record says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::idle::SimActivity;
use crate::compute::{Labels, Machine, MachineKey, OwnedResource, Power};
use crate::id::{NodeId, WorkspaceId};
use crate::time::{Clock as _, ManualClock, Timestamp};

/// How long a create or delete whose reply was lost may still take effect.
pub(super) const DELAY_MAX: Duration = Duration::from_mins(1);

/// The outside world, shared by all fakes.
#[derive(Debug, Clone)]
pub struct World {
    clock: ManualClock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// By the provider's own id: a provider that does not adopt can hold two of one key.
    pub(super) machines: BTreeMap<String, SimMachine>,
    /// What takes effect later.
    pending: BTreeMap<(Timestamp, u64), Pending>,
    /// Workspaces that are ready, and those whose processes run.
    pub(super) prepared: BTreeSet<(NodeId, WorkspaceId)>,
    /// Secrets that were handed out, to be looked for where they must not be.
    pub(super) secrets: Vec<String>,
    pub(super) created: u64,
    /// What goes on in workspaces that were asked for it.
    pub(super) activities: BTreeMap<WorkspaceId, SimActivity>,
    /// Workspaces that were seen idle and warned, and not stopped for it yet.
    pub(super) idle_seen: BTreeSet<WorkspaceId>,
}

#[derive(Debug, Clone)]
pub(super) struct SimMachine {
    pub(super) machine: Machine,
    /// Its agent answers from then on.
    pub(super) boots_at: Timestamp,
    /// Counts how often its processes were lost.
    pub(super) instance: u64,
}

#[derive(Debug, Clone)]
enum Pending {
    Create(MachineKey, Labels, Duration),
    Delete(MachineKey),
    Remove(String),
}

impl World {
    pub(super) fn new(clock: ManualClock) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Locks the world after everything that was due in it has happened.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        let now = self.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(entry) = state.pending.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Pending::Create(key, labels, boot) => {
                    state.adopt_or_create(&key, &labels, now.plus(boot));
                }
                Pending::Delete(key) => state.delete(&key),
                Pending::Remove(provider_id) => state.remove(&provider_id),
            }
        }
        state
    }

    /// World time: monotonic, untouched by jumps of the wall clock.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::EPOCH.plus(self.clock.monotonic())
    }

    pub(super) fn create_later(
        &self,
        key: &MachineKey,
        labels: &Labels,
        boot: Duration,
        delay: Duration,
    ) {
        let at = self.now().plus(delay.min(DELAY_MAX));
        let mut state = self.lock();
        let number = state.pending.len() as u64 + state.created * 1_000;
        state.pending.insert((at, number), Pending::Create(key.clone(), labels.clone(), boot));
    }

    pub(super) fn delete_later(&self, key: &MachineKey, delay: Duration) {
        let at = self.now().plus(delay.min(DELAY_MAX));
        let mut state = self.lock();
        let number = state.pending.len() as u64 + state.created * 1_000;
        state.pending.insert((at, number), Pending::Delete(key.clone()));
    }

    pub(super) fn remove_later(&self, provider_id: &str, delay: Duration) {
        let at = self.now().plus(delay.min(DELAY_MAX));
        let mut state = self.lock();
        let number = state.pending.len() as u64 + state.created * 1_000;
        state.pending.insert((at, number), Pending::Remove(provider_id.to_owned()));
    }

    /// Makes a machine whether or not there is one of this key, as a provider would that does not
    /// adopt. Only planted bugs call it.
    pub fn create_regardless(&self, key: &MachineKey, labels: &Labels) -> Machine {
        let now = self.now();
        self.lock().create(key, labels, now)
    }

    /// Returns how many machines exist.
    pub fn machine_count(&self) -> usize {
        self.lock().machines.len()
    }
}

impl State {
    pub(super) fn find(&self, key: &MachineKey) -> Option<&SimMachine> {
        self.machines.values().find(|known| known.machine.key == *key)
    }

    pub(super) fn find_mut(&mut self, key: &MachineKey) -> Option<&mut SimMachine> {
        self.machines.values_mut().find(|known| known.machine.key == *key)
    }

    pub(super) fn adopt_or_create(
        &mut self,
        key: &MachineKey,
        labels: &Labels,
        boots_at: Timestamp,
    ) -> Machine {
        match self.find(key) {
            Some(known) => known.machine.clone(),
            None => self.create(key, labels, boots_at),
        }
    }

    fn create(&mut self, key: &MachineKey, labels: &Labels, boots_at: Timestamp) -> Machine {
        self.created += 1;
        let id = format!("m{}", self.created);
        let machine = Machine::new(key.clone(), id.clone(), labels.clone());
        let known = SimMachine { machine: machine.clone(), boots_at, instance: self.created };
        self.machines.insert(id, known);
        machine
    }

    pub(super) fn delete(&mut self, key: &MachineKey) {
        self.machines.retain(|_, known| known.machine.key != *key);
        self.prepared.retain(|(node, _)| MachineKey::of(*node) != *key);
    }

    pub(super) fn owned(&self, labels: &Labels) -> Vec<OwnedResource> {
        let machines = self.machines.values().map(|known| known.machine.clone());
        let matching = machines.filter(|machine| machine.labels.contains(labels));
        matching.map(OwnedResource::machine).collect()
    }

    /// Deletes one machine by the provider's own id, and leaves another of the same key alone.
    pub(super) fn remove(&mut self, provider_id: &str) {
        if let Some(known) = self.machines.remove(provider_id)
            && self.find(&known.machine.key).is_none()
        {
            self.delete(&known.machine.key);
        }
    }

    pub(super) fn lose_power(&mut self, key: &MachineKey) {
        if let Some(known) = self.find_mut(key) {
            known.machine.power = Power::Off;
        }
    }

    pub(super) fn power_on(&mut self, key: &MachineKey, boots_at: Timestamp) {
        if let Some(known) = self.find_mut(key)
            && known.machine.power == Power::Off
        {
            known.machine.power = Power::On;
            known.boots_at = boots_at;
            known.instance += 1_000_000;
        }
    }
}
