//! Keys in a file and from variables: the suites of the traits, what only a file can suffer, what
//! people paste, and the vectors of the contracts.
//!
//! The contracts lie beside the checkout, at `../shared/contracts` or under `SAM_SHARED`; without them
//! their tests are reported as skipped, by name.

#[cfg(test)]
mod contracts;
#[cfg(test)]
mod environment;
#[cfg(test)]
mod files;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod pasted;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sam_core::conformance_trials;
use sam_core::testkit::conformance::{keys, signer};

macro_rules! trials {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok(())
        })),+]
    };
}

/// The cases that need a ring whose key can be changed while it is open.
const FIXED_RING: &str = "a_new_key_seals_and_the_old_one_still_opens\n\
                          what_a_retired_key_sealed_is_not_found";

fn main() -> ExitCode {
    let mut trials = conformance_trials! {
        keys::trials("file", "", harness::Files::new),
        keys::trials("environment", FIXED_RING, harness::Variables::new),
        signer::trials("file_eddsa", "", harness::FileSigners::eddsa),
        signer::trials("file_rs256", "", harness::FileSigners::rs256),
        signer::trials("environment_rs256", "", harness::VariableSigners::rs256),
        signer::trials("environment_eddsa", "", harness::VariableSigners::eddsa),
    };
    trials.extend(trials![
        files::of_many_that_make_a_ring_one_does,
        files::a_ring_is_found_again_and_is_private,
        files::another_replica_sees_a_rotation_with_its_next_call,
        files::a_rotated_signer_is_published_beside_the_old_one_until_it_is_retired,
        files::the_current_and_an_unknown_key_are_not_retired,
        files::a_ring_has_a_bound,
        files::changes_at_the_same_time_lose_no_key,
        files::a_ring_that_is_open_to_others_is_refused,
        files::every_damage_is_noticed_and_nothing_is_replaced,
        files::a_newer_ring_is_refused_and_left_alone,
        files::a_ring_that_is_gone_seals_nothing,
        files::what_a_killed_writer_left_is_cleared_by_the_next_change,
        files::no_key_is_shown,
        files::keys_from_variables_move_into_the_file_and_stay_rotated,
        environment::a_rotation_by_variables_loses_nothing,
        environment::every_refusal_names_its_variable_and_shows_nothing,
        environment::without_variables_there_are_no_keys,
        environment::the_key_is_called_by_its_thumbprint_unless_it_has_a_name,
        pasted::every_wrapping_gives_the_same_key,
        pasted::a_key_cut_anywhere_is_refused,
        pasted::a_key_with_a_changed_number_is_refused,
        pasted::an_algorithm_is_never_confused_with_another,
    ]);
    trials.extend(contracts::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
