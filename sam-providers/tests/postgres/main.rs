//! The PostgreSQL store on a real server: the suite of the trait, and what only a shared database can
//! do: have many writers, lose connections, be migrated by several at once, be another than before.
//!
//! The server is named by `SAM_TEST_POSTGRES_URL`; without it one on this machine is looked for. Where
//! none answers, every test is reported as skipped, and fails where `SAM_REQUIRE_PEERS=1`.

#[cfg(test)]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sam_core::testkit::conformance::store::{CASES, Case};

type Test = Box<dyn FnOnce() -> Result<(), libtest_mimic::Failed> + Send>;

fn tests() -> Vec<(String, Test)> {
    let conformance = |case: &'static Case| {
        let test: Test = Box::new(move || {
            support::block_on((case.run)(&support::Schemas))
                .map_err(|failure| failure.to_string().into())
        });
        (format!("conformance::{}::{}", case.clause, case.name), test)
    };
    let tests: Vec<(String, Test)> = CASES.iter().map(conformance).collect();
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
