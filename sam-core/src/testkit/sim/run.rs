//! One run under one seed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::checks;
use super::compute::SimCompute;
use super::executor::{Executor, Ran, TaskId};
use super::faults::{Dice, Faults};
use super::idle::{self, IdleCheck};
use super::link::SimLink;
use super::store::SimStore;
use super::world::{DELAY_MAX, World};
use crate::Secret;
use crate::compute::{ComputeProvider, MachineKey};
use crate::entropy::{Entropy, SeededEntropy};
use crate::id::WorkspaceId;
use crate::node_link::NodeLink;
use crate::policy::Policy;
use crate::sam::{Caller, Sam};
use crate::store::{MemoryStore, Store};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::workspace::{NewWorkspace, RepoRef};

/// Engines at work at once.
const ENGINES: usize = 2;
/// Steps of the phase with faults.
const SAFETY_STEPS: u64 = 3_000;
/// Steps within which everything must settle once there are no more faults.
const LIVENESS_STEPS: u64 = 60_000;

/// What an engine of a simulation is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Parts {
    /// The store, with its faults.
    pub store: Arc<dyn Store>,
    /// The provider, with its faults.
    pub compute: SimCompute,
    /// The link, with its faults.
    pub link: Arc<dyn NodeLink>,
    /// The clock that stands still until everybody waits.
    pub clock: Arc<dyn Clock>,
    /// This engine's own random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The spans of decisions.
    pub policy: Policy,
    /// The key of bootstrap tokens.
    pub boot_key: Secret<[u8; 32]>,
}

impl Parts {
    /// Puts the product together over these parts, with another provider where a test plants one.
    ///
    /// # Errors
    /// Never for the parts of a simulation.
    pub fn sam(&self, compute: Arc<dyn ComputeProvider>) -> crate::Result<Sam> {
        Sam::builder(Arc::clone(&self.store), compute)
            .clock(Arc::clone(&self.clock))
            .entropy(Arc::clone(&self.entropy))
            .link(Arc::clone(&self.link))
            .policy(self.policy.clone())
            .boot_key(self.boot_key.clone())
            .build()
    }
}

type EngineMaker = Arc<dyn Fn(Parts) -> BoxFuture<'static, ()> + Send + Sync>;

/// A run to be made.
#[derive(Clone)]
pub struct Simulation {
    seed: u64,
    faults: Option<Faults>,
    engine: EngineMaker,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Steps made in all.
    pub steps: u64,
    /// Revisions written.
    pub revisions: u64,
    /// Engines that crashed.
    pub crashes: u64,
    /// Machines created.
    pub machines: u64,
    /// Workspaces stopped because nobody used them.
    pub idle_stops: u64,
}

/// An invariant that did not hold, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// The step after which it was seen.
    pub step: u64,
    /// What did not hold.
    pub broken: String,
    /// The feed up to then, a line each, oldest first.
    pub history: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} step {}: {}", self.seed, self.step, self.broken)?;
        let command = "cargo run --release -p sam-core --features testkit --example sim --";
        writeln!(f, "again: {command} --seed {}", self.seed)?;
        self.history.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Failure {}

impl Simulation {
    /// Prepares a run of the product itself, with faults drawn from the seed.
    pub fn new(seed: u64) -> Self {
        let engine: EngineMaker = Arc::new(|parts: Parts| {
            Box::pin(async move {
                let compute = Arc::new(parts.compute.clone());
                if let Ok(sam) = parts.sam(compute) {
                    // A store that is down at the start ends the run: the host starts it again.
                    while sam.run(std::future::pending()).await.is_err() {
                        super::executor::give_way().await;
                    }
                }
            })
        });
        Self { seed, faults: None, engine }
    }

    /// Uses these faults instead of drawn ones.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Runs another engine: how a test plants a bug.
    #[must_use]
    pub fn with_engine(
        mut self,
        engine: impl Fn(Parts) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        self.engine = Arc::new(engine);
        self
    }

