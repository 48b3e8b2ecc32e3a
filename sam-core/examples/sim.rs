//! Runs the simulation: `--seeds N` from `--from N` on, or one `--seed N` with its history.
//!
//! Run with `cargo run --release -p sam-core --features testkit --example sim -- --seeds 2000`.

use std::process::ExitCode;

use sam_core::testkit::sim::Simulation;

#[expect(clippy::print_stdout, reason = "a program that reports")]
fn main() -> ExitCode {
    let (mut from, mut count) = (0_u64, 200_u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|text| text.parse().ok());
        match (name.as_str(), value) {
            ("--seed", Some(seed)) => (from, count) = (seed, 1),
            ("--seeds", Some(seeds)) => count = seeds,
            ("--from", Some(seed)) => from = seed,
            _ => {
                println!("usage: sim [--seeds N] [--from N] | --seed N");
                return ExitCode::from(2);
            }
        }
    }
    let (mut steps, mut revisions, mut crashes, mut machines) = (0, 0, 0, 0);
    for seed in from..from.saturating_add(count) {
        match Simulation::new(seed).run() {
            Ok(summary) => {
                steps += summary.steps;
                revisions += summary.revisions;
                crashes += summary.crashes;
                machines += summary.machines;
            }
            Err(failure) => {
                println!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{count} seeds from {from}: {steps} steps, {revisions} revisions, {crashes} crashes, \
         {machines} machines, nothing leaked"
    );
    ExitCode::SUCCESS
}
