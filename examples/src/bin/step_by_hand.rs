//! Driving the engine by hand: each step is one claim, one decision and at most one effect, and
//! the feed tells what it did. Useful for hosts without background tasks, and for tests.
//!
//! Run with `cargo run -p sam-examples --bin step_by_hand`.

use std::sync::Arc;
use std::time::Duration;

use sam_core::compute::MemoryCompute;
use sam_core::engine::Stepped;
use sam_core::store::{Feed, MemoryStore};
use sam_core::time::{ManualClock, Timestamp};
use sam_core::workspace::{NewWorkspace, WorkspaceState};
use sam_core::{Caller, Sam};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Time stands still until we move it: a lease of three minutes lapses at once.
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let sam = Sam::builder(store, Arc::new(MemoryCompute::new())).clock(clock.clone()).build()?;
    let lease = Some(Duration::from_mins(3));
    let new = NewWorkspace::new("octo/hello".parse()?).with_lease(lease);
    let made = sam.create_workspace(new, &Caller::named("ann")).await?;

    let mut after = sam.head().await?;
    after.rev.0 = 0;
    for step in 1.. {
        let stepped = sam.step().await?;
        if let Feed::Changes(changes) = sam.store().changes(Some(&after), 100).await? {
            for change in changes.changes {
                println!("step {step}: {} {}", change.key, change.event);
            }
            after = changes.head;
        }
        if let Stepped::Idle { next_due_in: Some(pause) } = stepped {
            println!("step {step}: nothing is due for {} s", pause.as_secs());
            clock.advance(pause);
        }
        // Sweeps go on for ever, so there is always something to come.
        let workspace = sam.workspace(made.record.id).await?;
        if workspace.is_some_and(|workspace| workspace.record.state == WorkspaceState::Deleted) {
            break;
        }
    }
    println!("everything was taken away again");
    Ok(())
}
