//! Runs the simulation on every processor: `--seeds N` from `--from N` on, or one `--seed N` with
//! its history. A seed that fails is shrunk to the smallest run that fails alike.
//!
//! A million seeds: `cargo run --release -p sam-core --features testkit --example sim -- --seeds
//! 1000000`. More: `--long` makes each run long, `--coverage` shows what was reached, `--complete`
//! fails where a legal step was not, and `--threads N` takes fewer or more threads.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sam_core::testkit::sim::{Coverage, Failure, Plan, Simulation};

/// Seeds a thread takes at once.
const BATCH: u64 = 64;

struct Arguments {
    from: u64,
    seeds: u64,
    threads: usize,
    long: bool,
    show_coverage: bool,
    complete: bool,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut read = Self {
            from: 0,
            seeds: 2_000,
            threads,
            long: false,
            show_coverage: false,
            complete: false,
        };
        while let Some(word) = words.next() {
            let mut number = || words.next()?.parse::<u64>().ok();
            match word.as_str() {
                "--seed" => (read.from, read.seeds) = (number()?, 1),
                "--seeds" => read.seeds = number()?,
                "--from" => read.from = number()?,
                "--threads" => read.threads = usize::try_from(number()?).ok()?.clamp(1, 256),
                "--long" => read.long = true,
                "--coverage" => read.show_coverage = true,
                "--complete" => read.complete = true,
                _ => return None,
            }
        }
        Some(read)
    }

    fn simulation(&self, seed: u64) -> Simulation {
        Simulation::of(if self.long { Plan::long(seed) } else { Plan::drawn(seed) })
    }
}

/// What all threads found together.
#[derive(Default)]
struct Found {
    steps: u64,
    revisions: u64,
    crashes: u64,
    machines: u64,
    coverage: Coverage,
    /// The failure of the lowest seed.
    failure: Option<Failure>,
}

impl Found {
    fn merge(&mut self, other: Self) {
        self.steps += other.steps;
        self.revisions += other.revisions;
        self.crashes += other.crashes;
        self.machines += other.machines;
        self.coverage.merge(&other.coverage);
        if let Some(failure) = other.failure
            && self.failure.as_ref().is_none_or(|known| failure.seed < known.seed)
        {
            self.failure = Some(failure);
        }
    }
}

/// Takes batches of seeds until there are none left, or somebody has found a failure.
fn work(arguments: &Arguments, next: &AtomicU64, stop: &AtomicBool) -> Found {
    let mut found = Found::default();
    let end = arguments.from.saturating_add(arguments.seeds);
    while !stop.load(Ordering::Relaxed) {
        let start = next.fetch_add(BATCH, Ordering::Relaxed);
        if start >= end {
            break;
        }
        for seed in start..end.min(start.saturating_add(BATCH)) {
            match arguments.simulation(seed).run() {
                Ok(summary) => {
                    found.steps += summary.steps;
                    found.revisions += summary.revisions;
                    found.crashes += summary.crashes;
                    found.machines += summary.machines;
                    found.coverage.merge(&summary.coverage);
                }
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    found.failure = Some(failure);
                    return found;
                }
            }
        }
    }
    found
}

#[expect(clippy::print_stdout, reason = "a program that reports")]
fn main() -> ExitCode {
    let Some(arguments) = Arguments::read(std::env::args().skip(1)) else {
        println!(
            "usage: sim [--seeds N] [--from N] [--seed N] [--threads N] [--long] [--coverage] \
             [--complete]"
        );
        return ExitCode::from(2);
    };
    #[expect(clippy::disallowed_methods, reason = "it is the real time that is measured")]
    let started = Instant::now();
    let (next, stop) = (AtomicU64::new(arguments.from), AtomicBool::new(false));
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                let own = work(&arguments, &next, &stop);
                found.lock().unwrap_or_else(PoisonError::into_inner).merge(own);
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = found.failure {
        // The run that was found, made again for as long as it can be made smaller.
        let shrunk = arguments.simulation(failure.seed).run_and_shrink().err().unwrap_or(failure);
        println!("{}", shrunk.with_commit(commit()));
        return ExitCode::FAILURE;
    }
    let Found { steps, revisions, crashes, machines, coverage, .. } = found;
    let (seconds, seeds) = (started.elapsed().as_secs_f64(), arguments.seeds);
    if arguments.show_coverage {
        print!("{coverage}");
    }
    println!(
        "{seeds} seeds from {}: {steps} steps, {revisions} revisions, {crashes} crashes, {machines} \
         machines, nothing leaked",
        arguments.from
    );
    let threads = arguments.threads;
    let rate = |seconds: f64| count(seeds) / seconds;
    println!("{seconds:.1} s on {threads} threads: {:.0} seeds/s", rate(seconds));
    if let Some(busy) = processor_seconds() {
        println!("{busy:.1} s of processors: {:.0} seeds/s on each", rate(busy));
    }
    let gaps = coverage.gaps();
    if arguments.complete && !gaps.is_empty() {
        println!("legal steps that were to be taken and were not, or the other way round:");
        for gap in &gaps {
            println!("  {gap}");
        }
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// As a number to divide; seeds are far fewer than it can hold exactly.
fn count(seeds: u64) -> f64 {
    u32::try_from(seeds).map_or(f64::INFINITY, f64::from)
}

/// The time this process was running, in seconds, where the system tells: on a machine that others
/// use, too, the wall clock says little.
fn processor_seconds() -> Option<f64> {
    // Linux counts in hundredths of a second here, whatever the kernel's own tick is.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().ok());
    let ticks = ticks.sum::<Option<u32>>()?;
    (ticks > 0).then(|| f64::from(ticks) / 100.0)
}

/// The commit of the sources, asked of git; none where there is no repository.
#[expect(clippy::disallowed_types, reason = "a program that runs on a developer's machine")]
fn commit() -> Option<String> {
    let output = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}
