//! How cases are run: under whatever runs an author's futures, and in whatever runs his tests.

use std::fmt;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Case, Failure, Outcome};
use crate::time::ManualClock;

/// Most moves of the clock in one case.
const WAITS_MAX: usize = 100_000;

/// Runs cases to their end.
pub trait Harness: fmt::Debug + Send + Sync {
    /// Runs a case: under a runtime and a deadline, or with [`at_once`] or [`with_clock`]. It may
    /// look afterwards for what was left behind.
    ///
    /// # Errors
    /// What the case failed with, that it took too long, or what was left behind.
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome;
}

/// Runs a case of something in memory, where nothing waits.
///
/// # Errors
/// What the case failed with, or that it waits.
pub fn at_once(case: BoxFuture<'_, Outcome>) -> Outcome {
    case.now_or_never().unwrap_or_else(|| Err(Failure::new("it waits, and nothing wakes it")))
}

/// Runs a case where everybody waits for this clock alone, and moves it to whatever is waited for.
///
/// # Errors
/// What the case failed with, or that it waits for something else.
pub fn with_clock(clock: &ManualClock, mut case: BoxFuture<'_, Outcome>) -> Outcome {
    for _ in 0..WAITS_MAX {
        if let Some(outcome) = case.as_mut().now_or_never() {
            return outcome;
        }
        let Some(next) = clock.next_deadline_in() else {
            return Err(Failure::new("it waits for something but time"));
        };
        clock.advance(next);
    }
    Err(Failure::new(format!("it is not done after {WAITS_MAX} waits")))
}

/// One line of a test run.
#[non_exhaustive]
pub struct Trial {
    /// The implementation and the case: `memory::labels_come_back_as_given`.
    pub name: String,
    /// What it is about: a clause, or the suite itself.
    pub clause: &'static str,
    /// Runs it; `None` where it is not applicable.
    pub run: Option<Box<dyn FnOnce() -> Outcome + Send>>,
}

impl Trial {
    fn new(
        name: String,
        clause: &'static str,
        run: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Self {
        Self { name, clause, run: Some(Box::new(run)) }
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let applies = if self.run.is_some() { "" } else { " (not applicable)" };
        write!(f, "{} {}{applies}", self.clause, self.name)
    }
}

/// Lists the run of a suite on one implementation.
pub(super) fn plan<H: ?Sized + 'static>(
    implementation: &str,
    bound: Vec<&'static Case<H>>,
    (rest, recorded): (Vec<&'static Case<H>>, &'static str),
    run: impl Fn(&'static Case<H>) -> Outcome + Clone + Send + 'static,
) -> Vec<Trial> {
    let named = |name: &str| format!("{implementation}::{name}");
    let mut trials = Vec::with_capacity(bound.len() + rest.len() + 1);
    for case in bound {
        let run = run.clone();
        trials.push(Trial::new(named(case.name), case.clause, move || run(case)));
    }
    let found: Vec<&str> = rest.iter().map(|case| case.name).collect();
    trials.extend(rest.iter().map(|case| Trial {
        name: named(case.name),
        clause: case.clause,
        run: None,
    }));
    let compare = move || {
        let recorded: Vec<&str> = recorded.lines().filter(|line| !line.is_empty()).collect();
        if found == recorded {
            return Ok(());
        }
        Err(Failure::new(format!("recorded: {recorded:?}, not applicable:\n{}", found.join("\n"))))
    };
    trials.push(Trial::new(named("what_is_not_applicable_is_as_recorded"), "suite", compare));
    trials
}

/// Passes when the named case fails; `run` answers `None` where it does not apply.
pub(super) fn notices<H: ?Sized + 'static>(
    flaw: &str,
    name: &'static str,
    cases: &'static [Case<H>],
    run: impl FnOnce(&'static Case<H>) -> Option<Outcome> + Send + 'static,
) -> Trial {
    let title = format!("{name}::notices::{flaw}");
    let flaw = flaw.to_owned();
    Trial::new(title, "suite", move || {
        let case = cases.iter().find(|case| case.name == name);
        let case = case.ok_or_else(|| Failure::new(format!("there is no case {name}")))?;
        match run(case) {
            Some(Err(_)) => Ok(()),
            Some(Ok(())) => Err(Failure::new(format!("{name} does not notice: {flaw}"))),
            None => Err(Failure::new(format!("{name} does not apply to it"))),
        }
    })
}

/// Runs trials one after the other, in a test of any kind.
///
/// # Errors
/// Every trial that failed, with its clause, one on a line.
pub fn check(trials: Vec<Trial>) -> Outcome {
    let mut failed = Vec::new();
    for Trial { name, clause, run } in trials {
        if let Some(Err(failure)) = run.map(|run| run()) {
            failed.push(format!("{clause} {name}: {failure}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(failed.join("\n"))) }
}

/// Turns lists of [`Trial`](crate::testkit::conformance::Trial)s into those of `libtest-mimic`,
/// which the calling crate depends on. What is not applicable is shown as ignored, by that name.
#[macro_export]
macro_rules! conformance_trials {
    ($($trials:expr),+ $(,)?) => {{
        let mut all: ::std::vec::Vec<::libtest_mimic::Trial> = ::std::vec::Vec::new();
        $(all.extend($trials.into_iter().map(|trial| {
            let trial: $crate::testkit::conformance::Trial = trial;
            let (name, clause) = (trial.name, trial.clause);
            match trial.run {
                Some(run) => ::libtest_mimic::Trial::test(name, move || {
                    run().map_err(|failure| ::libtest_mimic::Failed::from(failure))
                })
                .with_kind(clause),
                None => ::libtest_mimic::Trial::test(name, || Ok(()))
                    .with_kind("not applicable")
                    .with_ignored_flag(true),
            }
        }));)+
        all
    }};
}

/// The `main` of a test target with `harness = false` that runs conformance suites; see
/// [`conformance`](crate::testkit::conformance).
#[macro_export]
macro_rules! conformance_main {
    ($($trials:expr),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            let trials = $crate::conformance_trials!($($trials),+);
            let arguments = ::libtest_mimic::Arguments::from_args();
            ::libtest_mimic::run(&arguments, trials).exit_code()
        }
    };
}
