//! The adapter for dynamic updates against a BIND 9 that the tests start themselves: the suites, and
//! what only a real server can say.
//!
//! Where there is no `named`, every test that needs one is reported as skipped, and fails where
//! `SAM_REQUIRE_PEERS=1`.

#[cfg(test)]
mod harness;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod named;
#[cfg(test)]
#[path = "../support/names.rs"]
mod names;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod trouble;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use sam_core::conformance_trials;
use sam_core::testkit::conformance::{dns, owned};

use self::harness::{OwnNames, Zone};
use self::named::Named;

const OWNED: &str = include_str!("../not_applicable/names.owned.txt");

macro_rules! trials {
    ($named:ident; $($module:ident::$name:ident),+ $(,)?) => {
        vec![$({
            let named = Arc::clone($named);
            Trial::test(concat!(stringify!($module), "::", stringify!($name)), move || {
                $module::$name(&named);
                Ok(())
            })
        }),+]
    };
}

fn trials(named: &Arc<Named>) -> Vec<Trial> {
    let (zone, longer) = (Arc::clone(named), Arc::clone(named));
    let third = Arc::clone(named);
    let mut trials = conformance_trials! {
        dns::trials("rfc2136", "", move || Zone::new(&zone)),
        dns::trials("rfc2136, hmac-sha512", "", move || Zone::with_longer_key(&longer)),
        owned::trials("rfc2136, names", OWNED, move || OwnNames::new(&third)),
    };
    trials.extend(trials![named;
        keys::a_key_that_the_server_does_not_know_is_told_from_a_wrong_secret,
        keys::clocks_that_are_too_far_apart_are_named_as_such,
        keys::a_key_without_rights_changes_nothing_and_lists_nothing,
        keys::an_unsigned_update_is_refused_by_the_server,
        keys::the_secret_is_never_shown,
        rules::a_wildcard_is_not_taken_for_the_names_that_it_answers,
        rules::an_alias_stands_alone_among_records_of_others,
        rules::what_sam_never_puts_is_a_conflict_and_left_out_of_lists,
        rules::a_name_outside_the_zone_is_absent_without_asking,
        rules::a_zone_of_somebody_else_is_told,
        rules::a_name_of_a_zone_below_is_not_called_absent,
        rules::shorter_times_are_raised_to_what_is_configured,
        rules::a_large_zone_comes_in_many_messages_and_pages,
        rules::a_vast_zone_is_refused_and_not_cut,
        trouble::fifty_puts_of_one_set_leave_one_of_them_whole,
        trouble::fifty_puts_of_fifty_sets_leave_all_of_them,
        trouble::a_put_that_breaks_off_anywhere_is_made_right_by_the_next,
    ]);
    trials
}

/// What needs no server but a socket.
fn alone() -> Vec<Trial> {
    let trial = |name: &'static str, test: fn()| {
        Trial::test(format!("trouble::{name}"), move || {
            test();
            Ok(())
        })
    };
    vec![
        trial("a_server_that_is_away_was_not_asked", trouble::a_server_that_is_away_was_not_asked),
        trial("a_lost_answer_is_in_doubt", trouble::a_lost_answer_is_in_doubt),
        trial("a_late_answer_is_in_doubt", trouble::a_late_answer_is_in_doubt),
        trial("an_unsigned_answer_is_no_answer", trouble::an_unsigned_answer_is_no_answer),
    ]
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (named, trials) = match Named::start() {
        Ok(named) => {
            let named = Arc::new(named);
            let trials = trials(&named);
            (Some(named), trials)
        }
        Err(why) => {
            let skipped = trials(&Arc::new(Named::absent())).into_iter().map(|trial| {
                let why = why.clone();
                Trial::test(trial.name().to_owned(), || Err(why.into()))
                    .with_kind("skipped: no named")
                    .with_ignored_flag(!named::must_have_peers())
            });
            (None, skipped.collect())
        }
    };
    let trials = trials.into_iter().chain(alone()).collect();
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    // Its process ends with it.
    drop(named);
    code
}
