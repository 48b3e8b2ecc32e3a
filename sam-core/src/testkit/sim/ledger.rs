//! What the store was asked and what it answered, kept beside it: who holds which lease, and which
//! commits it accepted. The store is held to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::id::CommitId;
use crate::store::{
    Change, ChangeOp, Claims, Commit, CommitError, Committed, Lease, LeaseUse, RecordKey, Rev,
    StoreTime, WriteOp,
};
use crate::time::{ManualClock, Timestamp};

/// The books of a run.
#[derive(Debug, Clone)]
pub(super) struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    /// The same time as the store's, told from the same clock.
    time: StoreTime,
    leases: BTreeMap<RecordKey, Held>,
    offers: BTreeMap<CommitId, Offer>,
    /// Accepted since the last audit.
    accepted: Vec<CommitId>,
    broken: Option<String>,
    dirty: bool,
}

/// The newest claim of a record.
#[derive(Debug)]
struct Held {
    epoch: u64,
    /// `None` once it was given back.
    until: Option<Timestamp>,
}

/// A commit that reached the store.
#[derive(Debug)]
struct Offer {
    /// What it writes: a body to put, or none to delete.
    writes: Vec<(RecordKey, Option<Arc<str>>)>,
    answer: Answer,
    /// Its last revision in the feed, once it was seen there.
    applied: Option<Rev>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// None yet, or one that leaves it open.
    Open,
    Accepted(Committed),
    /// Refused, or said not to have been applied.
    NotApplied,
}

