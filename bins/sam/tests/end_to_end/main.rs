//! The whole system as people use it: the programs themselves, real repositories, a data directory
//! for each test. A test fails when it leaves a process, a directory or a record behind.
//!
//! `--kills N` kills each sort of process N times instead of 15, `--chaos N` makes N workspaces in the
//! chaos test instead of 20, `--seed S` repeats one run; all go behind `--`. The long runs:
//!
//! ```text
//! cargo test -p sam --test end_to_end -- --kills 100 kills
//! cargo test -p sam --test end_to_end -- --chaos 200 chaos
//! ```

#[cfg(test)]
mod backups;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod clouds;
#[cfg(test)]
mod deadline;
#[cfg(test)]
mod docker;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod home;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod leftovers;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod private;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod server;
#[cfg(test)]
mod terminals;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let (plan, rest) = plan::Plan::take(std::env::args().collect());
    let trials: Vec<Trial> = [
        home::seeing(),
        main_job::trials(),
        terminals::trials(),
        server::trials(),
        idle::trials(),
        leftovers::trials(),
        private::trials(),
        clouds::trials(),
        docker::trials(),
        replicas::trials(),
        backups::trials(),
        faults::trials(),
        kills::trials(plan),
        chaos::trials(plan),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&Arguments::from_iter(rest), trials).exit_code()
}
