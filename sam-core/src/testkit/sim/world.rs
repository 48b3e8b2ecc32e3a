//! The outside: machines that exist or not, whatever any record says, and the agents on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::FutureExt as _;

use super::dns::base;
use super::idle::SimActivity;
use super::tape::Tape;
use crate::compute::{CreateMachine, Labels, Machine, MachineKey, OwnedResource, Power};
use crate::dns::{DnsProvider as _, MemoryDns, RecordKey, RecordSet};
use crate::id::{NodeId, WorkspaceId};
use crate::store::Signal;
use crate::time::{Clock as _, ManualClock, Timestamp};

/// How long a create or delete whose reply was lost may still take effect.
pub(super) const DELAY_MAX: Duration = Duration::from_mins(1);
/// How long a slow call takes at most: longer than the product's deadline for one.
pub(super) const SLOW_MAX: Duration = Duration::from_secs(40);

/// The outside world, shared by all fakes.
#[derive(Debug, Clone)]
pub struct World {
    clock: ManualClock,
    state: Arc<Mutex<State>>,
    /// Raised when there may be an agent that has something to do.
    pub(super) news: Arc<Signal>,
    tape: Tape,
    /// The DNS, in runs that publish names.
    zone: Option<Arc<MemoryDns>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// By the provider's own id: a provider that does not adopt can hold two of one key.
    pub(super) machines: BTreeMap<String, SimMachine>,
    /// What takes effect later.
    pending: BTreeMap<(Timestamp, u64), Pending>,
    /// Numbers what takes effect later.
    pendings: u64,
    /// Workspaces that are checked out.
    pub(super) prepared: BTreeSet<(NodeId, WorkspaceId)>,
    /// Workspaces that were ever checked out.
    pub(super) ever_prepared: BTreeSet<(NodeId, WorkspaceId)>,
    /// When the processes of an instance answer first, for every instance there ever was.
    pub(super) instances: BTreeMap<String, Timestamp>,
    /// Secrets that were handed out, to be looked for where they must not be.
    pub(super) secrets: BTreeSet<String>,
    /// Machines that were ever made of a key.
    pub(super) made: BTreeMap<MachineKey, u64>,
    pub(super) created: u64,
    /// What goes on in workspaces that were asked for it.
    pub(super) activities: BTreeMap<WorkspaceId, SimActivity>,
    /// Workspaces that were seen idle and warned, and not stopped for it yet.
    pub(super) idle_seen: BTreeSet<WorkspaceId>,
    /// Changes of names that take effect later.
    pub(super) names_pending: u64,
    /// What was seen by a fake that must never be.
    pub(super) broken: Option<String>,
    /// Something changed since the last look.
    dirty: bool,
}

#[derive(Debug, Clone)]
pub(super) struct SimMachine {
    pub(super) machine: Machine,
    /// Its agent answers from then on.
    pub(super) boots_at: Timestamp,
    /// Names its processes: another one after each loss.
    pub(super) instance: String,
    /// Counts how often its processes were started.
    starts: u64,
    pub(super) agent: Agent,
}

/// The agent on a machine, as far as it has come.
#[derive(Debug, Clone)]
pub(super) enum Agent {
    /// It has a token and no identity yet.
    New(NodeId, String),
    /// Its token was refused: it will never call.
    Refused,
    /// It has an identity, and opens a link whenever its machine runs.
    Identified,
}

/// What it takes to make a machine.
#[derive(Debug, Clone)]
pub(super) struct Order {
    key: MachineKey,
    labels: Labels,
    agent: Agent,
    boot: Duration,
}

impl Order {
    pub(super) fn new(request: &CreateMachine, boot: Duration) -> Self {
        let agent = Agent::New(request.boot.node_id, request.boot.token.expose().clone());
        Self { key: request.key.clone(), labels: request.labels.clone(), agent, boot }
    }
}

#[derive(Debug, Clone)]
enum Pending {
    Create(Order),
    Delete(MachineKey),
    DeleteName(RecordKey),
    PutName(RecordSet),
    Remove(String),
}

impl World {
    pub(super) fn new(clock: ManualClock, tape: Tape, names: bool) -> Self {
        let zone = base().filter(|_| names).map(|base| Arc::new(MemoryDns::new(base)));
        Self { clock, state: Arc::default(), news: Arc::default(), tape, zone }
    }

