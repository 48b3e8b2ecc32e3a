//! The PostgreSQL store on a real server: the suite of the trait, and what only a shared database can
//! do: have many writers, lose connections, be migrated by several at once, be another than before.
//!
//! The server is named by `SAM_TEST_POSTGRES_URL`; without it one on this machine is looked for. Where
//! none answers, every test is reported as skipped, and fails where `SAM_REQUIRE_PEERS=1`.

#[cfg(test)]
mod archive;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod leases;
#[cfg(test)]
#[path = "../restored/mod.rs"]
mod restored;
#[cfg(test)]
mod schemas;
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
        vec![$((concat!(stringify!($module), "::", stringify!($name)).to_owned(), Box::new(|| {
            support::block_on($module::$name());
            Ok(())
        }) as Test)),+]
    };
}

type Test = Box<dyn FnOnce() -> Result<(), libtest_mimic::Failed> + Send>;

fn tests() -> Vec<(String, Test)> {
    let conformance = |case: &'static Case| {
        let test: Test = Box::new(move || {
            support::block_on((case.run)(&support::Schemas))
                .map_err(|failure| failure.to_string().into())
        });
        (format!("conformance::{}::{}", case.clause, case.name), test)
    };
    let mut tests: Vec<(String, Test)> = CASES.iter().map(conformance).collect();
    tests.extend(secrets_suite::CASES.iter().map(|case| {
        let test: Test = Box::new(move || {
            support::block_on(secrets::conforms(case)).map_err(|failure| failure.to_string().into())
        });
        (format!("conformance::{}::{}", case.clause, case.name), test)
    }));
    tests.extend(trials![
        archive::a_backup_is_restored_under_another_epoch_and_without_its_leases,
        archive::a_backup_that_was_cut_or_changed_restores_nothing,
        archive::a_copy_never_touches_the_machines_of_the_original,
        archive::a_copy_has_no_secret_of_the_original,
        archive::a_replacement_keeps_its_secrets,
        archive::an_archive_from_before_secrets_is_restored,
        archive::nothing_is_restored_over_a_secret,
        archive::a_replacement_forgets_no_machine_bought_since,
        crash::a_commit_whose_connection_is_killed_is_found_or_not_and_never_twice,
        crash::a_lost_commit_is_waited_for_before_its_outcome_is_told,
        crash::everything_goes_on_after_all_connections_were_killed,
        crash::one_commit_that_cannot_be_stored_does_not_harm_the_others,
        crash::a_stalled_replica_does_not_stop_the_others_for_long,
        feed::no_reader_skips_or_reorders_while_many_replicas_write,
        feed::trimming_keeps_commits_whole_and_makes_old_cursors_stale,
        feed::another_replica_is_woken,
        feed::what_a_lost_notification_would_have_told_is_found_by_looking,
        feed::waiting_ends_when_the_store_is_closed,
        feed::time_flows_on_when_the_clock_of_the_server_was_put_back,
        leases::two_replicas_never_claim_the_same_record,
        leases::a_stale_owner_is_fenced_off_by_another_replica,
        leases::leases_outlive_the_process_that_opened_the_store,
        schemas::eight_replicas_that_start_at_once_migrate_once,
        schemas::a_schema_that_is_behind_is_opened_and_refused_until_it_is_migrated,
        schemas::a_newer_schema_is_never_touched,
        schemas::a_replica_stops_writing_when_the_schema_is_raised_under_it,
        schemas::tables_of_something_else_are_refused_and_left_alone,
        schemas::a_copy_of_the_database_is_recognised_and_begins_another_epoch,
        schemas::an_epoch_can_be_begun_by_hand,
        schemas::damage_is_found,
        schemas::a_database_that_is_not_there_is_explained,
        secrets::a_damaged_secret_is_found,
        secrets::a_put_whose_connection_is_killed_may_have_happened,
        secrets::a_schema_from_before_secrets_is_brought_up_to_date,
        secrets::every_replica_sees_the_same_secrets_and_the_feed_none,
        secrets::of_replacements_by_several_replicas_one_succeeds,
    ]);
    #[cfg(feature = "sqlite")]
    tests.extend(trials![archive::a_store_moves_from_sqlite_to_postgresql_and_back]);
    tests
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let skip = |why: String| {
        move |(name, _): (String, Test)| {
            let why = why.clone();
            let trial = Trial::test(name, || Err(why.into()));
            trial.with_kind("skipped: no PostgreSQL").with_ignored_flag(!support::must_have_peers())
        }
    };
    let trials = match support::server() {
        Ok(()) => tests().into_iter().map(|(name, test)| Trial::test(name, test)).collect(),
        Err(why) => tests().into_iter().map(skip(why)).collect(),
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}
