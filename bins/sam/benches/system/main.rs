//! What the whole system costs, beside what the machine itself can do in the same run.
//!
//! `cargo build --release --workspace && cargo bench -p sam` measures everything;
//! `cargo bench -p sam -- lifecycle` measures one part. The parts are `lifecycle`, `replicas`
//! (with a PostgreSQL at `SAM_TEST_POSTGRES_URL`), `scale`, `terminal` and `size`. They print and never fail for a number: `docs/benchmarks.md` holds the aims.
//!
//! Invariants: ours and the peer's are measured in turns within one run, at least [`PAIRS`] times, and
//! only their ratio is a result, because absolute numbers are the machine's; every wait has an end;
//! nothing that was started outlives its part.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

mod control;
mod counting;
mod deadline;
mod figures;
mod lifecycle;
mod load;
mod peer;
mod postgres;
mod replicas;
mod scale;
mod size;
mod terminal;

use std::path::Path;

use anyhow::{Context as _, Result};

/// Turns of ours and the peer's.
const PAIRS: usize = 5;

type Part = (&'static str, fn(&Path) -> Result<()>);

const PARTS: [Part; 5] = [
    ("lifecycle", lifecycle::run),
    ("replicas", replicas::run),
    ("scale", scale::run),
    ("terminal", terminal::run),
    ("size", size::run),
];

fn main() -> Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if let Some(unknown) = chosen.iter().find(|name| !PARTS.iter().any(|(part, _)| part == name)) {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        anyhow::bail!("there is no part {unknown:?}: use {}", known.join(", "));
    }
    // Below the target directory, so that it is the disk people build on and no memory file system.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    println!("{} processors, {PAIRS} pairs; [min..max] beside each median", processors());
    for (name, run) in PARTS {
        if chosen.is_empty() || chosen.iter().any(|part| part == name) {
            println!("\n{name}");
            let dir = scratch.path().join(name);
            std::fs::create_dir(&dir)?;
            run(&dir).with_context(|| format!("part {name}"))?;
        }
    }
    Ok(())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
