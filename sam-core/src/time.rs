//! Time that is handed in: a point in time and the clock that tells it.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
///
/// Stored and compared as an integer, so that every database keeps it exactly; shown as RFC 3339.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first representable moment after 1970 began, used as "long ago".
    pub const EPOCH: Self = Self(0);

    /// Makes a time from microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns milliseconds since 1970, zero for times before it.
    pub fn as_millis_unsigned(self) -> u64 {
        u64::try_from(self.0 / 1_000).unwrap_or(0)
    }

    /// Returns whole seconds since 1970, zero for times before it.
    pub fn as_secs_unsigned(self) -> u64 {
        u64::try_from(self.0 / 1_000_000).unwrap_or(0)
    }

    /// Returns the time `span` later, saturating at the end of representable time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the span since `earlier`, zero when `earlier` lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// A calendar month in UTC, written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Month {
    /// The year.
    pub year: i16,
    /// The month, from 1.
    pub month: i8,
}

impl Month {
    /// Returns the month of a point in time; one out of range counts as the first month of 1970.
    pub fn of(at: Timestamp) -> Self {
        let date = jiff::Timestamp::from_microsecond(at.0)
            .unwrap_or_default()
            .to_zoned(jiff::tz::TimeZone::UTC);
        Self { year: date.year(), month: date.month() }
    }

    /// Returns its first moment.
    pub fn start(self) -> Timestamp {
        let first = jiff::civil::Date::new(self.year, self.month, 1)
            .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC));
        first.map_or(Timestamp::EPOCH, |first| Timestamp(first.timestamp().as_microsecond()))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// Tells the time and waits for it.
///
/// # Contract
/// - **C1** `now` is wall time and may jump; only records and people see it.
/// - **C2** `monotonic` never goes back; spans and deadlines use it.
/// - **C3** `sleep_until` completes once `monotonic` has reached the deadline, at once when it has.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns wall-clock time.
    fn now(&self) -> Timestamp;

    /// Returns the time since an arbitrary fixed point; it never goes back.
    fn monotonic(&self) -> Duration;

    /// Completes when [`Clock::monotonic`] has reached `deadline`.
    async fn sleep_until(&self, deadline: Duration);
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Clock + ?Sized> Clock for $pointer {
            fn now(&self) -> Timestamp {
                (**self).now()
            }
            fn monotonic(&self) -> Duration {
                (**self).monotonic()
            }
            async fn sleep_until(&self, deadline: Duration) {
                (**self).sleep_until(deadline).await;
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);

/// A clock that stands still until it is told to move: for tests, simulations and examples.
///
/// ```
/// use sam_core::time::{Clock, ManualClock, Timestamp};
/// use std::time::Duration;
/// let clock = ManualClock::new(Timestamp::from_micros(0));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now().to_string(), "1970-01-01T00:00:02.000Z");
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<ManualState>>);

#[derive(Debug)]
struct ManualState {
    start: Timestamp,
    jump_micros: i64,
    elapsed: Duration,
    next_sleeper: u64,
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

impl ManualClock {
    /// Starts a clock at the given wall time.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(ManualState {
            start,
            jump_micros: 0,
            elapsed: Duration::ZERO,
            next_sleeper: 0,
            sleepers: BTreeMap::new(),
        })))
    }

    /// Moves time forward and wakes everybody whose deadline has come.
    pub fn advance(&self, span: Duration) {
        let due = self.with(|state| {
            state.elapsed += span;
            let later = state.sleepers.split_off(&(state.elapsed, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        });
        due.into_values().for_each(Waker::wake);
    }

    /// Moves the wall clock alone, as an operator or a time server would; negative goes back.
    pub fn jump_wall(&self, micros: i64) {
        self.with(|state| state.jump_micros = state.jump_micros.saturating_add(micros));
    }

    /// Returns how long until the first sleeper's deadline, or `None` when nobody sleeps.
    pub fn next_deadline_in(&self) -> Option<Duration> {
        self.with(|state| {
            let (deadline, _) = state.sleepers.first_key_value()?.0;
            Some(deadline.saturating_sub(state.elapsed))
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut ManualState) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.with(|state| {
            Timestamp::from_micros(state.start.as_micros().saturating_add(state.jump_micros))
                .plus(state.elapsed)
        })
    }

    fn monotonic(&self) -> Duration {
        self.with(|state| state.elapsed)
    }

    async fn sleep_until(&self, deadline: Duration) {
        Sleep { clock: self.clone(), deadline, slot: None }.await;
    }
}

struct Sleep {
    clock: ManualClock,
    deadline: Duration,
    slot: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (deadline, known) = (self.deadline, self.slot);
        let slot = self.clock.with(|state| {
            if state.elapsed >= deadline {
                return None;
            }
            let slot = known.unwrap_or(state.next_sleeper);
            state.next_sleeper = state.next_sleeper.max(slot + 1);
            state.sleepers.insert((deadline, slot), context.waker().clone());
            Some(slot)
        });
        match slot {
            None => Poll::Ready(()),
            Some(slot) => {
                self.slot = Some(slot);
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let deadline = self.deadline;
            let removed = self.clock.with(|state| state.sleepers.remove(&(deadline, slot)));
            drop(removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtraction_never_goes_below_zero() {
        let early = Timestamp::from_micros(5);
        let late = early.plus(Duration::from_micros(7));
        assert_eq!(late.since(early), Duration::from_micros(7));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn sleepers_wake_in_the_order_of_their_deadlines() {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let mut first = Box::pin(clock.sleep_until(Duration::from_secs(1)));
        let mut second = Box::pin(clock.sleep_until(Duration::from_secs(3)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(clock.next_deadline_in(), Some(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert!(first.as_mut().poll(&mut context).is_ready());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(second);
        assert_eq!(clock.next_deadline_in(), None);
    }
}
