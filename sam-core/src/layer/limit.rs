//! Bounds how many calls are under way at once.
//!
//! The core has no runtime, so the permits are a small queue of wakers: first come, first served.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;

use super::{Call, Layer};
use crate::error::{Error, ErrorKind, Result};

/// Lets a bounded number of calls through at once; the others wait in the order they came.
#[derive(Debug)]
pub struct Limited(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    free: usize,
    next_ticket: u64,
    waiting: VecDeque<(u64, Waker)>,
    /// Tickets whose permit is theirs already, until they come for it.
    granted: BTreeSet<u64>,
}

impl Limited {
    /// Most callers that wait; one more is refused with `Unavailable`.
    pub const WAITING_MAX: usize = 4_096;

    /// Lets `calls` through at once, at least one.
    pub fn new(calls: usize) -> Self {
        Self(Mutex::new(Queue {
            free: calls.max(1),
            next_ticket: 0,
            waiting: VecDeque::new(),
            granted: BTreeSet::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

struct Permit<'a>(&'a Limited);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

struct Acquire<'a> {
    limit: &'a Limited,
    ticket: Option<u64>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Permit<'a>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let limit = self.limit;
        let mut queue = limit.lock();
        if let Some(ticket) = self.ticket {
            if queue.granted.remove(&ticket) {
                drop(queue);
                self.ticket = None;
                return Poll::Ready(Ok(Permit(limit)));
            }
            if let Some((_, waker)) = queue.waiting.iter_mut().find(|(waits, _)| *waits == ticket) {
                waker.clone_from(context.waker());
            }
            return Poll::Pending;
        }
        // Whoever waits has precedence: a permit is free only when nobody does.
        if queue.free > 0 {
            queue.free -= 1;
            return Poll::Ready(Ok(Permit(limit)));
        }
        if queue.waiting.len() >= Limited::WAITING_MAX {
            return Poll::Ready(Err(Error::new(
                ErrorKind::Unavailable,
                "too many calls wait for the provider",
            )
            .with_hint("lower the engine's concurrency")));
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
        let mut queue = self.limit.lock();
        let was_granted = queue.granted.remove(&ticket);
        queue.waiting.retain(|(waits, _)| *waits != ticket);
        drop(queue);
        if was_granted {
            self.limit.give_back();
        }
    }
}

impl Layer for Limited {
    async fn around<'a, T, A>(
        &'a self,
        _provider: &'a (dyn fmt::Display + Sync),
        call: Call,
        attempt: A,
    ) -> Result<T>
    where
        T: Send + 'a,
        A: Fn() -> BoxFuture<'a, Result<T>> + Send + Sync + 'a,
    {
        let acquire = Acquire { limit: self, ticket: None };
        let permit = acquire.await.map_err(|error| error.with_operation(call.operation))?;
        let result = attempt().await;
        drop(permit);
        result
    }
}