impl Ledger {
    pub(super) fn new(clock: ManualClock) -> Self {
        Self(Arc::new(Mutex::new(Book {
            time: StoreTime::new(Arc::new(clock), Timestamp::EPOCH),
            leases: BTreeMap::new(),
            offers: BTreeMap::new(),
            accepted: Vec::new(),
            broken: None,
            dirty: false,
        })))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the clock: called with every jump of it, so that this time and the store's cannot
    /// drift apart.
    pub(super) fn look_at_clock(&self) {
        self.book().time.now();
    }

    /// Returns whether the store may have changed since this was last asked.
    ///
    /// # Errors
    /// What was seen to be broken.
    pub(super) fn news(&self) -> Result<bool, String> {
        let mut book = self.book();
        match &book.broken {
            None => Ok(std::mem::take(&mut book.dirty)),
            Some(broken) => Err(broken.clone()),
        }
    }

    pub(super) fn claimed(&self, claims: &Claims, span: Duration) {
        let mut book = self.book();
        let now = book.time.now();
        for claim in &claims.claims {
            let (key, epoch) = (&claim.lease.key, claim.lease.epoch);
            let held = Held { epoch, until: Some(now.plus(span)) };
            let Some(old) = book.leases.insert(key.clone(), held) else { continue };
            if old.until.is_some_and(|until| until > now) {
                book.broken = Some(format!("I3: two live leases of {key}"));
            } else if epoch <= old.epoch {
                book.broken = Some(format!("I3: the fencing epoch of {key} does not rise"));
            }
        }
    }

    pub(super) fn renewed(&self, lease: &Lease, span: Duration) {
        let mut book = self.book();
        let now = book.time.now();
        if book.holds(lease, now) {
            if let Some(held) = book.leases.get_mut(&lease.key) {
                held.until = Some(now.plus(span));
            }
        } else {
            book.broken = Some(format!("I3: a lost lease of {} was renewed", lease.key));
        }
    }

    pub(super) fn released(&self, lease: &Lease) {
        self.book().release(lease);
    }

    pub(super) fn offered(&self, commit: &Commit) {
        let writes = commit.writes.iter().map(|write| match &write.op {
            WriteOp::Delete => (write.key.clone(), None),
            WriteOp::Put { body, .. } => (write.key.clone(), Some(Arc::clone(body))),
        });
        let offer = Offer { writes: writes.collect(), answer: Answer::Open, applied: None };
        let mut book = self.book();
        book.dirty = true;
        book.offers.entry(commit.id).or_insert(offer);
    }

    pub(super) fn answered(
        &self,
        id: CommitId,
        used: Option<&LeaseUse>,
        result: &Result<Committed, CommitError>,
    ) {
        let mut book = self.book();
        let now = book.time.now();
        let Some(offer) = book.offers.get_mut(&id) else { return };
        let before = offer.answer.clone();
        match (result, before) {
            (Ok(committed), Answer::Open) => {
                offer.answer = Answer::Accepted(committed.clone());
                book.accepted.push(id);
                if let Some(used) = used {
                    book.used(used, now);
                }
            }
            (Ok(committed), Answer::Accepted(first)) if *committed == first => {}
            (_, Answer::Accepted(_)) => {
                book.broken = Some(format!("I6: {id} was accepted, and then answered otherwise"));
            }
            (Ok(_), Answer::NotApplied) => {
                book.broken = Some(format!("I6: {id} was not applied, and then accepted"));
            }
            (Err(error), Answer::Open | Answer::NotApplied) => {
                if !error.may_have_happened() {
                    offer.answer = Answer::NotApplied;
                }
            }
        }
    }

    /// The store said what became of a commit.
    pub(super) fn told(&self, id: CommitId, outcome: Option<&Committed>) {
        let mut book = self.book();
        let Some(offer) = book.offers.get_mut(&id) else {
            if outcome.is_some() {
                book.broken = Some(format!("I6: an outcome of {id}, which nobody made"));
            }
            return;
        };
        match (outcome, &offer.answer) {
            (None, Answer::Accepted(_)) => {
                book.broken = Some(format!("I6: {id} was accepted, and its outcome is lost"));
            }
            (None, Answer::Open | Answer::NotApplied) => offer.answer = Answer::NotApplied,
            (Some(told), Answer::Accepted(first)) if told == first => {}
            (Some(told), Answer::Open) => {
                offer.answer = Answer::Accepted(told.clone());
                book.accepted.push(id);
            }
            (Some(_), Answer::Accepted(_) | Answer::NotApplied) => {
                book.broken = Some(format!("I6: {id} was first answered otherwise"));
            }
        }
    }

    /// Holds the changes of one commit, as they stand in the feed, against what was asked for.
    pub(super) fn seen(&self, changes: &[Change]) -> Result<(), String> {
        let Some(first) = changes.first() else { return Ok(()) };
        let (id, rev) = (first.commit_id, first.rev);
        let mut book = self.book();
        let Some(offer) = book.offers.get_mut(&id) else {
            return Err(format!("I6: revision {rev} is of a commit that nobody made"));
        };
        if offer.answer == Answer::NotApplied {
            return Err(format!("I6: revision {rev} is of a commit that was not applied"));
        }
        if offer.applied.is_some() {
            return Err(format!("I6: revision {rev} is of a commit that was applied before"));
        }
        let mut left = changes.iter();
        let mut next = left.next();
        for (key, body) in &offer.writes {
            let same = next.filter(|change| match body {
                Some(body) => {
                    change.op == ChangeOp::Put && change.key == *key && change.body == *body
                }
                None => change.op == ChangeOp::Delete && change.key == *key,
            });
            match (same, body) {
                (Some(_), _) => next = left.next(),
                // Removing the absent writes nothing.
                (None, None) => {}
                (None, Some(_)) => {
                    return Err(format!("I6: the write of {key} in {id} is not in the feed"));
                }
            }
        }
        if let Some(change) = next {
            return Err(format!("I6: revision {} was never asked for", change.rev));
        }
        offer.applied = changes.last().map(|change| change.rev);
        Ok(())
    }

    /// Returns a commit that was accepted and is not in the feed.
    pub(super) fn missing(&self) -> Option<String> {
        let mut book = self.book();
        let accepted = std::mem::take(&mut book.accepted);
        accepted.into_iter().find_map(|id| {
            let offer = book.offers.get(&id)?;
            let Answer::Accepted(committed) = &offer.answer else { return None };
            let puts = offer.writes.iter().any(|(_, body)| body.is_some());
            match offer.applied {
                None if puts => Some(format!("I6: {id} was accepted and is not in the feed")),
                Some(rev) if rev != committed.rev => {
                    Some(format!("I6: {id} ends at revision {rev}, not {}", committed.rev))
                }
                None | Some(_) => None,
            }
        })
    }
}

impl Book {
    fn holds(&self, lease: &Lease, now: Timestamp) -> bool {
        self.leases.get(&lease.key).is_some_and(|held| {
            held.epoch == lease.epoch && held.until.is_some_and(|until| until > now)
        })
    }

    fn release(&mut self, lease: &Lease) {
        if let Some(held) = self.leases.get_mut(&lease.key)
            && held.epoch == lease.epoch
        {
            held.until = None;
        }
    }

    /// A commit was accepted under a lease.
    fn used(&mut self, used: &LeaseUse, now: Timestamp) {
        let lease = used.lease();
        if !self.holds(lease, now) {
            let key = &lease.key;
            self.broken = Some(format!("I3: a commit to {key} was accepted under a lost lease"));
        }
        if let LeaseUse::Release(lease) = used {
            self.release(lease);
        }
    }
}
