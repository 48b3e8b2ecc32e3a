//! Lanes: calls to the outside that one slow peer may hold up, kept apart from everything else.
//!
//! A call that names a lane takes a place in it. So many calls of a lane are under way at once, so many
//! wait in line with their leases renewed, and what comes beyond is put off. None of them counts
//! against the engine's concurrency: a peer that hangs holds up its own lane and nothing more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::permits::Permits;

/// Names what calls share and may wait for: a provider with a credential, the agent of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(String);

impl Lane {
    /// Names a lane by what sort of peer it leads to, and which.
    pub fn new(sort: &str, peer: impl fmt::Display) -> Self {
        Self(format!("{sort}/{peer}"))
    }
}

/// What a resource is about to ask of the outside, when it is asked for the lane.
#[derive(Debug)]
#[non_exhaustive]
pub enum Asked<'a, L, E> {
    /// An effect.
    Act(&'a E),
    /// A question.
    Look(&'a L),
}

/// How long a record is put off for which there is no place in its lane.
pub(super) const PUT_OFF: Duration = Duration::from_secs(2);

/// Most records that are in all lanes of an engine together.
const PLACES_MAX: usize = 4_096;

/// The lanes of one engine. They come and go with those that are in them.
#[derive(Debug)]
pub(super) struct Lanes {
    calls: usize,
    waiting: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_lane: BTreeMap<Lane, (Arc<Permits>, usize)>,
    places: usize,
}

impl Lanes {
    /// Lets `calls` of each lane be under way, and `waiting` wait.
    pub(super) fn new(calls: usize, waiting: usize) -> Self {
        Self { calls, waiting, open: Mutex::default() }
    }

    /// Returns how many records are in lanes.
    pub(super) fn places(&self) -> usize {
        self.lock().places
    }

    /// Takes a place in a lane; `None` when all are taken.
    pub(super) fn enter(&self, lane: Lane) -> Option<Place<'_>> {
        let mut open = self.lock();
        if open.places >= PLACES_MAX {
            return None;
        }
        let fresh = || (Arc::new(Permits::new(self.calls, self.waiting)), 0);
        let (permits, inside) = open.by_lane.entry(lane.clone()).or_insert_with(fresh);
        if *inside >= self.calls + self.waiting {
            return None;
        }
        *inside += 1;
        let permits = Arc::clone(permits);
        open.places += 1;
        Some(Place { lanes: self, lane, permits })
    }

    fn leave(&self, lane: &Lane) {
        let mut open = self.lock();
        open.places -= 1;
        if let Some((_, inside)) = open.by_lane.get_mut(lane) {
            *inside -= 1;
            if *inside == 0 {
                open.by_lane.remove(lane);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a lane; left when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    lanes: &'a Lanes,
    lane: Lane,
    permits: Arc<Permits>,
}

impl Place<'_> {
    /// Waits for its turn, then does the work.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        // Whoever has a place finds room to wait.
        let _turn = self.permits.acquire().await;
        work.await
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lanes.leave(&self.lane);
    }
}
