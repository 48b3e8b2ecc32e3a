//! What must hold at every step: read from the feed as it grows, and from the world as it changes.
//!
//! Nothing is read twice while a run goes on, and bodies are read for the few fields that matter
//! here. At the end the whole feed is read again and held against what was seen.

mod end;
mod facts;
mod names;
mod rules;
mod settled;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::FutureExt as _;

use self::facts::Facts;
use self::rules::Watch;
use super::coverage::{Coverage, Passage};
use super::faults::{About, Fault};
use super::ledger::Ledger;
use super::tape::Tape;
use super::world::World;
use crate::compute::MachineKey;
use crate::id::WorkspaceId;
use crate::node::{NodeRecord, NodeState};
use crate::store::{Change, ChangeOp, Cursor, Feed, RecordKey, Rev, Store};

/// Holds a run to the invariants.
pub(super) struct Audit {
    store: Arc<dyn Store>,
    world: World,
    ledger: Ledger,
    tape: Tape,
    cursor: Cursor,
    /// The feed so far.
    log: Vec<Change>,
    /// Every record there is, as the feed tells it.
    records: BTreeMap<RecordKey, Seen>,
    /// How often a machine was announced, by node: the bound of what may be spent.
    announced: BTreeMap<RecordKey, u64>,
    coverage: Coverage,
    idle_stops: u64,
    watch: Watch,
}

/// A record as its last change left it.
struct Seen {
    /// Its place in the log.
    place: usize,
    facts: Facts,
}

/// A machine may be made once for each time that a record announced it, and no more: what is
/// spent is bounded by what was written down first.
const MACHINES_PER_ANNOUNCEMENT: u64 = 1;

impl Audit {
    pub(super) fn new(
        store: Arc<dyn Store>,
        world: World,
        ledger: Ledger,
        tape: Tape,
    ) -> Result<Self, String> {
        let cursor = match read(&*store, None)? {
            Feed::Changes(changes) => Cursor::new(changes.head.epoch, Rev(0)),
            Feed::Stale { head, .. } => Cursor::new(head.epoch, Rev(0)),
        };
        Ok(Self {
            store,
            world,
            ledger,
            tape,
            cursor,
            log: Vec::new(),
            records: BTreeMap::new(),
            announced: BTreeMap::new(),
            coverage: Coverage::default(),
            idle_stops: 0,
            watch: Watch::default(),
        })
    }

    /// Allows so many nodes at once.
    pub(super) fn with_nodes_max(mut self, nodes_max: Option<u32>) -> Self {
        self.watch.nodes_max = nodes_max;
        self
    }

