//! Whole lives of workspaces on PostgreSQL, with one, two and four replicas.
//!
//! The peer is the same server, in the same turn, doing bare single-row transactions from as many
//! connections as there are writers of ours. Replicas are stores and engines of their own in this one
//! process, with as many threads each as a server has; they share machines and agents in memory.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sam_core::store::Store;
use sam_providers::postgres::PgStore;

use crate::PAIRS;
use crate::figures::{Pairs, Spread};
use crate::load::{CLIENTS, Sample, WINDOW, direct_commits, lives, runtime};
use crate::postgres::{Schema, connect};

const REPLICAS: [usize; 3] = [1, 2, 4];

/// What was measured with so many replicas.
#[derive(Default)]
struct Measured {
    direct: Pairs,
    engine: Pairs,
    samples: Vec<Sample>,
}

pub(crate) fn run(_dir: &Path) -> Result<()> {
    if let Err(error) = runtime(1)?.block_on(connect()) {
        println!("  skipped: {error:#}");
        return Ok(());
    }
    let mut alone = Vec::new();
    let mut measured: [Measured; REPLICAS.len()] = Default::default();
    for turn in 0..PAIRS {
        for (count, measured) in REPLICAS.into_iter().zip(&mut measured) {
            let schema = Schema::new(&format!("{turn}_{count}"));
            let runtime = runtime(count)?;
            let writers = i64::try_from(CLIENTS)?;
            alone.push(runtime.block_on(schema.bare_transactions(1, WINDOW / 2))?);
            let bare = || runtime.block_on(schema.bare_transactions(writers, WINDOW / 2));
            let before = bare()?;
            let (commits, sample) = runtime.block_on(ours(&schema, count))?;
            let bare = f64::midpoint(before, bare()?);
            runtime.block_on(schema.remove())?;
            measured.direct.push(commits, bare);
            measured.engine.push(sample.commits_per_second(), bare);
            measured.samples.push(sample);
        }
    }
    println!("  bare transactions, 1 connection {} /s", Spread::of(alone));
    for (count, Measured { direct, engine, samples }) in REPLICAS.into_iter().zip(&measured) {
        println!("  {count} replica(s)");
        println!("    bare, {CLIENTS} connections   {} /s", direct.peer());
        println!("    {CLIENTS} direct committers   {} commits/s", direct.ours());
        println!("      to bare              {} (aim 2)", direct.ratio());
        println!("    {CLIENTS} lives in flight     {} commits/s", engine.ours());
        println!("      to bare              {}", engine.ratio());
        let lives = Spread::of(samples.iter().map(Sample::lives_per_second));
        println!("    whole lives            {lives} /s");
        println!("      commits of each      {}", Sample::each(samples, |counts| counts.commits));
        println!("      refused              {}", Sample::each(samples, |counts| counts.refused));
    }
    Ok(())
}

async fn ours(schema: &Schema, replicas: usize) -> Result<(f64, Sample)> {
    let mut opened: Vec<Arc<PgStore>> = Vec::new();
    for _ in 0..replicas {
        opened.push(Arc::new(schema.open().await?));
    }
    let stores: Vec<Arc<dyn Store>> =
        opened.iter().map(|store| Arc::clone(store) as Arc<dyn Store>).collect();
    let commits = direct_commits(&stores).await?;
    let sample = lives(&stores).await?;
    for store in opened {
        store.close().await;
    }
    Ok((commits, sample))
}
