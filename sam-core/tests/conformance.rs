//! The store suite on the store in memory.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use sam_core::store::{MemoryStore, Store};
use sam_core::testkit::conformance::store::{CASES, Case, Fresh, StoreHarness};
use sam_core::time::{ManualClock, Timestamp};

#[derive(Debug)]
struct Memory;

#[async_trait]
impl StoreHarness for Memory {
    async fn fresh(&self) -> Fresh {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        Fresh::new(store, move |span| clock.advance(span))
    }
}

/// Nothing in memory waits for anything outside, so a case that does not complete at once never
/// would.
fn run(case: &Case) -> Result<(), Failed> {
    (case.run)(&Memory)
        .now_or_never()
        .ok_or("the case waits for something that never comes")?
        .map_err(|failure| failure.to_string().into())
}

fn main() -> ExitCode {
    let trial = |case: &'static Case| {
        Trial::test(format!("memory::{}::{}", case.clause, case.name), move || run(case))
    };
    let trials = CASES.iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
