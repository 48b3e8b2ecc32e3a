//! A wake-up without a runtime: counts up, and completes everybody who waits.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Tells any number of waiters that something happened.
///
/// A waiter takes [`Signal::ticket`] before it looks at the state, and then waits for the signal
/// to move past it: what happens between the look and the wait is not missed.
#[derive(Debug, Default)]
pub struct Signal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    count: u64,
    waiters: Vec<Waker>,
}

impl Signal {
    /// Makes a signal that has not been raised.
    pub const fn new() -> Self {
        Self(Mutex::new(State { count: 0, waiters: Vec::new() }))
    }

    /// Wakes everybody who waits.
    pub fn raise(&self) {
        let waiters = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.count += 1;
            std::mem::take(&mut state.waiters)
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Returns how often it was raised.
    pub fn ticket(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Completes once it has been raised after `ticket` was taken.
    pub fn raised_after(&self, ticket: u64) -> impl Future<Output = ()> + Send + '_ {
        Raised { signal: self, ticket }
    }
}

struct Raised<'a> {
    signal: &'a Signal,
    ticket: u64,
}

impl Future for Raised<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.signal.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.count > self.ticket {
            return Poll::Ready(());
        }
        // A waker left behind by a dropped waiter is woken once, for nothing, at the next raise.
        if !state.waiters.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiters.push(context.waker().clone());
        }
        Poll::Pending
    }
}
