//! A whole lifecycle on in-memory parts: no account, no file, no socket.
//!
//! Run with `cargo run -p sam-examples --bin quickstart`.

use std::sync::Arc;

use sam_core::compute::MemoryCompute;
use sam_core::engine::Stepped;
use sam_core::store::MemoryStore;
use sam_core::workspace::NewWorkspace;
use sam_core::{Caller, Sam};
use sam_providers::system::SystemClock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let sam = Sam::builder(store, Arc::new(MemoryCompute::new())).clock(clock).build()?;
    let ann = Caller::named("ann");

    let made = sam.create_workspace(NewWorkspace::new("octo/hello".parse()?), &ann).await?;
    while sam.step().await? == Stepped::Worked {}
    let running = sam.workspace(made.record.id).await?.expect("it was created");
    println!("{} is {}", running.record.name, running.record.state.code());

    sam.delete_workspace(made.record.id, &ann).await?;
    while sam.step().await? == Stepped::Worked {}
    let gone = sam.workspace(made.record.id).await?.expect("a tombstone is kept");
    println!("{} is {}", gone.record.name, gone.record.state.code());
    Ok(())
}
