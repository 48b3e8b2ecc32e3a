//! Layers: what is the same around every call of an effect trait, written once.
//!
//! A [`Layer`] sees a call as its name, what repeating it means, and a way to make it. [`Layered`]
//! puts one around a provider and is a provider itself, so layers stack. [`Stack`] builds the one
//! order that makes sense, from the outside in:
//!
//! | layer | why it stands there |
//! |---|---|
//! | [`Trace`] | one span for the whole call, with every attempt inside |
//! | [`Metered`] | counts what callers asked for, not attempts |
//! | [`Guarded`] | refuses what is not claimed before anything is spent on it |
//! | [`Retrying`] | no permit is held during a pause |
//! | [`Limited`] | waiting for a permit is not counted against the deadline |
//! | [`TimeLimited`] | each attempt is timed alone |
//!
//! Below the last comes the provider; in tests [`Faulty`] goes directly around it.

mod compute;
mod fault;
mod guard;
mod limit;
mod meter;
mod retry;
mod stack;
mod timeout;
mod trace;

use std::fmt;

use futures_util::future::BoxFuture;

pub use self::fault::Faulty;
pub use self::guard::Guarded;
pub use self::limit::Limited;
pub use self::meter::{Measurement, MemoryMeter, Meter, Metered, Tally};
pub use self::retry::{RetryPolicy, Retrying};
pub use self::stack::Stack;
pub use self::timeout::TimeLimited;
pub use self::trace::Trace;
use crate::error::Result;

/// What making a call again means, by the contract of its trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repeat {
    /// It changes something, and doing it twice is not doing it once.
    Never,
    /// It only looks.
    Reads,
    /// It changes something, and doing it twice is doing it once.
    Safe,
}

/// One call of an effect trait, as a layer sees it. It holds no argument, so no layer can show one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The method, such as `create_machine`.
    pub operation: &'static str,
    /// What making it again means.
    pub repeat: Repeat,
}

impl Call {
    /// Describes a call.
    pub const fn new(operation: &'static str, repeat: Repeat) -> Self {
        Self { operation, repeat }
    }
}

/// Stands around calls.
///
/// # Contract
/// - **C1** `around` makes the call by calling `attempt`; each call of it is one attempt.
/// - **C2** It returns what an attempt returned, or an error of its own whose effect is true of all
///   attempts together.
/// - **C3** Dropping its future drops the attempt under way and leaves nothing behind.
///
/// ```
/// use std::sync::Arc;
/// use sam_core::compute::{ComputeProvider, MemoryCompute};
/// use sam_core::layer::{Layered, MemoryMeter, Metered};
/// use sam_core::time::{ManualClock, Timestamp};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let meter = Arc::new(MemoryMeter::new());
/// let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
/// let compute = Layered::new(Metered::new(meter.clone(), clock), MemoryCompute::new());
/// compute.catalog().await?;
/// assert_eq!(meter.tally("catalog").calls, 1);
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
pub trait Layer: fmt::Debug + Send + Sync + 'static {
    /// Makes a call, with whatever the layer adds. `provider` names who is called.
    ///
    /// # Errors
    /// What the last attempt failed with, or the layer's own reason.
    fn around<'a, T, A>(
        &'a self,
        provider: &'a (dyn fmt::Display + Sync),
        call: Call,
        attempt: A,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send + 'a,
        A: Fn() -> BoxFuture<'a, Result<T>> + Send + Sync + 'a;
}

/// A provider with a layer around each of its calls.
#[derive(Debug)]
pub struct Layered<L, P> {
    layer: L,
    inner: P,
}

impl<L, P> Layered<L, P> {
    /// Puts a layer around a provider.
    pub const fn new(layer: L, inner: P) -> Self {
        Self { layer, inner }
    }

    /// Returns the provider inside.
    pub const fn inner(&self) -> &P {
        &self.inner
    }
}

// A layer is not a place: in logs it is called as what it stands around.
impl<L, P: fmt::Display> fmt::Display for Layered<L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests;
