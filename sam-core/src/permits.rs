//! A bounded number of permits, first come, first served, without a runtime: a queue of wakers.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Hands out a bounded number of permits; a bounded number of others wait in the order they came.
#[derive(Debug)]
pub(crate) struct Permits {
    queue: Mutex<Queue>,
    waiting_max: usize,
}

#[derive(Debug)]
struct Queue {
    free: usize,
    next_ticket: u64,
    waiting: VecDeque<(u64, Waker)>,
    /// Tickets whose permit is theirs already, until they come for it.
    granted: BTreeSet<u64>,
}

impl Permits {
    /// Makes `count` permits, at least one, for which `waiting_max` may wait.
    pub(crate) fn new(count: usize, waiting_max: usize) -> Self {
        let queue = Queue {
            free: count.max(1),
            next_ticket: 0,
            waiting: VecDeque::new(),
            granted: BTreeSet::new(),
        };
        Self { queue: Mutex::new(queue), waiting_max }
    }

    /// Waits for a permit; `None` at once when too many wait already.
    pub(crate) const fn acquire(&self) -> Acquire<'_> {
        Acquire { permits: self, ticket: None }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a permit to who has waited longest, or keeps it for who comes.
    fn give_back(&self) {
        let mut queue = self.lock();
        let next = queue.waiting.pop_front();
        match &next {
            Some((ticket, _)) => drop(queue.granted.insert(*ticket)),
            None => queue.free += 1,
        }
        drop(queue);
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }
}

/// The right to go on; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// Waits for a permit.
#[derive(Debug)]
pub(crate) struct Acquire<'a> {
    permits: &'a Permits,
    ticket: Option<u64>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Option<Permit<'a>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let permits = self.permits;
        let mut queue = permits.lock();
        if let Some(ticket) = self.ticket {
            if queue.granted.remove(&ticket) {
                drop(queue);
                self.ticket = None;
                return Poll::Ready(Some(Permit(permits)));
            }
            if let Some((_, waker)) = queue.waiting.iter_mut().find(|(waits, _)| *waits == ticket) {
                waker.clone_from(context.waker());
            }
            return Poll::Pending;
        }
        // Whoever waits has precedence: a permit is free only when nobody does.
        if queue.free > 0 {
            queue.free -= 1;
            return Poll::Ready(Some(Permit(permits)));
        }
        if queue.waiting.len() >= permits.waiting_max {
            return Poll::Ready(None);
        }
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push_back((ticket, context.waker().clone()));
        drop(queue);
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut queue = self.permits.lock();
        let was_granted = queue.granted.remove(&ticket);
        queue.waiting.retain(|(waits, _)| *waits != ticket);
        drop(queue);
        if was_granted {
            self.permits.give_back();
        }
    }
}
