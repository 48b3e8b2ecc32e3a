//! A compute provider of one's own, small and complete: machines are files of a directory. Its test
//! holds it to the same suites as ours; `docs/adding-a-provider.md` walks through it.
//!
//! Run with `cargo run -p sam-examples --bin custom_compute`.

mod provider;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use sam_core::engine::Stepped;
use sam_core::store::MemoryStore;
use sam_core::workspace::NewWorkspace;
use sam_core::{Caller, Sam};
use sam_providers::system::SystemClock;

use self::provider::DirCompute;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("sam-machines-{}", std::process::id()));
    let compute = Arc::new(DirCompute::new(dir.clone()));
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let sam = Sam::builder(store, compute).clock(clock).build()?;
    let ann = Caller::named("ann");

    let made = sam.create_workspace(NewWorkspace::new("octo/hello".parse()?), &ann).await?;
    while sam.step().await? == Stepped::Worked {}
    println!("the directory holds: {:?}", names(&dir)?);

    sam.delete_workspace(made.record.id, &ann).await?;
    while sam.step().await? == Stepped::Worked {}
    println!("and now: {:?}", names(&dir)?);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

fn names(dir: &Path) -> std::io::Result<Vec<String>> {
    let entries = std::fs::read_dir(dir)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
