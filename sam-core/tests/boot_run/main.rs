//! The boot program at work: rendered boot data on a machine that is a directory, with a control plane
//! on the loopback. Python, openssl and `id` are the system's; where one of them is not there, every
//! test is reported as skipped, and fails where `SAM_REQUIRE_PEERS=1`.
#![expect(clippy::disallowed_types, reason = "a test that runs programs")]

#[cfg(test)]
mod cases;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod server;

use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial};

macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        [$((stringify!($name), cases::$name as fn())),+]
    };
}

fn main() -> ExitCode {
    let missing = ["python3", "openssl", "id"].into_iter().find(|program| !answers(program));
    #[expect(clippy::disallowed_methods, reason = "a test asks whether its peers must be there")]
    let required = std::env::var_os("SAM_REQUIRE_PEERS").is_some_and(|value| value == "1");
    let trial = |(name, test): (&'static str, fn())| match missing {
        None => Trial::test(name, move || {
            test();
            Ok(())
        }),
        Some(program) => Trial::test(name, move || Err(format!("there is no {program}").into()))
            .with_kind("skipped: a program is missing")
            .with_ignored_flag(!required),
    };
    let trials = trials![
        a_bad_signature_installs_nothing_although_the_checksum_is_right,
        a_download_is_tried_again_until_it_is_whole,
        a_download_that_always_breaks_off_installs_nothing,
        a_firewall_that_is_not_in_force_ends_the_boot,
        a_good_agent_is_installed_and_every_phase_is_reported,
        a_node_whose_token_was_used_is_left_alone,
        a_phase_that_fails_ends_the_boot_and_tells_why_without_the_token,
        a_second_control_plane_is_told_where_the_first_does_not_answer,
        a_wrong_checksum_installs_nothing,
        an_openssl_that_cannot_check_signatures_is_a_failure,
        five_failures_are_the_last,
        programs_that_are_missing_are_installed_and_looked_for_again,
        reports_are_repeated_and_a_silent_control_plane_does_not_stop_the_boot,
        what_is_not_there_is_asked_for_once,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().map(trial).collect()).exit_code()
}

/// Whether a program is there: what it says does not matter.
fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}
