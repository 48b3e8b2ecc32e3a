//! KMS: the suites of keys and signers over moto, what a ring wrapped by KMS goes through, and the
//! requests and errors of its protocol.

#[cfg(test)]
mod harness;
#[cfg(test)]
#[path = "../moto/mod.rs"]
mod moto;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod rings;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sam_core::conformance_trials;
use sam_core::testkit::conformance::{keys, signer};

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

fn main() -> ExitCode {
    let over_moto: Tests = trials![
        rings::the_file_alone_opens_nothing,
        rings::a_key_wrapped_for_one_place_opens_in_no_other,
        rings::a_ring_that_is_open_goes_on_without_kms,
        rings::a_wrong_secret_is_refused_and_not_shown,
        rings::a_key_of_another_usage_is_no_signer,
    ];
    let mut trials = run(trials![
        protocol::a_request_is_what_kms_reads,
        protocol::every_refusal_says_what_it_means,
        protocol::a_base_url_is_a_server,
        protocol::an_answer_that_cannot_be_read_shows_nothing,
    ]);
    match moto::Moto::start() {
        Ok(_) => {
            trials.extend(run(over_moto));
            trials.extend(conformance_trials! {
                keys::trials("kms", "", harness::Rings::new),
                signer::trials("kms", "", harness::Signers::new),
            });
        }
        Err(why) => {
            let cases = keys::CASES.iter().map(|case| format!("kms::{}", case.name));
            let more = signer::CASES.iter().map(|case| format!("kms::{}", case.name));
            let named = over_moto.into_iter().map(|(name, _)| name.to_owned());
            trials.extend(moto::skipped(named.chain(cases).chain(more), why));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
