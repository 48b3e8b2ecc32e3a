//! The SQLite store: the suite of the trait, and what only a file can do: be opened again, locked,
//! damaged, full, and left behind by a killed process.

#[cfg(test)]
mod archive;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod files;
#[cfg(test)]
#[path = "../restored/mod.rs"]
mod restored;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sam_core::testkit::conformance::secrets as secrets_suite;
use sam_core::testkit::conformance::store::{CASES, Case};

macro_rules! trials {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            support::block_on($module::$name());
            Ok(())
        })),+]
    };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = crash::child(&arguments) {
        return code;
    }
    let conformance = |case: &'static Case| {
        Trial::test(format!("conformance::{}::{}", case.clause, case.name), move || {
            support::block_on((case.run)(&support::Files))
                .map_err(|failure| failure.to_string().into())
        })
    };
    let mut trials: Vec<Trial> = CASES.iter().map(conformance).collect();
    trials.extend(secrets_suite::CASES.iter().map(|case| {
        Trial::test(format!("conformance::{}::{}", case.clause, case.name), move || {
            support::block_on(secrets::conforms(case)).map_err(|failure| failure.to_string().into())
        })
    }));
    trials.extend(trials![
        archive::a_backup_is_of_one_moment_while_writing_goes_on,
        archive::a_copy_never_touches_the_machines_of_the_original,
        archive::a_backup_that_was_cut_or_changed_restores_no_secret,
        archive::a_copy_has_no_secret_of_the_original,
        archive::a_replacement_keeps_its_secrets,
        archive::an_archive_from_before_secrets_is_restored,
        archive::nothing_is_restored_over_a_secret,
        archive::a_replacement_forgets_no_machine_bought_since,
        archive::what_is_not_a_store_is_not_backed_up,
        crash::a_process_killed_while_committing_loses_nothing_acknowledged,
        crash::a_failed_write_leaves_the_outcome_unknown_and_stops_the_store,
        crash::another_process_is_refused,
        feed::many_committers_leave_no_gap,
        feed::trimming_keeps_commits_whole_and_makes_old_cursors_stale,
        feed::waiting_ends_when_the_store_is_closed,
        files::a_copy_is_opened_under_another_epoch,
        files::a_damaged_feed_is_found,
        files::a_foreign_file_is_refused_and_left_alone,
        files::a_full_store_says_so_and_goes_on_when_there_is_room,
        files::a_missing_directory_is_named,
        files::a_newer_file_is_refused,
        files::a_second_opener_is_refused_until_the_first_closes,
        files::opening_again_finds_everything,
        files::time_does_not_go_back_when_opened_again,
        files::what_is_stored_is_private,
        secrets::a_closed_store_says_so_of_secrets_too,
        secrets::a_damaged_secret_is_found,
        secrets::a_store_from_before_secrets_is_brought_up_to_date,
        secrets::secrets_outlive_the_process_and_are_no_part_of_the_feed,
        secrets::the_file_holds_no_plain_text,
    ]);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