    /// Makes the run.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(&self) -> Result<Summary, Failure> {
        let mut run = Run::new(self);
        run.safety()?;
        run.dice.switch_off();
        run.liveness()?;
        run.done()
    }
}

struct Run<'a> {
    simulation: &'a Simulation,
    choice: SeededEntropy,
    dice: Dice,
    clock: ManualClock,
    memory: Arc<MemoryStore>,
    world: World,
    executor: Executor,
    engines: Vec<TaskId>,
    clients: Vec<TaskId>,
    started: u64,
    step: u64,
    crashes: u64,
    idle_check: IdleCheck,
}

impl<'a> Run<'a> {
    fn new(simulation: &'a Simulation) -> Self {
        let choice = SeededEntropy::new(simulation.seed);
        let faults = simulation.faults.unwrap_or_else(|| Faults::drawn(&choice));
        let dice = Dice::new(faults, choice.next_u64());
        let clock = ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000));
        let memory = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let world = World::new(clock.clone());
        let mut run = Self {
            simulation,
            choice,
            dice,
            clock,
            memory,
            world,
            executor: Executor::default(),
            engines: Vec::new(),
            clients: Vec::new(),
            started: 0,
            step: 0,
            crashes: 0,
            idle_check: IdleCheck::default(),
        };
        for _ in 0..ENGINES {
            let engine = run.start_engine();
            run.engines.push(engine);
        }
        for number in 0..=run.choice.below(3) {
            let parts = run.parts();
            let seed = run.choice.next_u64();
            let client = run.executor.spawn(client(parts, number, SeededEntropy::new(seed)));
            run.clients.push(client);
        }
        run
    }

    fn parts(&mut self) -> Parts {
        self.started += 1;
        let compute = SimCompute::new(self.world.clone(), self.dice.clone());
        let link = SimLink::new(self.world.clone(), self.dice.clone());
        let inner: Arc<dyn Store> = Arc::clone(&self.memory) as _;
        let entropy = SeededEntropy::new(self.simulation.seed ^ (self.started << 32));
        // The wall clock may jump by half a minute either way.
        let settles = DELAY_MAX + Duration::from_mins(2);
        let mut policy = Policy { create_settles_within: settles, ..Policy::default() };
        idle::switch_on(&mut policy, self.simulation.seed);
        Parts {
            store: Arc::new(SimStore::new(inner, self.dice.clone())),
            compute,
            link: Arc::new(link),
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(entropy),
            policy,
            boot_key: Secret::new([7; 32]),
        }
    }

    fn start_engine(&mut self) -> TaskId {
        let parts = self.parts();
        let engine = (self.simulation.engine)(parts);
        self.executor.spawn(engine)
    }

    fn fail(&self, broken: String) -> Failure {
        let history = checks::history_lines(&self.memory).unwrap_or_default();
        Failure { seed: self.simulation.seed, step: self.step, broken, history }
    }

    /// One task goes on, or time does.
    fn advance(&mut self) -> Result<(), Failure> {
        self.step += 1;
        if self.executor.step(&self.choice) == Ran::Idle {
            let next = self.clock.next_deadline_in().unwrap_or(Duration::from_secs(1));
            self.clock.advance(next.max(Duration::from_micros(1)));
        }
        self.idle_check.step(&self.memory, &self.world).map_err(|broken| self.fail(broken))?;
        checks::safety(&self.memory, &self.world).map_err(|broken| self.fail(broken))
    }

    fn safety(&mut self) -> Result<(), Failure> {
        for _ in 0..SAFETY_STEPS {
            self.advance()?;
            self.strike();
        }
        Ok(())
    }

    fn strike(&mut self) {
        let faults = self.dice.faults;
        if self.dice.strikes(faults.crash)
            && let Ok(victim) = usize::try_from(self.dice.below(self.engines.len() as u64))
        {
            self.executor.crash(self.engines[victim]);
            self.engines[victim] = self.start_engine();
            self.crashes += 1;
        }
        if self.dice.strikes(faults.clock_jump) {
            let micros = i64::try_from(self.dice.below(60_000_000)).unwrap_or(0) - 30_000_000;
            self.clock.jump_wall(micros);
        }
        if self.dice.strikes(faults.vanished)
            && let Some(key) = self.some_machine()
        {
            self.world.lock().delete(&key);
        }
        if self.dice.strikes(faults.power_lost)
            && let Some(key) = self.some_machine()
        {
            self.world.lock().lose_power(&key);
        }
    }

    fn some_machine(&self) -> Option<MachineKey> {
        let keys: Vec<MachineKey> =
            self.world.lock().machines.values().map(|known| known.machine.key.clone()).collect();
        let pick = usize::try_from(self.dice.below(keys.len() as u64)).ok()?;
        keys.get(pick).cloned()
    }

    fn liveness(&mut self) -> Result<(), Failure> {
        for round in 0..LIVENESS_STEPS {
            self.advance()?;
            let clients_done = self.clients.iter().all(|&client| self.executor.is_over(client));
            if clients_done && round % 16 == 0 {
                let unsettled = checks::unsettled(&self.memory, &self.world);
                if unsettled.map_err(|broken| self.fail(broken))?.is_none() {
                    return Ok(());
                }
            }
        }
        let what = checks::unsettled(&self.memory, &self.world);
        let what = what.ok().flatten().unwrap_or_else(|| "a client is not done".to_owned());
        Err(self.fail(format!("not settled within {LIVENESS_STEPS} steps: {what}")))
    }

    fn done(self) -> Result<Summary, Failure> {
        let revisions = checks::history(&self.memory, &self.world).map_err(|b| self.fail(b))?;
        let machines = self.world.lock().created;
        let idle_stops = self.idle_check.stops;
        Ok(Summary { steps: self.step, revisions, crashes: self.crashes, machines, idle_stops })
    }
}

