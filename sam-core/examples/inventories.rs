//! Proves the sweep on random inventories of shared accounts: nothing is deleted that must stay, and
//! every true orphan is found within two sweeps and deleted.
//!
//! Run with `cargo run --release -p sam-core --features testkit --example inventories -- 100000`.

use std::process::ExitCode;

use sam_core::testkit::inventories;

#[expect(clippy::print_stdout, reason = "a program that reports")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Some(Ok(count)), from) = (arguments.next(), arguments.next()) else {
        println!("usage: inventories COUNT [FROM]");
        return ExitCode::from(2);
    };
    let from = from.and_then(Result::ok).unwrap_or(0);
    let (mut deleted, mut recovered, mut kept) = (0, 0, 0);
    for seed in from..from.saturating_add(count) {
        match inventories::run(seed) {
            Ok(counted) => {
                deleted += counted.orphans;
                recovered += counted.recovered;
                kept += counted.kept;
            }
            Err(wrong) => {
                println!("{wrong}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{count} inventories from {from}: {deleted} orphans found and deleted, {recovered} machines \
         recovered, {kept} things left alone, 0 wrong deletions"
    );
    ExitCode::SUCCESS
}