    /// Checks what is new since the last time. Costs nothing where nothing is.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let grown = self.ledger.news()?;
        if grown {
            self.follow()?;
            if let Some(missing) = self.ledger.missing() {
                return Err(missing);
            }
        }
        if self.world.take_dirty() || grown {
            self.machines()?;
            self.zone_is_known()?;
        }
        Ok(())
    }

    /// Counts where faults struck.
    pub(super) fn struck(&mut self, struck: Vec<(Fault, About)>) {
        let coverage = &mut self.coverage;
        for (fault, about) in struck {
            match about {
                About::Record(key) => {
                    if let Some((kind, state)) =
                        self.records.get(&key).and_then(|seen| seen.facts.state())
                    {
                        coverage.struck(fault, kind, state);
                    }
                }
                About::All => {
                    let states = self.records.values().filter_map(|seen| seen.facts.state());
                    for (kind, state) in states {
                        coverage.struck(fault, kind, state);
                    }
                }
            }
        }
    }

    pub(super) fn coverage(self) -> Coverage {
        self.coverage
    }

    pub(super) fn idle_stops(&self) -> u64 {
        self.idle_stops
    }

    pub(super) fn revisions(&self) -> u64 {
        self.log.len() as u64
    }

    /// Reads what the feed has grown by, commit by commit.
    fn follow(&mut self) -> Result<(), String> {
        loop {
            let changes = match read(&*self.store, Some(&self.cursor))? {
                Feed::Changes(changes) => changes.changes,
                Feed::Stale { .. } => return Err("I6: the feed's own cursor is stale".to_owned()),
            };
            let Some(last) = changes.last() else { return Ok(()) };
            self.cursor.rev = last.rev;
            for commit in changes.chunk_by(|one, next| one.commit_id == next.commit_id) {
                self.ledger.seen(commit)?;
            }
            for change in changes {
                self.apply(change)?;
            }
        }
    }

    fn apply(&mut self, change: Change) -> Result<(), String> {
        let place = self.log.len();
        let rev = change.rev;
        if rev.0 != place as u64 + 1 {
            return Err(format!("I6: revision {rev} stands at place {}", place + 1));
        }
        let before = self.records.get(&change.key);
        let expected = before.and_then(|seen| self.log.get(seen.place));
        let expected = expected.map_or(0, |change| change.version) + 1;
        if change.version != expected {
            return Err(format!("I6: {} goes to version {}", change.key, change.version));
        }
        let facts = Facts::of(&change)?;
        self.tape.note(|| {
            let state = facts.state().map_or("", |(_, state)| state);
            format!("feed {rev:>5} {} {state} ({})", change.key, change.event)
        });
        let before = before.map(|seen| &seen.facts);
        facts.follow(before, &change).map_err(|broken| format!("{broken} at revision {rev}"))?;
        if let Some((kind, to)) = facts.state() {
            let from = before.and_then(Facts::state).map_or("-", |(_, from)| from);
            self.coverage.passed(Passage::new(kind, from, to), &change.event);
        }
        match &facts {
            Facts::Node(node) => node.as_the_world_is(&self.world, &change)?,
            Facts::Workspace(workspace) => workspace.as_the_world_is(before, &self.world, rev)?,
            Facts::Name(_) if change.event == "name_published" => self.name_published(&change)?,
            Facts::Name(_) | Facts::Other => {}
        }
        self.held(&change)?;
        self.capped(&change)?;
        if change.event == "create_started" {
            match self.announced.get_mut(&change.key) {
                Some(count) => *count += 1,
                None => drop(self.announced.insert(change.key.clone(), 1)),
            }
        }
        if change.event == "idle_stopped" {
            self.idle_stop(&change)?;
        }
        match change.op {
            ChangeOp::Delete => drop(self.records.remove(&change.key)),
            ChangeOp::Put => {
                drop(self.records.insert(change.key.clone(), Seen { place, facts }));
            }
        }
        self.log.push(change);
        Ok(())
    }

    /// Nobody is stopped as idle who was not seen idle and warned in time.
    fn idle_stop(&mut self, change: &Change) -> Result<(), String> {
        let id = change.key.id.parse::<WorkspaceId>().map_err(|error| error.to_string())?;
        self.idle_stops += 1;
        if self.world.lock().idle_seen.remove(&id) {
            return Ok(());
        }
        Err(format!("idle: {id} was stopped and never seen idle and warned"))
    }

    /// No machine that no record answers for, no two of one key, and none that was not announced.
    fn machines(&self) -> Result<(), String> {
        let state = self.world.lock();
        if let Some(broken) = &state.broken {
            return Err(broken.clone());
        }
        let mut keys: Vec<&MachineKey> =
            state.machines.values().map(|known| &known.machine.key).collect();
        keys.sort_unstable();
        for (one, next) in keys.iter().zip(keys.iter().skip(1)) {
            if one == next {
                return Err(format!("I2: two machines of {one}"));
            }
        }
        for machine in keys {
            let key = RecordKey::new(NodeRecord::KIND, machine);
            let Some(Facts::Node(node)) = self.records.get(&key).map(|seen| &seen.facts) else {
                return Err(format!("I4: machine {machine} without a record"));
            };
            match node.state {
                NodeState::Requested => {
                    return Err(format!("I1: machine {machine} before its intention"));
                }
                NodeState::Deleted => {
                    return Err(format!("I4: machine {machine} outlives its record"));
                }
                _ => {}
            }
            let bound = self.announced.get(&key).copied().unwrap_or(0) * MACHINES_PER_ANNOUNCEMENT;
            let made = state.made.get(machine).copied().unwrap_or(0);
            if made > bound {
                return Err(format!("spend: {made} machines of {machine}, {bound} announced"));
            }
        }
        Ok(())
    }
}

fn read(store: &dyn Store, after: Option<&Cursor>) -> Result<Feed, String> {
    let limit = if after.is_some() { usize::MAX } else { 0 };
    now(store.changes(after, limit))
}

/// The store below a simulation answers at once.
fn now<T>(answer: impl Future<Output = crate::Result<T>>) -> Result<T, String> {
    let answer = answer.now_or_never().ok_or("the store below the simulation waits")?;
    answer.map_err(|error| error.to_string())
}
