//! Deliberate bugs, each a wrapper around a provider, a link, a store or decisions; the simulator
//! must find every one of them, and `docs/testing.md` says how soon.

mod decide;
mod link;
mod names;
mod provider;
mod rules;
mod store;

use std::fmt::Write as _;
use std::path::PathBuf;

use sam_core::testkit::sim::{Failure, Simulation};

/// Seeds within which a bug must be found.
const SEEDS_MAX: u64 = 2_000;

/// A deliberate bug.
struct Planted {
    name: &'static str,
    /// What it breaks, in words.
    breaks: &'static str,
    /// The invariant that must be named: how what was broken begins.
    invariant: &'static str,
    plant: fn(Simulation) -> Simulation,
}

fn all() -> Vec<Planted> {
    let by_part = [
        provider::planted(),
        link::planted(),
        store::planted(),
        decide::planted(),
        rules::planted(),
        names::planted(),
    ];
    by_part.into_iter().flatten().collect()
}

/// Returns the failure of the first seed that finds the bug, if one does.
fn first_failure(bug: &Planted) -> Option<Failure> {
    (0..SEEDS_MAX).find_map(|seed| (bug.plant)(Simulation::new(seed)).run().err())
}

fn table() -> String {
    let mut wrong = Vec::new();
    let mut table =
        String::from("| planted | what it breaks | seeds until caught |\n|---|---|---|\n");
    for bug in all() {
        let Some(failure) = first_failure(&bug) else {
            wrong.push(format!("{} is not found within {SEEDS_MAX} seeds", bug.name));
            continue;
        };
        let found = &failure.broken;
        if !found.starts_with(bug.invariant) {
            wrong.push(format!("{} is found as {found:?}", bug.name));
        }
        let seeds = failure.seed + 1;
        writeln!(table, "| planted: {} | {} | {seeds} |", bug.name, bug.breaks).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    table
}

/// The part of `docs/testing.md` that is written by this test.
const BEGIN: &str = "<!-- planted bugs: begin, written by SAM_BLESS=1 cargo test -p sam-core \
                     --test simulation -->\n";
const END: &str = "<!-- planted bugs: end -->\n";

#[test]
fn every_planted_bug_is_caught_and_the_table_of_them_is_true() {
    let table = table();
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/testing.md"));
    // The packaged crate has no docs folder; in the repository the file is there.
    let Ok(document) = std::fs::read_to_string(&path) else {
        let docs = path.parent().unwrap();
        assert!(!docs.exists(), "docs/testing.md is missing");
        return;
    };
    let (before, rest) = document.split_once(BEGIN).expect("the table begins");
    let (known, after) = rest.split_once(END).expect("the table ends");
    if known == table {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "a test asks whether to write its golden")]
    let bless = std::env::var_os("SAM_BLESS").is_some_and(|value| value == "1");
    assert!(
        bless,
        "the table of docs/testing.md is not true (SAM_BLESS=1 writes it anew):\n{table}\nit \
         says:\n{known}"
    );
    std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}

#[test]
fn there_are_enough_planted_bugs_and_no_two_of_one_name() {
    let mut names: Vec<_> = all().iter().map(|bug| bug.name).collect();
    assert!(names.len() >= 12, "{names:?}");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().len());
}

#[test]
fn the_engine_itself_refuses_an_effect_that_the_record_does_not_announce() {
    let bug = all().into_iter().find(|bug| bug.name == "effect-unannounced").unwrap();
    // The machine is never bought: the record is parked, and the run does not settle.
    let failure = (bug.plant)(Simulation::new(0)).run().unwrap_err();
    assert!(failure.broken.starts_with("not settled: "), "{failure}");
    assert!(!failure.history.iter().any(|line| line.contains("machine of")), "{failure}");
}

#[test]
fn a_failure_is_shrunk_to_something_a_person_can_read() {
    let bug = all().into_iter().find(|bug| bug.name == "no-adoption").unwrap();
    let seed = first_failure(&bug).expect("it is found").seed;
    let simulation = (bug.plant)(Simulation::new(seed));
    let failure = simulation.run_and_shrink().unwrap_err();
    let plan = *failure.plan;
    assert!(failure.broken.starts_with(bug.invariant));
    assert_eq!((plan.engines, plan.clients, plan.errands_max), (1, 1, 0), "{failure}");
    assert_eq!(plan.faults.active().count(), 1, "{failure}");
    assert!(plan.fault_budget <= 2 && failure.history.len() < 60, "{failure}");
    // It says how to see it again, and a second time it is the same.
    let text = failure.clone().with_commit(Some("0123abc".to_owned())).to_string();
    let again = format!("-p sam-core --features testkit --example sim -- --seed {seed}\n");
    for part in ["commit: 0123abc", again.as_str(), "shrunk in", " nd-1", "I2: two machines"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert_eq!(simulation.run_and_shrink().unwrap_err(), failure);
}
