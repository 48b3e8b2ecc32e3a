//! Random inventories of shared accounts, to prove the sweep: it never deletes what it must not, and
//! finds everything it should.
//!
//! Each seed draws records and an account that holds our machines, volumes and names, those of other installations, of
//! strangers, of before a restore and of deleted nodes, behind a provider that fails, answers from
//! earlier and loses replies. The account itself knows what each thing is and judges every deletion.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::compute::{
    Labels, ListOwned, MachineKey, MemoryCompute, OwnedResource, OwnedResources, ProviderName,
};
use crate::dns::OwnedNames;
use crate::engine::{Stepped, Stored as _, encode};
use crate::entropy::SeededEntropy;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::id::{CommitId, NodeId};
use crate::node::{NodeRecord, NodeState};
use crate::orphan::OrphanRecord;
use crate::page::Page;
use crate::sam::Sam;
use crate::store::{Actor, Commit, Due, Expect, MemoryStore, Store as _, Write, head};
use crate::sweep::Scope;
use crate::time::{Clock, ManualClock, Timestamp};

const SCOPE: &str = "account";
const OURS: &str = "home";
const OWNER: &str = "ann";
const STEP: Duration = Duration::from_mins(5);
/// Steps while the provider fails: five sweeps and the grace time.
const TROUBLED_STEPS: u32 = 12;
/// Steps of two sweeps once it does not.
const TWO_SWEEPS_STEPS: u32 = 4;
/// Steps until what was found is deleted, too: the grace time and a few pauses.
const DELETION_STEPS: u32 = 8;
/// Steps of the engine within one step of time.
const WORK_MAX: u32 = 2_000;

/// What a listed thing is, in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Truth {
    /// It must be there at the end.
    Keep,
    /// It must be gone at the end.
    Orphan,
    /// It must be there at the end, as a Recovered node.
    Recover,
}

#[derive(Debug, Clone)]
struct Thing {
    resource: OwnedResource,
    truth: Truth,
}

/// What one inventory was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counted {
    /// Things in the account.
    pub things: u64,
    /// True orphans; all were deleted.
    pub orphans: u64,
    /// Machines that were recovered.
    pub recovered: u64,
    /// Things that had to stay, and did.
    pub kept: u64,
}

#[derive(Debug)]
struct State {
    things: BTreeMap<String, Thing>,
    /// What was there at an earlier listing, for stale answers.
    earlier: Vec<OwnedResource>,
    wrong: Option<String>,
}

/// The shared account.
#[derive(Debug)]
struct Account {
    state: Mutex<State>,
    dice: Arc<SeededEntropy>,
    page: usize,
    trouble: std::sync::atomic::AtomicBool,
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strikes(&self, chance: u64) -> bool {
        self.trouble.load(std::sync::atomic::Ordering::Relaxed) && self.dice.below(1_000) < chance
    }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "refused by the account")
}

#[async_trait]
impl OwnedResources for Account {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        if self.strikes(150) {
            return Err(unavailable());
        }
        let mut state = self.lock();
        let present: Vec<OwnedResource> =
            state.things.values().map(|thing| thing.resource.clone()).collect();
        let from_earlier = self.strikes(200);
        let shown = if from_earlier { state.earlier.clone() } else { present.clone() };
        if query.after.is_none() {
            state.earlier = present;
        }
        drop(state);
        // A careless adapter that filters by another label only: strangers come through, and the rule
        // must sort them out.
        let careless = self.dice.below(4) == 0;
        let ours = |resource: &OwnedResource| careless || resource.labels.contains(&query.labels);
        let left = shown.into_iter().filter(ours).filter(|resource| {
            query.after.as_ref().is_none_or(|after| resource.provider_id > *after)
        });
        Ok(Page::first(left, self.page, |resource| resource.provider_id.clone()))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        if self.strikes(200) {
            return Err(unavailable());
        }
        let mut state = self.lock();
        let known = state.things.get(&resource.provider_id).map(|thing| thing.truth);
        match known {
            Some(Truth::Orphan) => drop(state.things.remove(&resource.provider_id)),
            Some(truth) => {
                state.wrong = Some(format!("deleted {resource:?}, which is to {truth:?}"));
            }
            None => {}
        }
        drop(state);
        if self.strikes(200) {
            let error = Error::new(ErrorKind::Timeout, "the account's reply was lost");
            return Err(error.with_effect(Effect::Unknown));
        }
        Ok(())
    }
}

