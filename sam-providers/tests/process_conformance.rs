//! Local machines, held to the suites that every provider is held to, and tried at what is hard for
//! processes alone: nothing gets away, nobody else is hit.
//!
//! The test binary is its own holder: started with `fake-node` it takes the holder's part.

#[cfg(test)]
mod process;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use sam_core::conformance_trials;
use sam_core::testkit::conformance::volume::OfCompute;
use sam_core::testkit::conformance::{compute, owned, power, volume};

use self::process::harness::Home;
use self::process::{hard, holder};

const COMPUTE: &str = include_str!("not_applicable/process.compute.txt");
const POWER: &str = include_str!("not_applicable/process.power.txt");
const OWNED: &str = include_str!("not_applicable/process.owned.txt");
const VOLUME: &str = include_str!("not_applicable/process.volume.txt");

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "fake-node") {
        return holder::main(arguments);
    }
    let mut trials = conformance_trials! {
        compute::trials("process::compute", COMPUTE, Home::new),
        power::trials("process::power", POWER, Home::new),
        owned::trials("process::owned", OWNED, Home::new),
        volume::trials("process::volume", VOLUME, || OfCompute::new(Home::new())),
    };
    trials.extend(hard::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