/// An owner: asks for a workspace, changes its mind a few times, and never gives up on an answer.
async fn client(parts: Parts, number: u64, choice: SeededEntropy) {
    let Ok(sam) = parts.sam(Arc::new(parts.compute.clone())) else { return };
    let caller = Caller::named("ann").with_idempotency_key(Some(format!("key-{number}")));
    let text = if choice.below(10) == 0 { "/repos/missing" } else { "/repos/good" };
    let Ok(repo) = text.parse::<RepoRef>() else { return };
    let lease = (choice.below(8) == 0).then(|| Duration::from_secs(30 + choice.below(300)));
    let new = NewWorkspace::new(repo).with_lease(lease);
    let id = loop {
        match sam.create_workspace(new.clone(), &caller).await {
            Ok(workspace) => break workspace.record.id,
            Err(_) => pause(&parts, 100 + choice.below(2_000)).await,
        }
    };
    for _ in 0..choice.below(5) {
        pause(&parts, choice.below(60_000)).await;
        let wish = choice.below(4);
        // A few attempts: a refusal for good (deleted, failed) is an answer, too.
        for _ in 0..5 {
            if say(&sam, id, wish, &caller).await {
                break;
            }
            pause(&parts, 50 + choice.below(500)).await;
        }
    }
}

async fn say(sam: &Sam, id: WorkspaceId, wish: u64, caller: &Caller) -> bool {
    let said = match wish {
        0 => sam.delete_workspace(id, caller).await,
        1 | 2 => sam.stop_workspace(id, caller).await,
        _ => sam.start_workspace(id, caller).await,
    };
    said.is_ok()
}

async fn pause(parts: &Parts, millis: u64) {
    let deadline = parts.clock.monotonic() + Duration::from_millis(millis);
    parts.clock.sleep_until(deadline).await;
}
