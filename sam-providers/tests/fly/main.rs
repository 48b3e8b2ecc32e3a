//! Machines at Fly, held to the suites of the traits and to the vendor's own description, against a
//! Fly in the process and on a socket; and what only this vendor can do.
//!
//! What needs the contracts is skipped by name where they are missing, whatever `SAM_REQUIRE_PEERS` says:
//! they are not ours to install.

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
mod create;
#[cfg(test)]
mod delete;
#[cfg(test)]
mod life;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod scenarios;
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
                    .with_ignored_flag(true)
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
    trials.extend(with_contracts![
        refusals::every_documented_refusal_is_understood,
        scenarios::a_change_takes_the_lease_and_gives_it_back,
        scenarios::a_wait_that_times_out_is_asked_again,
        scenarios::the_vendors_own_examples_can_be_read,
    ]);
    trials.extend(trials![
        create::a_reply_that_was_lost_is_made_up_for_by_adopting,
        create::an_ambiguous_answer_is_in_doubt_and_looked_up_before_it_is_repeated,
        create::a_reply_that_breaks_off_on_the_wire_is_made_up_for,
        create::wherever_a_creation_ends_the_next_one_finds_one_machine,
        create::wherever_a_change_ends_the_next_one_finishes_it,
        create::a_machine_that_is_not_listed_yet_is_not_made_twice,
        create::a_name_that_somebody_else_has_is_left_alone,
        create::an_app_is_of_one_installation,
        create::an_app_of_another_customer_is_left_alone,
        create::a_fresh_app_is_found_by_its_cookie_and_waited_for_without,
        create::what_is_sold_out_is_bought_elsewhere_only_where_that_is_allowed,
        create::a_machine_that_cannot_be_started_is_taken_away,
        create::a_machine_that_takes_long_does_not_hold_a_creation_up,
        create::what_cannot_be_sent_is_refused_before_anything_is_bought,
        create::a_machine_is_made_as_it_was_configured,
        create::neither_token_is_shown_anywhere,
        delete::a_lease_that_somebody_holds_is_waited_for_or_named,
        delete::every_change_is_made_under_a_lease_that_is_given_back,
        delete::a_change_that_is_refused_gives_its_lease_back,
        delete::a_machine_that_is_on_its_way_is_waited_for,
        delete::a_machine_that_is_slow_to_go_is_not_gone,
        delete::what_is_left_without_its_machine_is_owned_and_goes,
        delete::what_a_machine_needs_is_not_deleted_and_goes_with_it,
        delete::the_app_is_owned_by_nobody_and_deleted_only_when_it_is_empty,
        life::whatever_fails_no_life_leaves_anything,
        refusals::pages_for_people_are_understood_by_their_status,
        refusals::a_wrong_token_is_told_from_a_wrong_address,
        refusals::a_limit_is_waited_for_a_little,
        refusals::an_answer_that_breaks_off_is_in_doubt,
        refusals::an_answer_that_never_comes_ends_at_the_deadline,
        refusals::what_is_new_at_fly_is_passed_over,
    ]);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
