//! A wake-up without a runtime: counts up, and completes everybody who waits.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Tells any number of waiters that something happened.
///
/// A waiter takes [`Signal::ticket`] before it looks at the state, and then waits for the signal
/// to move past it: what happens between the look and the wait is not missed. One that is dropped
/// leaves nothing behind.
#[derive(Debug, Default)]
pub struct Signal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    count: u64,
    next_slot: u64,
    waiters: BTreeMap<u64, Waker>,
}

impl Signal {
    /// Makes a signal that has not been raised.
    pub const fn new() -> Self {
        Self(Mutex::new(State { count: 0, next_slot: 0, waiters: BTreeMap::new() }))
    }

    /// Wakes everybody who waits.
    pub fn raise(&self) {
        let waiters = {
            let mut state = self.lock();
            state.count += 1;
            std::mem::take(&mut state.waiters)
        };
        // Outside the lock: a waker may run or drop a task that waits here again.
        waiters.into_values().for_each(Waker::wake);
    }

    /// Returns how often it was raised.
    pub fn ticket(&self) -> u64 {
        self.lock().count
    }

    /// Completes once it has been raised after `ticket` was taken.
    pub fn raised_after(&self, ticket: u64) -> impl Future<Output = ()> + Send + '_ {
        Raised { signal: self, ticket, slot: None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Raised<'a> {
    signal: &'a Signal,
    ticket: u64,
    slot: Option<u64>,
}

impl Future for Raised<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.signal.lock();
        if state.count > self.ticket {
            return Poll::Ready(());
        }
        let slot = self.slot.unwrap_or(state.next_slot);
        state.next_slot = state.next_slot.max(slot + 1);
        let old = state.waiters.insert(slot, context.waker().clone());
        drop(state);
        drop(old);
        self.slot = Some(slot);
        Poll::Pending
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let waker = self.signal.lock().waiters.remove(&slot);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[test]
    fn a_dropped_waiter_leaves_no_waker_behind() {
        let signal = Signal::new();
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut wait = pin!(signal.raised_after(signal.ticket()));
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert_eq!(signal.lock().waiters.len(), 1);
        }
        assert!(signal.lock().waiters.is_empty());
    }

    #[test]
    fn what_is_raised_between_the_ticket_and_the_wait_is_not_missed() {
        let signal = Signal::new();
        let ticket = signal.ticket();
        signal.raise();
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(signal.raised_after(ticket)).as_mut().poll(&mut context).is_ready());
    }
}
