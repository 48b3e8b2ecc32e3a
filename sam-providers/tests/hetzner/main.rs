//! Machines at Hetzner, held to the suites of the traits and to the vendor's own description, against a
//! Hetzner in the process and on a socket; and what only this vendor can do.
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
#[path = "../../examples/live_hetzner.rs"]
#[expect(dead_code, reason = "its main is for people with an account")]
mod live;

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
mod sizes;
#[cfg(test)]
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sam_core::conformance_trials;
use sam_core::testkit::conformance::volume::OfCompute;
use sam_core::testkit::conformance::{compute, owned, power, volume};

use self::world::{Wired, World};

const COMPUTE: &str = include_str!("../not_applicable/hetzner.compute.txt");
const POWER: &str = include_str!("../not_applicable/hetzner.power.txt");
const OWNED: &str = include_str!("../not_applicable/hetzner.owned.txt");
const VOLUME: &str = include_str!("../not_applicable/hetzner.volume.txt");

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
        compute::trials("hetzner::compute", COMPUTE, World::bare),
        power::trials("hetzner::power", POWER, World::bare),
        owned::trials("hetzner::owned", OWNED, World::bare),
        volume::trials("hetzner::volume", VOLUME, || OfCompute::new(World::bare())),
        compute::trials("stacked::compute", COMPUTE, World::stacked),
        power::trials("stacked::power", POWER, World::stacked),
        owned::trials("stacked::owned", OWNED, World::stacked),
        volume::trials("stacked::volume", VOLUME, || OfCompute::new(World::stacked())),
        compute::trials("wired::compute", COMPUTE, Wired::new),
        power::trials("wired::power", POWER, Wired::new),
        owned::trials("wired::owned", OWNED, Wired::new),
        volume::trials("wired::volume", VOLUME, || OfCompute::new(Wired::new())),
    };
    trials.extend(with_contracts![
        refusals::every_documented_refusal_is_understood,
        scenarios::a_creation_waits_for_all_of_its_actions,
        scenarios::an_action_that_fails_is_named,
        scenarios::a_location_that_is_sold_out_is_left_for_an_allowed_one,
        scenarios::a_location_that_is_sold_out_is_asked_once,
        scenarios::what_is_locked_is_tried_again_later,
        scenarios::a_limit_is_waited_for,
        scenarios::the_vendors_own_examples_can_be_read,
    ]);
    trials.extend(trials![
        create::a_reply_that_was_lost_is_made_up_for_by_adopting,
        create::a_reply_that_breaks_off_on_the_wire_is_made_up_for,
        create::a_failed_reply_to_what_was_done_is_made_up_for_by_adopting,
        create::what_fails_after_the_order_is_in_doubt_and_made_up_for,
        create::wherever_a_creation_ends_the_next_one_finds_one_machine,
        create::wherever_a_deletion_ends_the_next_one_finishes_it,
        create::a_machine_that_is_not_listed_yet_is_not_made_twice,
        create::actions_that_take_long_do_not_hold_a_creation_up,
        create::a_creation_that_failed_meanwhile_is_noticed_when_it_is_repeated,
        create::a_limit_within_a_creation_is_waited_for,
        create::a_name_that_somebody_else_has_is_left_alone,
        create::a_machine_of_another_installation_is_left_alone,
        create::what_cannot_be_sent_is_refused_before_anything_is_bought,
        create::a_machine_is_made_as_it_was_configured,
        create::neither_token_is_shown_anywhere,
        create::wherever_a_change_of_a_volume_ends_the_next_one_finishes_it,
        delete::a_machine_that_is_still_listed_is_not_gone,
        delete::addresses_and_firewalls_do_not_outlive_their_machine,
        delete::what_a_creation_left_behind_goes_with_the_key,
        delete::a_protected_machine_is_not_tried_again,
        delete::a_locked_machine_is_waited_for,
        delete::what_is_not_ours_is_never_deleted,
        delete::a_listing_is_whole_when_things_are_deleted_meanwhile,
        delete::a_machine_that_does_not_listen_is_switched_off,
        delete::the_check_on_a_real_account_leaves_nothing_and_spends_little,
        life::whatever_fails_no_life_leaves_anything,
        refusals::pages_for_people_are_understood_by_their_status,
        refusals::a_wrong_token_is_told_from_a_wrong_address,
        refusals::an_account_that_is_full_says_so_and_keeps_nothing,
        refusals::an_answer_that_breaks_off_is_in_doubt,
        refusals::an_answer_that_never_comes_ends_at_the_deadline,
        sizes::sizes_are_the_cheapest_that_fit_today,
        sizes::a_retired_type_is_replaced_and_the_offer_says_so,
        sizes::a_type_that_is_none_is_explained,
        sizes::a_region_that_is_none_is_explained,
        sizes::what_is_sold_out_is_bought_elsewhere_only_where_that_is_allowed,
        sizes::the_list_of_types_is_read_again_after_an_hour_or_a_refusal,
    ]);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
