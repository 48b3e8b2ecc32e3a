//! Conformance suites: what every implementation of a trait must do, as a list of cases.
//!
//! A suite belongs to one trait, or to two that are nothing without each other. Each of its
//! [`Case`]s tries one clause of the trait's contract on a *harness*, which the author of an
//! implementation writes: the implementation over an empty scope, and what the cases need beside
//! it. Add [`Harness`], which runs a case to its end, and one call runs a suite:
//!
//! ```no_run
//! # mod blobs {
//! # use sam_core::blob::{BlobKey, BlobStore, MemoryBlobs};
//! # use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, at_once};
//! # use sam_core::testkit::conformance::blob::{BlobHarness, Stranger};
//! # #[derive(Debug, Default)]
//! # pub struct MyBlobs(MemoryBlobs);
//! # impl BlobHarness for MyBlobs {
//! #     fn blobs(&self) -> &dyn BlobStore { &self.0 }
//! #     fn under(&self) -> BlobKey { "mine".parse().unwrap() }
//! #     fn blobs_per_page(&self) -> Option<usize> { None }
//! #     fn stranger(&self) -> Option<&dyn Stranger> { None }
//! # }
//! # impl Harness for MyBlobs {
//! #     fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
//! #         at_once(case)
//! #     }
//! # }
//! # }
//! # use blobs::MyBlobs;
//! use sam_core::testkit::conformance::blob;
//!
//! // The whole of `tests/conformance.rs`, a target with `harness = false`. The file lists, one on
//! // a line, the cases that need what is not claimed.
//! # const NOT_APPLICABLE: &str = "";
//! sam_core::conformance_main! {
//!     blob::trials("mine", NOT_APPLICABLE, MyBlobs::default),
//! }
//! ```
//!
//! In a plain test, [`check`] runs the same list. A case whose capability is not claimed is *not
//! applicable*, never passed, and the list of those is compared with a file that is kept beside the
//! tests. What is not claimed and works all the same fails. What a case made is deleted when it
//! ends, whether it passed or not, and one that leaves something behind fails.
//!
//! A case is a plain future that says what failed instead of panicking, so that it runs under any
//! runtime and test harness. One that waits for something which a faulty implementation never does
//! does not end by itself: run cases under a deadline.

pub mod blob;
pub mod compute;
pub mod dns;
pub mod forge;
pub mod keys;
pub mod node_link;
pub mod owned;
pub mod power;
mod run;
pub mod secrets;
pub mod signer;
pub mod store;
pub mod volume;

use std::fmt;

pub use futures_util::future::BoxFuture;

pub use self::run::{Harness, Trial, at_once, check, with_clock};
use crate::error::{Error, Report};
use crate::store::CommitError;

/// What came of a case.
pub type Outcome = Result<(), Failure>;

/// One rule, tried on a harness.
#[non_exhaustive]
pub struct Case<H: ?Sized + 'static> {
    /// What must hold, as a sentence in snake case.
    pub name: &'static str,
    /// The clause of the contract, such as `ComputeProvider C1`.
    pub clause: &'static str,
    /// Returns whether the implementation claims what the case is about.
    pub applies: fn(&H) -> bool,
    /// Tries it, and deletes what it made.
    pub run: for<'a> fn(&'a H) -> BoxFuture<'a, Outcome>,
}

impl<H: ?Sized> Clone for Case<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: ?Sized> Copy for Case<H> {}

impl<H: ?Sized> fmt::Debug for Case<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.clause, self.name)
    }
}

/// Why a case did not pass.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Says what did not hold.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `unwrap` in a test prints this: the sentence reads better than a struct around it.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("unexpected error: {}", Report::new(&error)))
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(refusal) => Self(format!("unexpected refusal: {refusal}")),
            CommitError::Failed(error) => error.into(),
        }
    }
}

/// Fails the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::testkit::conformance::Failure::new(format!($($message)+)));
        }
    };
}

/// Fails the case unless both sides are equal.
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($message:tt)+) => {
        match (&$left, &$right) {
            (left, right) => $crate::testkit::conformance::ensure!(
                left == right,
                "{}: found {left:?}, expected {right:?}",
                format_args!($($message)+)
            ),
        }
    };
}

/// Fails the case unless the call failed with one of the kinds.
macro_rules! ensure_kind {
    ($result:expr, $kind:pat, $($message:tt)+) => {
        match $result {
            Err(error) if matches!(error.kind(), $kind) => {}
            other => {
                return Err($crate::testkit::conformance::Failure::new(format!(
                    "{}: found {other:?}, expected {}",
                    format_args!($($message)+),
                    stringify!($kind),
                )));
            }
        }
    };
}

/// Makes the list of a suite's cases, and the functions that run it. A case gets a scope, which is
/// opened on the harness before it and closed after it.
macro_rules! cases {
    (
        $harness:ident, $scope:ident;
        $($clause:literal, $applies:path { $($name:ident),+ $(,)? })+
    ) => {
        /// One case of the suite.
        pub type Case = $crate::testkit::conformance::Case<dyn $harness>;

        /// Every case, in the order of the clauses.
        pub static CASES: &[Case] = &[$($($crate::testkit::conformance::Case {
            name: stringify!($name),
            clause: $clause,
            applies: $applies,
            run: |harness| Box::pin(async move {
                let scope = $scope::open(harness).await?;
                let outcome = $name(&scope).await;
                let closed = scope.close().await;
                outcome.and(closed)
            }),
        }),+),+];

        $crate::testkit::conformance::runners!($harness);
    };
}

/// The condition of a case that binds everybody.
const fn always<H: ?Sized>(_: &H) -> bool {
    true
}

/// The functions that run the cases of a module.
macro_rules! runners {
    ($harness:ident) => {
        /// Lists a run of the suite: every case on a harness of its own, and a comparison of what
        /// is not applicable with `not_applicable`, which names those cases one on a line.
        pub fn trials<H>(
            implementation: &str,
            not_applicable: &'static str,
            make: impl Fn() -> H + Clone + Send + 'static,
        ) -> Vec<$crate::testkit::conformance::Trial>
        where
            H: $harness + $crate::testkit::conformance::Harness + 'static,
        {
            let probe = make();
            let (bound, rest): (Vec<&'static Case>, Vec<&'static Case>) =
                CASES.iter().partition(|case| (case.applies)(&probe));
            $crate::testkit::conformance::run::plan(
                implementation,
                bound,
                (rest, not_applicable),
                move |case| {
                    let harness = make();
                    harness.block_on((case.run)(&harness))
                },
            )
        }

        /// Makes a run that passes when a case fails, for an implementation with a planted flaw: a
        /// suite that passes a broken one is worth nothing.
        pub fn notices<H>(
            flaw: &str,
            case: &'static str,
            make: impl Fn() -> H + Send + 'static,
        ) -> $crate::testkit::conformance::Trial
        where
            H: $harness + $crate::testkit::conformance::Harness + 'static,
        {
            $crate::testkit::conformance::run::notices(flaw, case, CASES, move |case| {
                let harness = make();
                let applies = (case.applies)(&harness);
                applies.then(|| harness.block_on((case.run)(&harness)))
            })
        }
    };
}

use {cases, ensure, ensure_eq, ensure_kind, runners};