/// What a thing's labels say beside its node.
#[derive(Debug, Clone, Copy)]
struct Tag<'a> {
    installation: &'a str,
    epoch: &'a str,
    owner: &'a str,
}

/// One inventory under one seed.
struct Case {
    seed: SeededEntropy,
    clock: ManualClock,
    store: Arc<MemoryStore>,
    account: Arc<Account>,
    sam: Sam,
    epoch: String,
    /// What comes about later: the step, and what it is.
    later: Vec<(u32, Thing)>,
    /// Nodes that are deleted later, with their machine: the step and the record.
    leaving: Vec<(u32, NodeRecord)>,
    counted: Counted,
}

/// Runs one inventory.
///
/// # Errors
/// What was wrong: a wrong deletion, or a true orphan that was not found within two sweeps, or not
/// deleted.
pub fn run(seed: u64) -> std::result::Result<Counted, String> {
    let case = Case::drawn(seed).map_err(|error| format!("inventory {seed}: {error}"))?;
    case.run().map_err(|wrong| format!("inventory {seed}: {wrong}"))
}

impl Case {
    fn drawn(number: u64) -> Result<Self> {
        let seed = SeededEntropy::new(number);
        let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
        let state = State { things: BTreeMap::new(), earlier: Vec::new(), wrong: None };
        let account = Arc::new(Account {
            state: Mutex::new(state),
            dice: Arc::new(SeededEntropy::new(seed.next_u64())),
            page: usize::try_from(1 + seed.below(7)).unwrap_or(1),
            trouble: std::sync::atomic::AtomicBool::new(true),
        });
        let mut scope = Scope::new(SCOPE.to_owned(), Arc::clone(&account) as _);
        scope.provider = SCOPE.parse().ok();
        let sam = Sam::builder(Arc::clone(&store) as _, Arc::new(MemoryCompute::new()))
            .clock(shared)
            .entropy(Arc::new(SeededEntropy::new(seed.next_u64())))
            .installation(OURS)
            .sweep(scope)
            .build()?;
        let epoch = ready(head(&*store))?.epoch.to_string();
        let (later, leaving, counted) = (Vec::new(), Vec::new(), Counted::default());
        let mut case = Self { seed, clock, store, account, sam, epoch, later, leaving, counted };
        for _ in 0..2 + case.seed.below(8) {
            case.draw_node()?;
        }
        Ok(case)
    }

