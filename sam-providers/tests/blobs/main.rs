//! Blobs in a directory, in memory and (features `s3` and `http`) in a bucket of moto: the suite of
//! the trait, what each of them alone can do wrong, and the agents' programs.

#[cfg(test)]
mod agents;
#[cfg(test)]
#[cfg(all(feature = "s3", feature = "http"))]
mod buckets;
#[cfg(test)]
mod directories;
#[cfg(test)]
mod harness;
#[cfg(test)]
#[cfg(all(feature = "s3", feature = "http"))]
#[path = "../moto/mod.rs"]
mod moto;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sam_core::conformance_trials;
use sam_core::testkit::conformance::blob;

macro_rules! trials {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$((concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())),+]
    };
}

type Tests = Vec<(&'static str, fn())>;

fn run(tests: Tests) -> Vec<Trial> {
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    tests.into_iter().map(trial).collect()
}

/// A directory and this process take the largest blob of all and sign no URLs.
const LOCAL: &str = "more_than_what_is_claimed_is_refused\n\
                     a_url_gives_the_asked_access_and_no_other\n\
                     a_url_is_for_one_blob\n\
                     a_url_ends_after_its_lifetime";

fn main() -> ExitCode {
    let mut trials = conformance_trials! {
        blob::trials("directory", LOCAL, harness::Local::directory),
        blob::trials("memory", LOCAL, harness::Local::memory),
    };
    trials.extend(run(trials![
        agents::an_agent_is_found_as_it_was_put,
        agents::what_is_not_whole_or_not_the_same_is_not_found,
        agents::names_that_leave_their_place_are_refused,
        directories::a_directory_is_private_and_found_again,
        directories::what_others_put_there_is_not_listed,
        directories::keys_of_every_length_lie_side_by_side,
        directories::a_directory_that_cannot_be_used_is_named,
        directories::deleting_leaves_no_directories,
        directories::writers_and_deleters_do_not_disturb_each_other,
    ]));
    #[cfg(all(feature = "s3", feature = "http"))]
    trials.extend(of_buckets());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[cfg(all(feature = "s3", feature = "http"))]
fn of_buckets() -> Vec<Trial> {
    /// A bucket takes the largest blob of all.
    const BUCKET: &str = "more_than_what_is_claimed_is_refused\n\
                          there_is_no_signer_where_none_is_claimed";
    let mut trials = run(trials![
        buckets::nothing_is_looked_for_and_nothing_is_sent_twice,
        buckets::a_configuration_that_cannot_work_is_refused,
        buckets::a_server_that_does_not_answer_is_given_up,
    ]);
    let over_moto: Tests = trials![
        buckets::a_wrong_key_is_refused_and_not_shown,
        buckets::a_missing_bucket_is_no_missing_blob,
        buckets::another_prefix_is_another_place,
        buckets::an_altered_url_gives_nothing,
        buckets::an_agent_is_fetched_by_a_url,
    ];
    match moto::Moto::start() {
        Ok(_) => {
            trials.extend(run(over_moto));
            trials.extend(conformance_trials! {
                blob::trials("s3", BUCKET, harness::bucket::Bucket::plain),
                blob::trials("s3_below_a_prefix", BUCKET, harness::bucket::Bucket::prefixed),
            });
        }
        Err(why) => {
            let cases = blob::CASES.iter().map(|case| format!("s3::{}", case.name));
            let named = over_moto.into_iter().map(|(name, _)| name.to_owned());
            trials.extend(moto::skipped(named.chain(cases), why));
        }
    }
    trials
}
