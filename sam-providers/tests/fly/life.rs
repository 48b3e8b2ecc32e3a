//! Whole lives of workspaces, by the engine itself, at a Fly that fails and with engines that die.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use sam_core::engine::Stepped;
use sam_core::entropy::SeededEntropy;
use sam_core::store::MemoryStore;
use sam_core::workspace::{NewWorkspace, WorkspaceState};
use sam_core::{Caller, Sam, WorkspaceId};
use sam_providers::testkit::{Fault, empty, json};

use crate::drive::drop_after;
use crate::world::{APP, INSTALLATION, World, left};

/// Lives that are tried, each with faults and crashes of its own.
const SEEDS: u64 = 40;
/// Each life draws how many faults it is to meet, below this.
const FAULTS_MAX: u64 = 60;
/// Most steps of a phase.
const STEPS_MAX: usize = 3_000;

struct Life {
    world: World,
    sam: Sam,
    chance: SeededEntropy,
    /// How many faults were planned so far.
    planned: Cell<usize>,
    faults: usize,
    seed: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let world = World::bare();
        let clock = Arc::new(world.clock.clone());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let sam = Sam::builder(store, Arc::clone(&world.compute))
            .clock(clock)
            .installation(INSTALLATION)
            .build()
            .unwrap();
        let chance = SeededEntropy::new(seed);
        let faults = usize::try_from(chance.below(FAULTS_MAX)).unwrap();
        Self { world, sam, chance, planned: Cell::new(0), faults, seed }
    }

    fn state(&self, id: WorkspaceId) -> WorkspaceState {
        self.world.run(self.sam.workspace(id)).unwrap().unwrap().record.state
    }

    /// Steps until the workspace is in one of the states; with faults and crashes while `is_calm` is not.
    fn until(&self, id: WorkspaceId, wanted: &[WorkspaceState], is_calm: bool) {
        for _ in 0..STEPS_MAX {
            if wanted.contains(&self.state(id)) {
                return;
            }
            // A few faults at once, so that a call meets some of them, for a while.
            while !is_calm && self.planned.get() < self.faults && self.chance.below(3) > 0 {
                self.plan_a_fault();
            }
            if !is_calm && self.chance.below(5) == 0 {
                let polls = usize::try_from(self.chance.below(40)).unwrap();
                let _died = drop_after(&self.world.clock, polls, self.sam.step());
                self.world.clock.advance(Duration::from_secs(self.chance.below(20)));
                continue;
            }
            match self.world.run(self.sam.step()).unwrap() {
                Stepped::Idle { next_due_in } => {
                    self.world.clock.advance(next_due_in.unwrap_or(Duration::from_secs(1)));
                }
                _ => self.world.clock.advance(Duration::from_millis(10)),
            }
        }
        panic!(
            "seed {}: {:?} and not {wanted:?}, left {:?}",
            self.seed,
            self.state(id),
            left(&self.world.fake)
        );
    }

    fn plan_a_fault(&self) {
        let error = |status: u16, text: &str| json(status, &serde_json::json!({ "error": text }));
        let fault = match self.chance.below(8) {
            0 => Fault::DoAndCut,
            1 => Fault::Cut,
            2 => Fault::DoAndHang,
            3 => Fault::DoAndAnswer(empty(502)),
            4 => Fault::DoAndAnswer(error(408, "deadline_exceeded: it took too long")),
            5 => Fault::Refuse(error(429, "rate limit exceeded")),
            6 => Fault::Refuse(error(409, "machine ID x lease currently held by a@b")),
            _ => Fault::DoAndAnswer(error(500, "internal server error")),
        };
        let methods = ["GET", "POST", "DELETE"];
        let method = methods[usize::try_from(self.chance.below(3)).unwrap()];
        let paths = ["machines", "volumes", "secrets", "machines/"];
        let path = paths[usize::try_from(self.chance.below(4)).unwrap()];
        self.world.fake.fail_next(method, &format!("/v1/apps/{APP}/{path}"), fault);
        self.planned.set(self.planned.get() + 1);
        if self.chance.below(6) == 0 {
            self.world.fake.with(|fly| fly.fail_next_starts(1));
        }
    }
}

pub(crate) fn whatever_fails_no_life_leaves_anything() {
    let (mut came_up, mut struck) = (0, 0);
    for seed in 0..SEEDS {
        let life = Life::new(seed);
        let ann = Caller::named("ann");
        let new = NewWorkspace::new("octo/hello".parse().unwrap());
        let made = life.world.run(life.sam.create_workspace(new, &ann)).unwrap();
        let id = made.record.id;
        life.until(id, &[WorkspaceState::Running, WorkspaceState::Failed], false);
        let is_up = life.state(id) == WorkspaceState::Running;
        came_up += u64::from(is_up);
        let most = life.world.fake.with(|fly| fly.machines().len());
        assert!(most <= 1, "seed {seed}: {most} machines");
        life.world.run(life.sam.delete_workspace(id, &ann)).unwrap();
        life.until(id, &[WorkspaceState::Deleting, WorkspaceState::Deleted], false);
        struck += life.planned.get() - life.world.fake.faults_left();
        // What was planned and never met would meet nobody's expectations now.
        life.world.fake.forget_faults();
        life.until(id, &[WorkspaceState::Deleted], true);
        // One that was up is Deleted when everything is gone. One that failed has given its node back,
        // which goes by itself; and the sweep finds what came late.
        let things = left(&life.world.fake);
        assert!(!is_up || things.is_empty(), "seed {seed}: {things:?}");
        for _ in 0..STEPS_MAX {
            if left(&life.world.fake).is_empty() {
                break;
            }
            if let Stepped::Idle { next_due_in } = life.world.run(life.sam.step()).unwrap() {
                life.world.clock.advance(next_due_in.unwrap_or(Duration::from_secs(1)));
            }
        }
        assert_eq!(left(&life.world.fake), Vec::<String>::new(), "seed {seed}");
        life.world.check();
    }
    // Neither is everything in vain, nor does nothing go wrong.
    let told = format!("{came_up} of {SEEDS} came up, {struck} faults were met");
    assert!((SEEDS / 4..SEEDS).contains(&came_up) && struck > 200, "{told}");
}