    /// Draws a node and what there is of it in the account.
    fn draw_node(&mut self) -> Result<()> {
        let id = NodeId::new(self.clock.now(), &self.seed);
        let epoch = self.epoch.clone();
        let right = Tag { installation: OURS, epoch: &epoch, owner: OWNER };
        // Of before a restore.
        let old = Tag { epoch: "old", ..right };
        let (ready, deleted) = (Some(NodeState::Ready), Some(NodeState::Deleted));
        match self.seed.below(12) {
            0 | 1 => self.thing(id, right, Truth::Keep, ready)?,
            // Known since the restore.
            2 => self.thing(id, old, Truth::Keep, ready)?,
            3 => self.second_machine(id)?,
            4 | 5 => self.thing(id, right, Truth::Orphan, deleted)?,
            // A person decides.
            6 => self.thing(id, old, Truth::Keep, deleted)?,
            7 => self.thing(id, right, Truth::Recover, None)?,
            8 => {
                let installation = if self.seed.below(2) == 0 { "work" } else { "home2" };
                self.thing(id, Tag { installation, ..right }, Truth::Keep, deleted)?;
            }
            // A contradiction: a person decides.
            9 => self.thing(id, Tag { owner: "bob", ..right }, Truth::Keep, deleted)?,
            10 => self.leaving_node(id)?,
            _ => {
                let resource = OwnedResource::new("address", self.name(), Labels::default());
                self.appear(Thing { resource, truth: Truth::Keep });
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("{:016x}", self.seed.next_u64())
    }

    fn thing(
        &mut self,
        id: NodeId,
        tag: Tag<'_>,
        truth: Truth,
        state: Option<NodeState>,
    ) -> Result<()> {
        let machine = self.machine(id, tag)?;
        if let Some(state) = state {
            let known = machine.provider_id.clone();
            self.put_node(&node(id, state, Some(known), self.clock.now()), Expect::Absent)?;
        }
        // Volumes and names share the fate of their node, but are never recovered as one.
        for sort in [OwnedResource::VOLUME, OwnedNames::SORT] {
            if truth != Truth::Recover && self.seed.below(3) == 0 {
                let resource = OwnedResource::new(sort, self.name(), machine.labels.clone());
                self.appear(Thing { resource, truth });
            }
        }
        self.appear(Thing { resource: machine, truth });
        Ok(())
    }

    fn machine(&self, id: NodeId, tag: Tag<'_>) -> Result<OwnedResource> {
        let labels = Labels::default()
            .with(Labels::INSTALLATION, tag.installation)?
            .with(Labels::EPOCH, tag.epoch)?
            .with(Labels::NODE, &id.to_string())?
            .with(Labels::OWNER, tag.owner)?;
        let machine = OwnedResource::new(OwnedResource::MACHINE, self.name(), labels);
        Ok(machine.with_key(MachineKey::of(id).to_string()))
    }

    /// A node with two machines of its key: the one its record names stays.
    fn second_machine(&mut self, id: NodeId) -> Result<()> {
        let epoch = self.epoch.clone();
        let tag = Tag { installation: OURS, epoch: &epoch, owner: OWNER };
        let own = self.machine(id, tag)?;
        let second = self.machine(id, tag)?;
        let known = Some(own.provider_id.clone());
        self.put_node(&node(id, NodeState::Ready, known, self.clock.now()), Expect::Absent)?;
        self.account
            .lock()
            .things
            .insert(own.provider_id.clone(), Thing { resource: own, truth: Truth::Keep });
        self.appear(Thing { resource: second, truth: Truth::Orphan });
        Ok(())
    }

    /// A node that is deleted as it should be, while lists still show its machine.
    fn leaving_node(&mut self, id: NodeId) -> Result<()> {
        let epoch = self.epoch.clone();
        let tag = Tag { installation: OURS, epoch: &epoch, owner: OWNER };
        let machine = self.machine(id, tag)?;
        let known = Some(machine.provider_id.clone());
        let record = node(id, NodeState::Deleting, known, self.clock.now());
        self.put_node(&record, Expect::Absent)?;
        let step = u32::try_from(self.seed.below(u64::from(TROUBLED_STEPS))).unwrap_or(0);
        self.leaving.push((step, record));
        let thing = Thing { resource: machine, truth: Truth::Keep };
        self.account.lock().things.insert(thing.resource.provider_id.clone(), thing);
        Ok(())
    }

    /// Puts a thing into the account, now or later.
    fn appear(&mut self, thing: Thing) {
        let step = u32::try_from(self.seed.below(u64::from(TROUBLED_STEPS) * 2)).unwrap_or(0);
        if step < TROUBLED_STEPS {
            self.later.push((step, thing));
        } else {
            self.account.lock().things.insert(thing.resource.provider_id.clone(), thing);
        }
    }

    /// Writes a record that nothing is due for.
    fn put_node(&self, node: &NodeRecord, expect: Expect) -> Result<()> {
        let write = Write::put(node.key(), expect, encode(node)?, "drawn")
            .with_index(node.index())
            .with_due(Due::Never);
        let id = CommitId::new(self.clock.now(), &self.seed);
        let commit = Commit::new(id, Actor::system()).with_write(write);
        ready(async { self.store.commit(commit).await.map(drop).map_err(Error::from) })
    }

    fn run(mut self) -> std::result::Result<Counted, String> {
        for step in 0..TROUBLED_STEPS {
            self.happen(step).map_err(|error| error.to_string())?;
            self.work()?;
        }
        self.account.trouble.store(false, std::sync::atomic::Ordering::Relaxed);
        for _ in 0..TWO_SWEEPS_STEPS {
            self.work()?;
        }
        self.found()?;
        for _ in 0..DELETION_STEPS {
            self.work()?;
        }
        self.ended()
    }

    fn happen(&mut self, step: u32) -> Result<()> {
        let due: Vec<Thing> =
            self.later.extract_if(.., |(at, _)| *at == step).map(|(_, thing)| thing).collect();
        for thing in due {
            self.account.lock().things.insert(thing.resource.provider_id.clone(), thing);
        }
        let gone: Vec<NodeRecord> =
            self.leaving.extract_if(.., |(at, _)| *at == step).map(|(_, node)| node).collect();
        for node in gone {
            if let Some(machine) = &node.provider_id {
                self.account.lock().things.remove(machine);
            }
            let next = node.moved_to(NodeState::Deleted, self.clock.now());
            self.put_node(&next, Expect::Anything)?;
        }
        Ok(())
    }

    /// Lets time pass and everything be done that is due.
    fn work(&self) -> std::result::Result<(), String> {
        self.clock.advance(STEP);
        for _ in 0..WORK_MAX {
            let stepped = self.sam.step().now_or_never().ok_or("the engine waits")?;
            let wrong = self.account.lock().wrong.take();
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            match stepped {
                Ok(Stepped::Worked) => {}
                Ok(Stepped::Idle { .. }) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("the engine does not come to rest".to_owned())
    }

    fn orphan_records(&self) -> std::result::Result<BTreeMap<String, OrphanRecord>, String> {
        let page = self.sam.list_orphans(None, 1_000).now_or_never().ok_or("the store waits")?;
        let page = page.map_err(|error| error.to_string())?;
        let named = page
            .items
            .into_iter()
            .map(|orphan| (orphan.record.resource.provider_id.clone(), orphan.record));
        Ok(named.collect())
    }

    fn things(&self) -> Vec<Thing> {
        self.account.lock().things.values().cloned().collect()
    }

    /// After two sweeps without trouble every true orphan is known.
    fn found(&self) -> std::result::Result<(), String> {
        let known = self.orphan_records()?;
        for thing in self.things() {
            let id = &thing.resource.provider_id;
            if thing.truth == Truth::Orphan && !known.contains_key(id) {
                return Err(format!("not found within two sweeps: {:?}", thing.resource));
            }
        }
        Ok(())
    }

    fn ended(mut self) -> std::result::Result<Counted, String> {
        let left = self.orphan_records()?;
        let things = self.things();
        for thing in &things {
            let resource = &thing.resource;
            match thing.truth {
                Truth::Keep => self.counted.kept += 1,
                Truth::Orphan => return Err(format!("never deleted: {resource:?}")),
                Truth::Recover => {
                    let label = resource.labels.value(Labels::NODE).unwrap_or_default();
                    let id = label.parse::<NodeId>().map_err(|error| error.to_string())?;
                    let node = self.sam.node(id).now_or_never().ok_or("the store waits")?;
                    let node = node.map_err(|error| error.to_string())?;
                    if node.is_none_or(|node| node.record.state != NodeState::Recovered) {
                        return Err(format!("not recovered: {resource:?}"));
                    }
                    self.counted.recovered += 1;
                }
            }
        }
        for (id, orphan) in left {
            if !things.iter().any(|thing| thing.resource.provider_id == id) {
                return Err(format!("its record outlives {:?}", orphan.resource));
            }
        }
        self.counted.things = things.len() as u64;
        self.counted.orphans = ready(self.deletions()).map_err(|error| error.to_string())?;
        Ok(self.counted)
    }

    /// Counts the orphans that the feed says were deleted.
    async fn deletions(&self) -> Result<u64> {
        let start =
            crate::store::Cursor::new(head(&*self.store).await?.epoch, crate::store::Rev(0));
        let feed = self.store.changes(Some(&start), usize::MAX).await?;
        let crate::store::Feed::Changes(changes) = feed else { return Ok(0) };
        let deleted = changes.changes.iter().filter(|change| change.event == "orphan_deleted");
        Ok(deleted.count() as u64)
    }
}

#[expect(clippy::expect_used, reason = "it is a name")]
fn account_name() -> ProviderName {
    SCOPE.parse().expect("a provider's name")
}

fn node(id: NodeId, state: NodeState, machine: Option<String>, now: Timestamp) -> NodeRecord {
    let mut node = NodeRecord::requested(id, OWNER.to_owned(), account_name(), now);
    node.state = state;
    node.provider_id = machine;
    node
}

fn ready<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    work.now_or_never().unwrap_or_else(|| Err(Error::new(ErrorKind::Bug, "nothing here waits")))
}
