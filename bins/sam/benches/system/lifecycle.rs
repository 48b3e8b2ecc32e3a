//! Whole lives of workspaces on the embedded store.
//!
//! The peer is one connection making bare transactions of the same size: what the disk gives when
//! nobody shares a flush. Commits by direct callers stand between the two: what the store gives without
//! the engine.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sam_core::store::Store;
use sam_providers::sqlite::{SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};

use crate::PAIRS;
use crate::figures::{Pairs, Spread, float};
use crate::load::{CLIENTS, Sample, WINDOW, direct_commits, lives, runtime};
use crate::peer::bare_transactions;

pub(crate) fn run(dir: &Path) -> Result<()> {
    let mut engine = Pairs::default();
    let mut direct = Pairs::default();
    let mut samples = Vec::new();
    for turn in 0..PAIRS {
        let dir = dir.join(turn.to_string());
        std::fs::create_dir(&dir)?;
        let bare = bare_transactions(&dir.join("bare.db"), WINDOW / 2)?;
        let commits = runtime(1)?.block_on(async {
            let store = open(&dir.join("direct.db"))?;
            let commits = direct_commits(&[Arc::clone(&store) as Arc<dyn Store>]).await;
            store.close().await;
            commits
        })?;
        let sample = runtime(1)?.block_on(async {
            let store = open(&dir.join("sam.db"))?;
            let sample = lives(&[Arc::clone(&store) as Arc<dyn Store>]).await;
            store.close().await;
            sample
        })?;
        let bare = f64::midpoint(bare, bare_transactions(&dir.join("bare2.db"), WINDOW / 2)?);
        engine.push(sample.commits_per_second(), bare);
        direct.push(commits, bare);
        samples.push(sample);
    }
    println!("  bare transactions        {} /s", engine.peer());
    println!("  {CLIENTS} direct committers     {} commits/s", direct.ours());
    println!("    to bare                {} (aim 5)", direct.ratio());
    println!("  {CLIENTS} workspaces in flight  {} commits/s", engine.ours());
    println!("    to bare                {} (aim 5)", engine.ratio());
    println!(
        "    whole lives            {} /s",
        Spread::of(samples.iter().map(Sample::lives_per_second))
    );
    println!("    of each life: commits  {}", Sample::each(&samples, |counts| counts.commits));
    println!("      refused              {}", Sample::each(&samples, |counts| counts.refused));
    println!("      claimed              {}", Sample::each(&samples, |counts| counts.claimed));
    println!("      released alone       {}", Sample::each(&samples, |counts| counts.releases));
    println!("      reads                {}", Sample::each(&samples, |counts| counts.reads));
    println!(
        "    records per claim call {}",
        Spread::of(samples.iter().map(|s| float(s.counts.claimed) / float(s.counts.claims)))
    );
    Ok(())
}

fn open(path: &Path) -> Result<Arc<SqliteStore>> {
    let options = SqliteOptions::new(Arc::new(OsEntropy::new()));
    Ok(Arc::new(SqliteStore::open(path, Arc::new(SystemClock::new()), options)?))
}
