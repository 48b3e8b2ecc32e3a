//! The adapter for Cloudflare against a model of it: the suites, in the process and through a socket;
//! what is particular to Cloudflare; and trouble at every step.
//!
//! The model and every request are held to Cloudflare's own descriptions, where they lie beside the
//! checkout or below `SAM_SHARED`. What needs them is skipped by name where they are missing.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod harness;
#[cfg(test)]
#[path = "../support/names.rs"]
mod names;
#[cfg(test)]
mod rules;
#[cfg(test)]
#[path = "../support/contract.rs"]
mod support;
#[cfg(test)]
mod trouble;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sam_core::conformance_trials;
use sam_core::testkit::conformance::{dns, owned};

use self::harness::{Oddity, OwnNames, Zone};

const OWNED: &str = include_str!("../not_applicable/names.owned.txt");

macro_rules! trials {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok(())
        })),+]
    };
}

fn main() -> ExitCode {
    let mut trials = conformance_trials! {
        dns::trials("cloudflare", "", || Zone::new(Oddity::None)),
        dns::trials("cloudflare, bare texts and floats", "", || Zone::new(Oddity::OldShapes)),
        dns::trials("cloudflare, small pages", "", || Zone::new(Oddity::SmallPages)),
        dns::trials("cloudflare, over a socket", "", || Zone::new(Oddity::Socket)),
        owned::trials("cloudflare, names", OWNED, OwnNames::new),
    };
    trials.extend(trials![
        rules::a_name_outside_the_zone_is_refused_before_anything_is_sent,
        rules::one_change_is_one_request_and_several_are_one_batch,
        rules::a_record_that_is_changed_keeps_the_comment_of_others,
        rules::new_records_carry_comment_and_tags,
        rules::proxied_records_are_put_once_and_read_as_automatic,
        rules::an_alias_is_replaced_in_place,
        rules::records_that_sam_never_puts_are_left_alone,
        rules::a_foreign_set_is_a_conflict_and_left_out_of_lists,
        rules::the_zone_is_looked_up_once_and_again_when_it_is_gone,
        rules::a_known_zone_is_never_looked_up,
        rules::many_puts_of_one_set_leave_it_once,
        rules::a_full_zone_is_told_from_a_wrong_record,
        trouble::a_put_that_breaks_off_anywhere_is_made_right_by_the_next,
        trouble::a_delete_that_breaks_off_anywhere_is_made_right_by_the_next,
        trouble::what_was_done_and_reported_as_failed_is_in_doubt,
        trouble::what_is_refused_is_not_in_doubt,
        trouble::a_limit_is_kept_and_nothing_is_sent_meanwhile,
        trouble::lists_that_lag_behind_are_looked_at_again,
        trouble::lists_that_shift_between_pages_are_read_again,
        trouble::the_token_is_in_one_header_and_nowhere_else,
        doctor::a_healthy_zone_has_nothing_bad,
        doctor::what_is_wrong_is_said_with_what_to_do,
        doctor::a_token_of_an_account_is_verified_there,
        doctor::zones_are_listed_over_pages,
    ]);
    let contracts = trials![
        contract::every_exchange_is_as_cloudflare_describes_it,
        contract::every_known_refusal_has_its_kind,
        contract::a_record_that_is_there_already_is_no_error,
        contract::a_refusal_with_a_good_status_is_an_error,
    ];
    let missing = support::folder().is_none();
    trials.extend(contracts.into_iter().map(|trial| {
        let kind = if missing { "skipped: no contracts" } else { "contract" };
        trial.with_kind(kind).with_ignored_flag(missing)
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
