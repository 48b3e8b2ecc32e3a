//! One run of one plan.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use super::audit::Audit;
use super::client::{Errander, client};
use super::compute::SimCompute;
use super::coverage::Coverage;
use super::dns::SimDns;
use super::executor::{Executor, Ran, TaskId};
use super::failure::Broken;
use super::faults::{About, Dice, Fault};
use super::idle;
use super::ledger::Ledger;
use super::link::{SimLink, agents};
use super::parts::Parts;
use super::plan::Stream;
use super::rules::person;
use super::simulation::Simulation;
use super::store::SimStore;
use super::tape::Tape;
use super::world::{DELAY_MAX, World};
use crate::Secret;
use crate::compute::MachineKey;
use crate::entropy::SeededEntropy;
use crate::policy::Policy;
use crate::store::{MemoryStore, Store};
use crate::time::{ManualClock, Timestamp};

/// Steps within which everything must settle once there are no more faults.
const LIVENESS_STEPS: u64 = 60_000;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Steps made in all.
    pub steps: u64,
    /// Revisions written.
    pub revisions: u64,
    /// Processes that crashed.
    pub crashes: u64,
    /// Machines created.
    pub machines: u64,
    /// Workspaces stopped because nobody used them.
    pub idle_stops: u64,
    /// What was reached.
    pub coverage: Coverage,
}

/// A run that could not go on.
pub(super) struct Stopped {
    pub(super) broken: Broken,
    pub(super) history: Vec<String>,
}

type Stop = Box<Stopped>;

