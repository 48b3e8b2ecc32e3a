//! Machines at Fly, held to the suites of the traits and to the vendor's own description, against a
//! Fly in the process and on a socket; and what only this vendor can do.
//!
//! What needs the contracts is skipped by name where they are missing, and fails where
//! `SAM_REQUIRE_PEERS=1`.

#[cfg(test)]
#[path = "../support/contract.rs"]
mod contract;
#[cfg(test)]
#[path = "../support/drive.rs"]
mod drive;
#[cfg(test)]
#[path = "../support/scenario.rs"]
mod scenario;

#[cfg(test)]
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sam_core::conformance_trials;
use sam_core::testkit::conformance::{compute, owned, power};

use self::world::{Wired, World};

const COMPUTE: &str = include_str!("../not_applicable/fly.compute.txt");
const POWER: &str = include_str!("../not_applicable/fly.power.txt");
const OWNED: &str = include_str!("../not_applicable/fly.owned.txt");

macro_rules! trials {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok(())
        })),+]
    };
}

/// Tests that read the contracts.
macro_rules! with_contracts {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$({
            let name = concat!(stringify!($module), "::", stringify!($name));
            if contract::folder().is_some() {
                Trial::test(name, || {
                    $module::$name();
                    Ok(())
                })
            } else {
                Trial::test(name, || Err("there are no contracts beside the checkout".into()))
                    .with_kind("skipped: no contracts")
                    .with_ignored_flag(!contract::is_required())
            }
        }),+]
    };
}

fn main() -> ExitCode {
    let mut trials = conformance_trials! {
        compute::trials("fly::compute", COMPUTE, World::bare),
        power::trials("fly::power", POWER, World::bare),
        owned::trials("fly::owned", OWNED, World::bare),
        compute::trials("stacked::compute", COMPUTE, World::stacked),
        power::trials("stacked::power", POWER, World::stacked),
        owned::trials("stacked::owned", OWNED, World::stacked),
        compute::trials("wired::compute", COMPUTE, Wired::new),
        power::trials("wired::power", POWER, Wired::new),
        owned::trials("wired::owned", OWNED, Wired::new),
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
