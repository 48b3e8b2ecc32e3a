//! Makes a failing run smaller for as long as it fails alike, so that a person can read it.
//!
//! A smaller run draws the same numbers up to the first thing it leaves out, but may go another way
//! from there. So each smaller plan is also tried under a few other salts before it is given up.

use std::time::Duration;

use super::failure::{Broken, Failure};
use super::faults::{Fault, Faults};
use super::plan::{Errand, Plan};
use super::rules::Rules;
use super::simulation::Simulation;

/// Most runs made to shrink one failure.
const RUNS_MAX: u32 = 2_000;
/// Salts tried for each smaller plan.
const SALTS: u64 = 6;

/// The least chance, in a thousand, of a fault that is tried alone.
const ALONE: u64 = 100;

struct Shrink<'a> {
    simulation: &'a Simulation,
    /// The smallest plan so far that fails.
    plan: Plan,
    broken: Broken,
    invariant: String,
    runs: u32,
}

/// Returns the failure of the smallest run found.
pub(super) fn smallest(simulation: &Simulation, broken: Broken) -> Failure {
    let invariant = broken.invariant().to_owned();
    let mut shrink = Shrink { simulation, plan: simulation.plan, broken, invariant, runs: 0 };
    // What goes late may make room for more of what goes early: twice round.
    for _ in 0..2 {
        shrink.clients_and_engines();
        shrink.faults();
        shrink.errands();
        shrink.policy();
        shrink.steps();
        shrink.budget();
    }
    let from = simulation.plan;
    let smallest = simulation.clone().with_plan(shrink.plan);
    let mut failure = smallest.told(&shrink.broken);
    failure.shrunk = Some(Box::new((from, shrink.runs)));
    failure
}

impl Shrink<'_> {
    /// Keeps a plan if it fails alike, under its own salt or another.
    fn keep(&mut self, plan: &Plan) -> bool {
        if *plan == self.plan {
            return false;
        }
        for salt in 0..SALTS {
            if self.runs >= RUNS_MAX {
                return false;
            }
            self.runs += 1;
            let plan = Plan { salt: (plan.salt + salt) % SALTS, ..*plan };
            match self.simulation.clone().with_plan(plan).attempt() {
                Err(broken) if broken.invariant() == self.invariant => {
                    (self.plan, self.broken) = (plan, broken);
                    return true;
                }
                Ok(_) | Err(_) => {}
            }
        }
        false
    }

    fn clients_and_engines(&mut self) {
        for engines in 1..self.plan.engines {
            if self.keep(&Plan { engines, ..self.plan }) {
                break;
            }
        }
        for clients in 1..self.plan.clients {
            if self.keep(&Plan { clients, ..self.plan }) {
                break;
            }
        }
    }

    /// Switches faults off: all but one where that is enough, or else one by one.
    fn faults(&mut self) {
        let plan = self.plan;
        for fault in plan.faults.active() {
            let alone = Faults::NONE.with(fault, plan.faults.chance(fault).max(ALONE));
            if self.keep(&Plan { faults: alone, ..plan }) {
                return;
            }
        }
        for fault in Fault::ALL {
            let faults = self.plan.faults.with(fault, 0);
            self.keep(&Plan { faults, ..self.plan });
        }
    }

    fn errands(&mut self) {
        for errands_max in 0..self.plan.errands_max {
            if self.keep(&Plan { errands_max, ..self.plan }) {
                break;
            }
        }
        for errand in Errand::ALL {
            let errands = self.plan.errands.without(errand);
            self.keep(&Plan { errands, ..self.plan });
        }
    }

    fn policy(&mut self) {
        self.keep(&Plan { keep_warm: Duration::ZERO, ..self.plan });
        self.keep(&Plan { rules: Rules::default(), ..self.plan });
        for rules in [
            Rules { nodes_max: None, ..self.plan.rules },
            Rules { lifetime_max: None, ..self.plan.rules },
            Rules { holds: 0, ..self.plan.rules },
            Rules { names: false, ..self.plan.rules },
        ] {
            self.keep(&Plan { rules, ..self.plan });
        }
        self.keep(&Plan { calm_steps: 0, ..self.plan });
    }

    /// Looks for the fewest steps with faults, by halving.
    fn steps(&mut self) {
        let (mut low, mut high) = (0, self.plan.safety_steps);
        while low < high {
            let safety_steps = low.midpoint(high);
            if self.keep(&Plan { safety_steps, ..self.plan }) {
                high = safety_steps;
            } else {
                low = safety_steps + 1;
            }
        }
    }

    /// Looks for the fewest faults that must strike, by halving.
    fn budget(&mut self) {
        let (mut low, mut high) = (0, self.plan.fault_budget.min(self.plan.safety_steps * 4));
        while low < high {
            let fault_budget = low.midpoint(high);
            if self.keep(&Plan { fault_budget, ..self.plan }) {
                high = fault_budget;
            } else {
                low = fault_budget + 1;
            }
        }
    }
}
