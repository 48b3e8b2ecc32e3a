//! Containers as machines: the suites and what is hard for containers alone, on a real engine; and
//! what an engine may answer when it is in trouble, by one that is made up.
//!
//! The engine is named by `SAM_TEST_DOCKER_SOCKET`, else the usual socket is tried; the nodes' image,
//! which must hold `/bin/sh`, by `SAM_TEST_DOCKER_IMAGE`. Where no engine answers, what needs one is
//! reported as skipped, and fails where `SAM_REQUIRE_PEERS=1`. One test wants our program, too:
//! `SAM_TEST_DOCKER_PROGRAM`, else `sam` beside the tests; the image must be able to run it.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod real;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use sam_core::conformance_trials;
use sam_core::testkit::conformance::volume::OfCompute;
use sam_core::testkit::conformance::{compute, owned, power, volume};

use self::contract::Contract;
use self::engine::Home;

const COMPUTE: &str = include_str!("../not_applicable/docker.compute.txt");
const POWER: &str = include_str!("../not_applicable/docker.power.txt");
const OWNED: &str = include_str!("../not_applicable/docker.owned.txt");
const VOLUME: &str = include_str!("../not_applicable/docker.volume.txt");

type Test = (&'static str, fn() -> Result<(), Failed>);

macro_rules! tests {
    ($($module:ident::$name:ident),+ $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($name)), (|| {
            engine::block_on($module::$name());
            Ok(())
        }) as fn() -> Result<(), Failed>)),+]
    };
}

/// What needs no engine.
const ALONE: [Test; 7] = tests![
    faults::a_refusal_is_told_with_its_kind_and_effect,
    faults::an_answer_that_breaks_off_or_is_no_engines_is_unavailable,
    faults::an_engine_that_is_not_there_is_named,
    faults::an_image_that_is_not_there_is_named_before_anything_is_made,
    faults::a_full_disk_is_missing_capacity,
    faults::a_removal_under_way_is_in_progress,
    faults::listings_are_paged_in_order,
];

/// What needs the engine's description of its interface, which is not ours to copy: beside the
/// checkout, or in `$SAM_SHARED/contracts`.
const DESCRIBED: [Test; 1] = tests![faults::requests_are_what_the_engine_describes];

/// What a real engine shows.
const REAL: [Test; 9] = tests![
    real::a_node_has_its_limits_and_nothing_secret_to_inspect,
    real::files_and_identity_outlive_a_stop,
    real::a_node_that_ends_at_once_is_told_with_what_it_printed,
    real::what_somebody_else_made_is_never_touched,
    real::the_network_goes_with_the_last_node,
    real::a_network_of_somebody_else_is_used_and_kept,
    real::processes_that_share_a_network_do_not_stand_in_each_others_way,
    real::wherever_a_reply_is_lost_the_next_call_finishes,
    real::wherever_a_request_is_lost_the_next_call_finishes,
];

const PROGRAM: [Test; 1] = tests![agent::our_agent_starts_in_a_container_and_dials];

fn main() -> ExitCode {
    let run = |(name, test): Test| Trial::test(name, test);
    let mut trials = Vec::from(ALONE.map(run));
    let described = Contract::read().is_some();
    trials.extend(DESCRIBED.map(|test| {
        let kind = if described { "" } else { "skipped: no contracts" };
        run(test).with_kind(kind).with_ignored_flag(!described)
    }));
    let absent = engine::absent();
    let mut with_peer = conformance_trials! {
        compute::trials("docker::compute", COMPUTE, Home::new),
        power::trials("docker::power", POWER, Home::new),
        owned::trials("docker::owned", OWNED, Home::new),
        volume::trials("docker::volume", VOLUME, || OfCompute::new(Home::new())),
    };
    with_peer.extend(REAL.map(run));
    let program = PROGRAM.map(run);
    match (&absent, agent::program()) {
        (None, None) => {
            let why = "there is no sam beside the tests";
            trials.extend(program.map(|trial| skipped(&trial, "no sam program", why)));
        }
        _ => with_peer.extend(program),
    }
    match absent {
        None => trials.extend(with_peer),
        Some(why) => {
            trials.extend(with_peer.iter().map(|trial| skipped(trial, "no Docker engine", &why)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test whose peer is missing: reported by name, and failed where peers are required.
fn skipped(trial: &Trial, what: &str, why: &str) -> Trial {
    let required = engine::named("SAM_REQUIRE_PEERS").is_some_and(|value| value == "1");
    let runs = required && !trial.has_ignored_flag();
    let why = why.to_owned();
    Trial::test(trial.name(), move || Err(why.into()))
        .with_kind(format!("skipped: {what}"))
        .with_ignored_flag(!runs)
}
