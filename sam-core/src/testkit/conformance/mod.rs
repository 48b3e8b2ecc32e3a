//! Conformance suites: what every implementation of a trait must do, as a list of cases.
//!
//! A case is a plain future that says what failed instead of panicking, so that it runs under any
//! runtime and test harness. One that waits for something which a faulty implementation never does
//! does not end by itself: run cases under a deadline.

pub mod compute;
pub mod store;

use std::fmt;

use crate::error::{Error, Report};
use crate::store::CommitError;

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
            (left, right) => ensure!(
                left == right,
                "{}: found {left:?}, expected {right:?}",
                format_args!($($message)+)
            ),
        }
    };
}

use {ensure, ensure_eq};
