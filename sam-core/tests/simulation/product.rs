//! The product itself: nothing leaks, everything settles, and the runs reach what they must.

use sam_core::testkit::sim::{Coverage, Fault, Faults, Plan, Simulation};

/// Seeds of every `cargo test`.
const SEEDS: u64 = 400;

#[test]
fn no_seed_leaks_and_every_seed_settles() {
    for seed in 0..SEEDS {
        if let Err(failure) = Simulation::new(seed).run_and_shrink() {
            panic!("{failure}");
        }
    }
}

#[test]
fn seeds_that_once_failed_do_not_fail_again_however_long() {
    // The packaged crate has no such file; in the repository it is there.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/seeds.txt");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let seed = line.parse().expect("a seed is a number");
        for simulation in [Simulation::new(seed), Simulation::of(Plan::long(seed))] {
            if let Err(failure) = simulation.run_and_shrink() {
                panic!("{failure}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [77, 78, 79] {
        let first = Simulation::new(seed).run().unwrap();
        assert_eq!(first, Simulation::new(seed).run().unwrap());
    }
    let long = Simulation::of(Plan::long(77)).run().unwrap();
    assert_eq!(long, Simulation::of(Plan::long(77)).run().unwrap());
}

#[test]
fn a_crash_at_every_await_point_of_a_whole_life_leaks_nothing() {
    // One engine, one client that stops, starts and deletes; no other fault.
    let mut calm = (0..10_000)
        .map(Plan::drawn)
        .find(|plan| plan.clients == 1 && plan.engines == 1 && plan.errands_max == 4)
        .expect("one of all seeds is so");
    calm.faults = Faults::NONE;
    calm.safety_steps = 400;
    calm.rules.names = true;
    let whole = Simulation::of(calm).run().unwrap();
    assert!(whole.steps > 100, "it has a life: {whole:?}");
    for step in 1..=calm.safety_steps {
        let mut plan = calm;
        plan.crash_at = Some(step);
        match Simulation::of(plan).run() {
            Ok(summary) => assert_eq!(summary.crashes, 1),
            Err(failure) => panic!("crashed at step {step}: {failure}"),
        }
    }
}

#[test]
fn each_fault_alone_and_often_leaks_nothing() {
    for fault in Fault::ALL {
        for seed in 0..6 {
            let faults = Faults::NONE.with(fault, 150);
            if let Err(failure) = Simulation::new(seed).with_faults(faults).run() {
                panic!("{}: {failure}", fault.code());
            }
        }
    }
}

#[test]
fn plans_differ_in_kind() {
    let plans: Vec<Plan> = (0..2_000).map(Plan::drawn).collect();
    for engines in 1..=Plan::ENGINES_MAX {
        assert!(plans.iter().any(|plan| plan.engines == engines), "{engines} engines");
    }
    for fault in Fault::ALL {
        let off = plans.iter().filter(|plan| plan.faults.chance(fault) == 0).count();
        assert!((500..1_500).contains(&off), "{} is off in {off} of 2,000", fault.code());
    }
    let long = plans.iter().filter(|plan| plan.safety_steps == Plan::LONG_STEPS).count();
    assert!((10..80).contains(&long), "{long} of 2,000 are long");
}

/// The complete proof is `sim --complete` over the seeds of CI; here are the steps that so few
/// seeds as a `cargo test` has must have taken, too.
#[test]
fn a_few_hundred_seeds_take_nearly_every_legal_step() {
    let mut coverage = Coverage::default();
    for seed in 0..SEEDS {
        coverage.merge(&Simulation::new(seed).run().unwrap().coverage);
    }
    let gaps = coverage.gaps();
    let legal = Coverage::legal().len();
    assert!(gaps.len() * 4 <= legal, "{} of {legal} were not taken: {gaps:?}", gaps.len());
}
