//! Workspaces under names of their own: what is in the DNS, and what a name leads to.
//!
//! The terminal is a real one: its test needs git and `sam-agentd` beside `sam-server`, and is skipped by
//! name where that is not built (a failure with `SAM_REQUIRE_PEERS=1`).

#[cfg(test)]
mod home;
#[cfg(test)]
mod names;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), names::trials()).exit_code()
}
