//! Machines at DigitalOcean, held to the suites of the traits and to the vendor's own description, against
//! a DigitalOcean in the process and on a socket; and what only this vendor can do.
//!
//! What the description says is left out in silence where the contracts are missing; the suites run all
//! the same.

#[cfg(test)]
#[path = "../support/contract.rs"]
mod contract;
#[cfg(test)]
#[path = "../support/drive.rs"]
mod drive;

#[cfg(test)]
mod create;
#[cfg(test)]
mod delete;
#[cfg(test)]
mod refusals;
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

const COMPUTE: &str = include_str!("../not_applicable/digitalocean.compute.txt");
const POWER: &str = include_str!("../not_applicable/digitalocean.power.txt");
const OWNED: &str = include_str!("../not_applicable/digitalocean.owned.txt");
const VOLUME: &str = include_str!("../not_applicable/digitalocean.volume.txt");

macro_rules! trials {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok(())
        })),+]
    };
}

/// Says by name that nothing is held to the vendor's description, where it is missing.
fn description() -> Trial {
    let name = "contract::every_exchange_is_as_the_vendor_describes_it";
    if contract::folder().is_some() {
        return Trial::test(name, || {
            world::a_mistake_would_be_seen();
            Ok(())
        });
    }
    Trial::test(name, || Err("there are no contracts beside the checkout".into()))
        .with_kind("skipped: no contracts")
        .with_ignored_flag(true)
}

fn main() -> ExitCode {
    let mut trials = conformance_trials! {
        compute::trials("digitalocean::compute", COMPUTE, World::bare),
        power::trials("digitalocean::power", POWER, World::bare),
        owned::trials("digitalocean::owned", OWNED, World::bare),
        volume::trials("digitalocean::volume", VOLUME, || OfCompute::new(World::bare())),
        compute::trials("stacked::compute", COMPUTE, World::stacked),
        power::trials("stacked::power", POWER, World::stacked),
        owned::trials("stacked::owned", OWNED, World::stacked),
        volume::trials("stacked::volume", VOLUME, || OfCompute::new(World::stacked())),
        compute::trials("wired::compute", COMPUTE, Wired::new),
        power::trials("wired::power", POWER, Wired::new),
        owned::trials("wired::owned", OWNED, Wired::new),
        volume::trials("wired::volume", VOLUME, || OfCompute::new(Wired::new())),
    };
    trials.push(description());
    trials.extend(trials![
        create::a_reply_that_was_lost_is_made_up_for_by_adopting,
        create::of_two_orders_the_older_stays,
        create::a_duplicate_of_another_call_is_deleted_when_the_creation_is_repeated,
        create::wherever_a_creation_ends_the_next_one_finds_one_machine,
        create::wherever_a_deletion_ends_the_next_one_finishes_it,
        create::wherever_a_change_of_a_volume_ends_the_next_one_finishes_it,
        create::whatever_fails_no_life_leaves_anything,
        create::a_creation_that_failed_is_taken_back,
        create::actions_that_take_long_do_not_hold_a_creation_up,
        create::a_machine_of_another_installation_is_left_alone,
        create::what_cannot_be_sent_is_refused_before_anything_is_bought,
        create::a_machine_is_made_as_it_was_configured,
        create::neither_token_is_shown_anywhere,
        delete::a_machine_that_is_still_listed_is_not_gone,
        delete::a_locked_machine_is_waited_for,
        delete::what_is_not_ours_is_never_touched,
        delete::a_listing_is_whole_when_things_are_deleted_meanwhile,
        delete::a_machine_that_does_not_listen_is_switched_off,
        refusals::refusals_are_told_apart,
        refusals::pages_for_people_are_understood_by_their_status,
        refusals::a_wrong_token_says_so,
        refusals::a_team_that_is_full_says_so_and_keeps_nothing,
        refusals::a_limit_is_kept_until_it_ends,
        refusals::an_answer_that_breaks_off_is_in_doubt,
        sizes::sizes_are_the_cheapest_that_fit_today,
        sizes::a_size_that_is_not_sold_any_more_is_replaced,
        sizes::a_region_that_is_none_is_explained,
        sizes::what_is_sold_out_is_bought_elsewhere_only_where_that_is_allowed,
    ]);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
