//! What a kind of record must provide so that the engine can carry it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::stored::Stored;
use crate::error::Result;
use crate::store::{Due, Expect, RecordKey, UniqueChange, Write};
use crate::time::Timestamp;

/// A kind of record with its decisions and its effects.
///
/// # Contract
/// - **C1** `decide` is pure and total: the same arguments give the same answer, in every state.
/// - **C2** `look` changes nothing outside; `act` performs one effect that can be repeated.
/// - **C3** `intends` is true of a record exactly when its stored form already announces the
///   effect: the engine refuses to act without (invariant 1).
#[async_trait]
pub trait Resource: fmt::Debug + Send + Sync + 'static {
    /// The record.
    type Record: Stored + fmt::Debug;
    /// A question to the outside.
    type Look: fmt::Debug + Send + Sync;
    /// One call that changes the outside.
    type Effect: fmt::Debug + Send + Sync;
    /// What a look or an effect gave.
    type Observation: fmt::Debug + Send + Sync;

    /// Decides what is next.
    ///
    /// # Errors
    /// `Bug` when no decision can be written; the engine parks the record and says so.
    fn decide(
        &self,
        record: &Self::Record,
        observation: Option<&Self::Observation>,
        now: Timestamp,
    ) -> Result<Decision<Self>>;

    /// Tells whether a stored record announces an effect.
    fn intends(&self, record: &Self::Record, effect: &Self::Effect) -> bool;

    /// Checks that a record may become another; terminal states stay terminal (invariant 5).
    ///
    /// # Errors
    /// When the step is not in the table of states.
    fn check(&self, from: &Self::Record, to: &Self::Record) -> Result<(), InvalidTransition>;

    /// Asks the outside.
    async fn look(&self, record: &Self::Record, look: &Self::Look) -> Self::Observation;

    /// Performs an effect.
    async fn act(&self, record: &Self::Record, effect: &Self::Effect) -> Self::Observation;
}

/// What is next for a record.
#[derive(Debug)]
#[non_exhaustive]
pub enum Decision<R: Resource + ?Sized> {
    /// Perform an effect, after the transition that announces it; without one only when the
    /// stored record announces it already.
    Act(Option<Box<Transition<R::Record>>>, R::Effect),
    /// Remove the record.
    Forget {
        /// A past fact that names the change.
        event: &'static str,
    },
    /// Ask the outside, then decide again.
    Look(R::Look),
    /// Nothing until then.
    Rest(Due),
    /// Write, nothing outside.
    Write(Box<Transition<R::Record>>),
}

impl<R: Resource + ?Sized> Decision<R> {
    /// Rests for a span.
    pub const fn rest_for(span: Duration) -> Self {
        Self::Rest(Due::In(span))
    }
}

/// A record's next form and what changes with it, all in one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition<R> {
    /// The record after it.
    pub record: R,
    /// A past fact that names the change.
    pub event: &'static str,
    /// When to look at the record next; ignored while an effect follows at once.
    pub due: Due,
    /// Names to take and to free.
    pub unique: Vec<UniqueChange>,
    /// Other records to write with it; each names the version it expects.
    pub also: Vec<Write>,
    /// Other records to look at soon.
    pub wakes: Vec<RecordKey>,
    /// What must hold of records that are not written: where it does not, the outside is looked at
    /// again.
    pub checks: Vec<(RecordKey, Expect)>,
}

impl<R> Transition<R> {
    /// Makes a transition that is looked at again at once.
    pub const fn new(record: R, event: &'static str) -> Self {
        Self {
            record,
            event,
            due: Due::NOW,
            unique: Vec::new(),
            also: Vec::new(),
            wakes: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Sets when to look at the record next.
    #[must_use]
    pub fn with_due(mut self, due: Due) -> Self {
        self.due = due;
        self
    }

    /// Takes or frees a name.
    #[must_use]
    pub fn with_unique(mut self, change: UniqueChange) -> Self {
        self.unique.push(change);
        self
    }

    /// Writes another record with it.
    #[must_use]
    pub fn with_also(mut self, write: Write) -> Self {
        self.also.push(write);
        self
    }

    /// Requires something of a record that is not written.
    #[must_use]
    pub fn with_check(mut self, key: RecordKey, expect: Expect) -> Self {
        self.checks.push((key, expect));
        self
    }

    /// Looks at other records soon.
    #[must_use]
    pub fn with_wakes(mut self, keys: impl IntoIterator<Item = RecordKey>) -> Self {
        self.wakes.extend(keys);
        self
    }
}

/// A step that the table of states does not have: a defect, and never written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must not go from {from} to {to}")]
#[non_exhaustive]
pub struct InvalidTransition {
    /// The kind of record.
    pub kind: &'static str,
    /// The state it has.
    pub from: &'static str,
    /// The state it was to get.
    pub to: &'static str,
}

impl InvalidTransition {
    /// Names a step.
    pub const fn new(kind: &'static str, from: &'static str, to: &'static str) -> Self {
        Self { kind, from, to }
    }
}