    pub(super) fn zone(&self) -> Option<Arc<MemoryDns>> {
        self.zone.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets happen what was due by now; called whenever time has passed.
    pub(super) fn settle(&self) {
        let now = self.now();
        let mut state = self.lock();
        while let Some(entry) = state.pending.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Pending::Create(order) => drop(self.adopt_or_create(&mut state, order, "late")),
                Pending::Delete(key) => self.delete_in(&mut state, &key, "late"),
                Pending::DeleteName(key) => {
                    state.names_pending -= 1;
                    self.delete_name_in(&mut state, &key, "late");
                }
                Pending::PutName(set) => {
                    state.names_pending -= 1;
                    self.put_name_in(&mut state, &set, "late");
                }
                Pending::Remove(provider_id) => self.remove_in(&mut state, &provider_id),
            }
        }
    }

    /// World time: monotonic, untouched by jumps of the wall clock.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::EPOCH.plus(self.clock.monotonic())
    }

    /// Takes time, as a call does that is slow.
    pub(super) async fn take_time(&self, span: Duration) {
        self.clock.sleep_until(self.clock.monotonic() + span).await;
    }

    /// Returns whether something changed since it was last asked.
    pub(super) fn take_dirty(&self) -> bool {
        std::mem::take(&mut self.lock().dirty)
    }

    pub(super) fn create(&self, order: Order) -> Machine {
        self.adopt_or_create(&mut self.lock(), order, "now")
    }

    fn adopt_or_create(&self, state: &mut State, order: Order, when: &str) -> Machine {
        match state.find(&order.key) {
            Some(known) => known.machine.clone(),
            None => self.make(state, order, when),
        }
    }

    fn make(&self, state: &mut State, order: Order, when: &str) -> Machine {
        self.tape.note(|| format!("world      machine of {} made ({when})", order.key));
        let Order { key, labels, agent, boot } = order;
        let boots_at = self.now().plus(boot);
        state.created += 1;
        state.dirty = true;
        *state.made.entry(key.clone()).or_default() += 1;
        let id = format!("m{}", state.created);
        let machine = Machine::new(key, id.clone(), labels);
        let instance = format!("{id}.1");
        state.instances.insert(instance.clone(), boots_at);
        let known = SimMachine { machine: machine.clone(), boots_at, instance, starts: 1, agent };
        state.machines.insert(id, known);
        self.news.raise();
        machine
    }

    pub(super) fn create_later(&self, order: Order, delay: Duration) {
        self.later(Pending::Create(order), delay);
    }

    pub(super) fn delete_later(&self, key: &MachineKey, delay: Duration) {
        self.later(Pending::Delete(key.clone()), delay);
    }

    pub(super) fn remove_later(&self, provider_id: &str, delay: Duration) {
        self.later(Pending::Remove(provider_id.to_owned()), delay);
    }

    fn later(&self, pending: Pending, delay: Duration) {
        let at = self.now().plus(delay.min(DELAY_MAX));
        let mut state = self.lock();
        state.pendings += 1;
        let number = state.pendings;
        state.pending.insert((at, number), pending);
    }

    pub(super) fn put_name(&self, set: &RecordSet, why: &str) {
        self.put_name_in(&mut self.lock(), set, why);
    }

    fn put_name_in(&self, state: &mut State, set: &RecordSet, why: &str) {
        self.tape.note(|| format!("world      {} is there ({why})", set.key()));
        state.dirty = true;
        let put = self.zone.as_ref().and_then(|zone| zone.put_record(set).now_or_never());
        if !matches!(put, Some(Ok(()))) {
            state.broken = Some(format!("the zone in memory refuses {}", set.key()));
        }
    }

    pub(super) fn put_name_later(&self, set: RecordSet, delay: Duration) {
        self.lock().names_pending += 1;
        self.later(Pending::PutName(set), delay);
    }

    pub(super) fn delete_name(&self, key: &RecordKey, why: &str) {
        self.delete_name_in(&mut self.lock(), key, why);
    }

    fn delete_name_in(&self, state: &mut State, key: &RecordKey, why: &str) {
        self.tape.note(|| format!("world      {key} is gone ({why})"));
        state.dirty = true;
        // It succeeds for the absent, too.
        drop(self.zone.as_ref().and_then(|zone| zone.delete_record(key).now_or_never()));
    }

    pub(super) fn delete_name_later(&self, key: RecordKey, delay: Duration) {
        self.lock().names_pending += 1;
        self.later(Pending::DeleteName(key), delay);
    }

    pub(super) fn delete(&self, key: &MachineKey, why: &str) {
        self.delete_in(&mut self.lock(), key, why);
    }

    fn delete_in(&self, state: &mut State, key: &MachineKey, why: &str) {
        if state.find(key).is_none() {
            return;
        }
        self.tape.note(|| format!("world      machine of {key} gone ({why})"));
        state.dirty = true;
        state.machines.retain(|_, known| known.machine.key != *key);
        state.prepared.retain(|(node, _)| MachineKey::of(*node) != *key);
    }

    /// Deletes one machine by the provider's own id, and leaves another of the same key alone.
    pub(super) fn remove(&self, provider_id: &str) {
        self.remove_in(&mut self.lock(), provider_id);
    }

    fn remove_in(&self, state: &mut State, provider_id: &str) {
        let Some(known) = state.machines.remove(provider_id) else { return };
        let key = &known.machine.key;
        self.tape.note(|| format!("world      {provider_id} of {key} gone (swept)"));
        state.dirty = true;
        if state.find(key).is_none() {
            state.prepared.retain(|(node, _)| MachineKey::of(*node) != *key);
        }
    }

    pub(super) fn lose_power(&self, key: &MachineKey) {
        if let Some(known) = self.lock().find_mut(key) {
            self.tape.note(|| format!("world      machine of {key} is off"));
            known.machine.power = Power::Off;
        }
    }

    pub(super) fn power_on(&self, key: &MachineKey, boot: Duration) {
        let mut state = self.lock();
        let Some(known) = state.find_mut(key).filter(|known| known.machine.power == Power::Off)
        else {
            return;
        };
        self.tape.note(|| format!("world      machine of {key} is on"));
        known.machine.power = Power::On;
        known.boots_at = self.now().plus(boot);
        known.starts += 1;
        known.instance = format!("{}.{}", known.machine.provider_id, known.starts);
        let (instance, boots_at) = (known.instance.clone(), known.boots_at);
        state.instances.insert(instance, boots_at);
        self.news.raise();
    }

    /// Makes a machine whether or not there is one of this key, as a provider would that does not
    /// adopt. Only planted bugs call it.
    pub fn create_regardless(&self, request: &CreateMachine) -> Machine {
        let order = Order::new(request, Duration::ZERO);
        self.make(&mut self.lock(), order, "without adopting")
    }

    /// Deletes a machine only after a while, as a provider does that takes its time. Only planted
    /// bugs call it; the honest provider says *in progress* meanwhile.
    pub fn delete_in_the_end(&self, key: &MachineKey) {
        self.delete_later(key, DELAY_MAX / 2);
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

    fn find_mut(&mut self, key: &MachineKey) -> Option<&mut SimMachine> {
        self.machines.values_mut().find(|known| known.machine.key == *key)
    }

    /// Returns the agent that is up and has no identity, or when the next one will be up.
    pub(super) fn new_agent(&self, now: Timestamp) -> NewAgent {
        let mut next = NewAgent::None;
        for known in self.machines.values() {
            let Agent::New(node, token) = &known.agent else { continue };
            if known.machine.power == Power::Off {
                continue;
            }
            if known.boots_at <= now {
                return NewAgent::Up(*node, token.clone());
            }
            next = match next {
                NewAgent::At(at) if at <= known.boots_at => NewAgent::At(at),
                _ => NewAgent::At(known.boots_at),
            };
        }
        next
    }

    pub(super) fn owned(&self, labels: &Labels) -> Vec<OwnedResource> {
        let machines = self.machines.values().map(|known| known.machine.clone());
        let matching = machines.filter(|machine| machine.labels.contains(labels));
        matching.map(OwnedResource::machine).collect()
    }

    pub(super) fn set_agent(&mut self, node: NodeId, agent: Agent) {
        if let Some(known) = self.find_mut(&MachineKey::of(node)) {
            known.agent = agent;
        }
    }
}

/// Which agent has to ask for its identity next.
pub(super) enum NewAgent {
    None,
    At(Timestamp),
    Up(NodeId, String),
}
