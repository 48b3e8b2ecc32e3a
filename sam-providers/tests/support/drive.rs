//! Running futures where time is a number: a clock that moves when everybody waits for it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::time::{Clock, ManualClock, Timestamp};

/// Most polls of one future.
const POLLS_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a future again and again; the clock is moved when nobody can go on without it.
struct Driver<'a> {
    clock: &'a ManualClock,
    flag: Arc<Flag>,
}

impl<'a> Driver<'a> {
    fn new(clock: &'a ManualClock) -> Self {
        Self { clock, flag: Arc::default() }
    }

    /// Polls once. Where the future waits, what it waits for has happened when this returns.
    fn step<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.flag));
        let polled = future.poll(&mut Context::from_waker(&waker));
        if polled.is_pending() && !self.flag.0.swap(false, Ordering::SeqCst) {
            let next = self.clock.next_deadline_in().expect("it waits for something but time");
            self.clock.advance(next);
            self.flag.0.store(false, Ordering::SeqCst);
        }
        polled
    }
}

/// Runs a future to its end.
pub(crate) fn drive<F: Future>(clock: &ManualClock, future: F) -> F::Output {
    let (driver, mut future) = (Driver::new(clock), pin!(future));
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(done) = driver.step(future.as_mut()) {
            return done;
        }
    }
    panic!("it is not done after {POLLS_MAX} polls");
}

/// Polls a future so many times and drops it, as a crash would; `Some` when it was done by then.
///
/// Called with 0, 1, 2 … on a fresh world each, it ends something at every point where it can end, until
/// it answers `Some`.
pub(crate) fn drop_after<F: Future>(
    clock: &ManualClock,
    polls: usize,
    future: F,
) -> Option<F::Output> {
    let (driver, mut future) = (Driver::new(clock), pin!(future));
    (0..polls).find_map(|_| match driver.step(future.as_mut()) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    })
}

/// A clock on which every wait takes no time: for tests that speak over real sockets and would have to
/// wait for both.
#[derive(Debug, Clone)]
pub(crate) struct JumpingClock(ManualClock);

impl JumpingClock {
    pub(crate) fn new(start: Timestamp) -> Self {
        Self(ManualClock::new(start))
    }
}

#[async_trait]
impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep_until(&self, deadline: Duration) {
        self.0.advance(deadline.saturating_sub(self.0.monotonic()));
    }
}