pub(super) struct Run<'a> {
    simulation: &'a Simulation,
    choice: SeededEntropy,
    dice: Dice,
    tape: Tape,
    clock: ManualClock,
    store: Arc<dyn Store>,
    ledger: Ledger,
    world: World,
    audit: Audit,
    executor: Executor,
    engines: Vec<TaskId>,
    clients: Vec<TaskId>,
    person: Option<TaskId>,
    started: u64,
    step: u64,
    crashes: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(simulation: &'a Simulation, taped: bool) -> Result<Self, Stop> {
        let plan = &simulation.plan;
        let clock = ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000));
        let tape = if taped { Tape::on(clock.clone()) } else { Tape::off() };
        let faults = plan.stream(Stream::Faults);
        let dice = Dice::new(plan.faults, plan.fault_budget, faults, tape.clone());
        let memory = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let store = (simulation.store)(memory);
        let ledger = Ledger::new(clock.clone());
        let world = World::new(clock.clone(), tape.clone(), plan.rules.names);
        let (books, outside, line) = (ledger.clone(), world.clone(), tape.clone());
        let audit = Audit::new(Arc::clone(&store), outside, books, line).map_err(|what| {
            Box::new(Stopped { broken: Broken { step: 0, what }, history: Vec::new() })
        })?;
        let audit = audit.with_nodes_max(plan.rules.nodes_max);
        let mut run = Self {
            simulation,
            choice: SeededEntropy::new(plan.stream(Stream::Schedule)),
            dice,
            tape,
            clock,
            store,
            ledger,
            world,
            audit,
            executor: Executor::default(),
            engines: Vec::new(),
            clients: Vec::new(),
            person: None,
            started: 0,
            step: 0,
            crashes: 0,
        };
        for _ in 0..plan.engines {
            let engine = run.engine();
            run.engines.push(run.executor.spawn(engine));
        }
        for number in 0..plan.clients {
            let client = run.client(number as u64);
            run.clients.push(run.executor.spawn(client));
        }
        if plan.rules.holds > 0 {
            let person = person(run.parts(), plan.stream(Stream::Person), plan.rules.holds);
            run.person = Some(run.executor.spawn(person));
        }
        let parts = run.parts();
        if let Ok(sam) = parts.sam(Arc::clone(&parts.provider)) {
            let choice = SeededEntropy::new(plan.stream(Stream::Agents));
            run.executor.spawn(agents(sam, run.world.clone(), choice));
        }
        Ok(run)
    }

    /// Makes the whole run: faults, then none, then the checks of the end.
    pub(super) fn through(mut self) -> Result<Summary, Stop> {
        match self.phases() {
            Ok(()) => Ok(Summary {
                steps: self.step,
                revisions: self.audit.revisions(),
                crashes: self.crashes,
                machines: self.world.lock().created,
                idle_stops: self.audit.idle_stops(),
                coverage: self.audit.coverage(),
            }),
            Err(what) => {
                self.tape.note(|| format!("broken     {what}"));
                let broken = Broken { step: self.step, what };
                Err(Box::new(Stopped { broken, history: self.tape.lines() }))
            }
        }
    }

    fn phases(&mut self) -> Result<(), String> {
        self.safety()?;
        self.dice.switch_off();
        self.tape.note(|| "phase      no more faults".to_owned());
        self.liveness()?;
        let (made, asked) = (self.audit.workspaces(), self.clients.len());
        if made != asked {
            return Err(format!("once: {made} workspaces were made of {asked} requests"));
        }
        self.audit.end()
    }

    fn parts(&mut self) -> Parts {
        self.started += 1;
        let (world, dice) = (&self.world, &self.dice);
        let compute = SimCompute::new(world.clone(), dice.clone());
        let link = Arc::new(SimLink::new(world.clone(), dice.clone()));
        let seed = self.simulation.plan.stream(Stream::Part(self.started));
        // The wall clock may jump by half a minute either way.
        let settles = DELAY_MAX + Duration::from_mins(2);
        let keep_warm = self.simulation.plan.keep_warm;
        let mut policy = Policy { create_settles_within: settles, keep_warm, ..Policy::default() };
        idle::switch_on(&mut policy, self.simulation.plan.seed);
        self.simulation.plan.rules.apply(&mut policy);
        let store = Arc::clone(&self.store);
        Parts {
            store: Arc::new(SimStore::new(store, dice.clone(), self.ledger.clone())),
            provider: (self.simulation.compute)(compute.clone()),
            compute,
            publishing: SimDns::new(world.clone(), dice.clone()).and_then(SimDns::publishing),
            link: (self.simulation.link)(link),
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(SeededEntropy::new(seed)),
            policy,
            boot_key: Secret::new([7; 32]),
        }
    }

    fn engine(&mut self) -> BoxFuture<'static, ()> {
        (self.simulation.engine)(self.parts())
    }

    fn client(&mut self, number: u64) -> impl Future<Output = ()> + Send + 'static {
        let plan = &self.simulation.plan;
        let errander = Errander {
            number,
            seed: plan.stream(Stream::Client(number)),
            errands: plan.errands,
            errands_max: plan.errands_max,
        };
        client(self.parts(), errander)
    }

    /// One task goes on; tells whether there was none.
    fn advance(&mut self) -> Result<Ran, String> {
        self.step += 1;
        let ran = self.executor.step(&self.choice);
        if ran == Ran::Task {
            self.audit.look()?;
        }
        Ok(ran)
    }

    /// Nobody can go on: time does.
    fn pass_time(&mut self) -> Result<(), String> {
        let next = self.clock.next_deadline_in().unwrap_or(Duration::from_secs(1));
        self.clock.advance(next.max(Duration::from_micros(1)));
        self.world.settle();
        self.audit.look()
    }

    fn safety(&mut self) -> Result<(), String> {
        let plan = &self.simulation.plan;
        for step in 0..plan.calm_steps.saturating_add(plan.safety_steps) {
            if step == plan.calm_steps {
                self.dice.switch_on();
            }
            if self.advance()? == Ran::Idle {
                self.pass_time()?;
            }
            self.strike();
            self.audit.struck(self.dice.take_struck());
        }
        Ok(())
    }

    /// What strikes a process, the clock or the world.
    fn strike(&mut self) {
        if self.dice.strikes(Fault::Crash, || About::All) {
            let victims = (self.engines.len() + self.clients.len()) as u64;
            self.crash(usize::try_from(self.dice.below(victims)).unwrap_or(0));
        }
        if self.simulation.plan.crash_at == Some(self.step) {
            self.crash(0);
        }
        if self.dice.strikes(Fault::ClockJump, || About::All) {
            let micros = i64::try_from(self.dice.below(60_000_000)).unwrap_or(0) - 30_000_000;
            self.jump(micros);
        }
        if self.dice.strikes(Fault::Vanished, || About::All)
            && let Some(key) = self.some_machine()
        {
            self.world.delete(&key, "vanished");
        }
        if self.dice.strikes(Fault::PowerLost, || About::All)
            && let Some(key) = self.some_machine()
        {
            self.world.lose_power(&key);
        }
    }

    /// Drops a process where it stands and starts it again: the engines first, then the clients.
    fn crash(&mut self, victim: usize) {
        self.crashes += 1;
        self.tape.note(|| format!("crash      process {victim}"));
        if let Some(&engine) = self.engines.get(victim) {
            let successor = self.engine();
            self.executor.crash(engine, successor);
        } else if let Some(&client) = self.clients.get(victim - self.engines.len())
            && !self.executor.is_over(client)
        {
            let successor = self.client((victim - self.engines.len()) as u64);
            self.executor.crash(client, successor);
        }
    }

    fn jump(&self, micros: i64) {
        self.tape.note(|| format!("clock      jumps by {} ms", micros / 1_000));
        self.clock.jump_wall(micros);
        // Both look at the clock now, so that they agree on when each lease ends.
        self.ledger.look_at_clock();
        drop(self.store.changes(None, 0).now_or_never());
    }

    fn some_machine(&self) -> Option<MachineKey> {
        let state = self.world.lock();
        let pick = usize::try_from(self.dice.below(state.machines.len() as u64)).ok()?;
        state.machines.values().nth(pick).map(|known| known.machine.key.clone())
    }

    fn liveness(&mut self) -> Result<(), String> {
        for _ in 0..LIVENESS_STEPS {
            if self.advance()? == Ran::Task {
                continue;
            }
            let mut people = self.clients.iter().chain(&self.person);
            let done = people.all(|&person| self.executor.is_over(person));
            if done && self.audit.unsettled().is_none() {
                return Ok(());
            }
            self.pass_time()?;
        }
        let what = self.audit.unsettled();
        let what = what.unwrap_or_else(|| "a client is not done, or nobody ever rests".to_owned());
        Err(format!("not settled: {what} after {LIVENESS_STEPS} steps without faults"))
    }
}
