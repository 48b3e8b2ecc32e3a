//! Local machines, held to the suite that every provider is held to, and tried at what is hard for
//! processes alone: nothing gets away, nobody else is hit.
//!
//! The test binary is its own holder: started with `fake-node` it takes the holder's part.

#[cfg(test)]
mod process;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use sam_core::compute::ComputeProvider as _;
use sam_core::testkit::conformance::compute::{CASES, Case};

use self::process::harness::Home;
use self::process::{hard, holder};

/// Cases that say nothing about this provider, by name.
const NOT_APPLICABLE: [&str; 3] = [
    "a_claimed_region_is_on_offer",
    "there_is_no_power_where_none_is_claimed",
    "nothing_is_owned_where_no_list_is_claimed",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "fake-node") {
        return holder::main(arguments);
    }
    let (bound, rest): (Vec<&Case>, Vec<&Case>) = {
        let capabilities = Home::new().compute.capabilities();
        CASES.iter().partition(|case| case.requires.applies_to(&capabilities))
    };
    let rest: Vec<&str> = rest.into_iter().map(|case| case.name).collect();
    let mut trials: Vec<Trial> = bound
        .into_iter()
        .map(|case| Trial::test(case.name, move || conform(*case)).with_kind(case.clause))
        .collect();
    for name in &rest {
        let trial = Trial::test(*name, || Ok(())).with_kind("not applicable");
        trials.push(trial.with_ignored_flag(true));
    }
    trials.push(Trial::test("what_is_not_applicable_is_as_recorded", move || {
        if rest == NOT_APPLICABLE {
            Ok(())
        } else {
            Err(format!("not applicable: {rest:?}").into())
        }
    }));
    trials.extend(hard::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn conform(case: Case) -> Result<(), Failed> {
    process::harness::with_home(async |home| Ok(case.run(home).await?))
}
