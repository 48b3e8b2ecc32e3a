//! A store in memory: for tests, simulations, examples and hosts that keep nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Change, ChangeOp, Changes, Claim, ClaimRequest, Claims, Commit, CommitError, Committed, Cursor,
    Due, DueRow, Epoch, Feed, Lease, LeaseUse, ListQuery, Record, RecordKey, Rev, SetBy, Signal,
    Store, StoreTime, UniqueChange, View, Write, WriteOp, judge,
};
use crate::error::Result;
use crate::id::CommitId;
use crate::page::Page;
use crate::time::{Clock, Timestamp};

/// Keeps everything in memory, by the clock it is given.
///
/// ```
/// use sam_core::store::{Kind, ListQuery, MemoryStore, Store};
/// use sam_core::time::{ManualClock, Timestamp};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let store = MemoryStore::new(std::sync::Arc::new(ManualClock::new(Timestamp::EPOCH)));
/// let page = store.list(&ListQuery::new(Kind::new("node"))).await.unwrap();
/// assert!(page.items.is_empty());
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    time: StoreTime,
    state: Mutex<State>,
    signal: Signal,
}

#[derive(Debug)]
struct State {
    epoch: Epoch,
    records: BTreeMap<RecordKey, Record>,
    due: BTreeMap<RecordKey, DueRow>,
    due_order: BTreeSet<(Timestamp, RecordKey)>,
    unique: BTreeMap<(String, String), RecordKey>,
    changes: Vec<Change>,
    commits: BTreeMap<CommitId, Committed>,
    now: Timestamp,
    /// The last fencing epoch given out.
    fence: u64,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            epoch: Epoch::new("memory"),
            records: BTreeMap::new(),
            due: BTreeMap::new(),
            due_order: BTreeSet::new(),
            unique: BTreeMap::new(),
            changes: Vec::new(),
            commits: BTreeMap::new(),
            now: Timestamp::EPOCH,
            fence: 0,
        };
        let time = StoreTime::new(clock, Timestamp::EPOCH);
        Self { time, state: Mutex::new(state), signal: Signal::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.time.now();
        state
    }
}

impl View for State {
    fn version(&self, key: &RecordKey) -> Option<u64> {
        self.records.get(key).map(|record| record.version)
    }

    fn holder(&self, space: &str, key: &str) -> Option<RecordKey> {
        self.unique.get(&(space.to_owned(), key.to_owned())).cloned()
    }

    fn holds(&self, lease: &Lease) -> bool {
        self.due.get(&lease.key).is_some_and(|row| row.is_held_under(lease, self.now))
    }
}

impl State {
    fn head(&self) -> Rev {
        Rev(self.changes.len() as u64)
    }

    fn set_row(&mut self, key: &RecordKey, row: Option<DueRow>) {
        if let Some(old) = self.due.remove(key) {
            self.due_order.remove(&(old.at, key.clone()));
        }
        if let Some(row) = row {
            self.due_order.insert((row.at, key.clone()));
            self.due.insert(key.clone(), row);
        }
    }

    fn set_due(&mut self, key: &RecordKey, due: Due, by: SetBy) {
        let row = DueRow::after_set(self.due.get(key).cloned(), due, by, self.now);
        self.set_row(key, row);
    }

    fn release(&mut self, lease: &Lease, due: Due) {
        if let Some(row) = self.due.get(&lease.key)
            && row.is_held_under(lease, self.now)
        {
            let row = row.clone().after_release(due, self.now);
            self.set_row(&lease.key, row);
        }
    }

    fn apply(&mut self, commit: Commit) -> Committed {
        let (id, actor, request_id) = (commit.id, commit.actor, commit.request_id);
        let held = commit.lease.as_ref().map(|used| used.lease().key.clone());
        let mut versions = Vec::new();
        for write in commit.writes {
            let by = if held.as_ref() == Some(&write.key) { SetBy::Holder } else { SetBy::Other };
            if let Some(change) = self.write(write, by, &mut versions) {
                self.changes.push(Change {
                    commit_id: id,
                    actor: actor.clone(),
                    request_id: request_id.clone(),
                    ..change
                });
            }
        }
        for change in commit.unique {
            match change {
                UniqueChange::Claim { space, key, holder } => {
                    self.unique.insert((space.to_owned(), key), holder);
                }
                UniqueChange::Release { space, key, holder } => {
                    let name = (space.to_owned(), key);
                    if self.unique.get(&name) == Some(&holder) {
                        self.unique.remove(&name);
                    }
                }
            }
        }
        for key in commit.wakes {
            if self.records.contains_key(&key) {
                self.set_due(&key, Due::NOW, SetBy::Other);
            }
        }
        if let Some(LeaseUse::Release(lease)) = commit.lease {
            self.release(&lease, Due::Never);
        }
        let committed = Committed { rev: self.head(), versions };
        self.commits.insert(id, committed.clone());
        committed
    }

    fn write(
        &mut self,
        write: Write,
        by: SetBy,
        versions: &mut Vec<(RecordKey, u64)>,
    ) -> Option<Change> {
        let rev = Rev(self.head().0 + 1);
        let Write { key, op, event, .. } = write;
        let old = self.records.get(&key);
        let version = old.map_or(0, |record| record.version) + 1;
        let (op, body) = match op {
            WriteOp::Delete => {
                let body = self.records.remove(&key)?.body;
                self.set_row(&key, None);
                (ChangeOp::Delete, body)
            }
            WriteOp::Put { index, body, due } => {
                let record =
                    Record { key: key.clone(), version, rev, index, body: Arc::clone(&body) };
                self.records.insert(key.clone(), record);
                self.set_due(&key, due, by);
                (ChangeOp::Put, body)
            }
        };
        versions.push((key.clone(), version));
        let mut change = Change::new(rev, CommitId::from_bits(0), self.now, key);
        change.version = version;
        change.op = op;
        event.clone_into(&mut change.event);
        change.body = body;
        Some(change)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        Ok(self.lock().records.get(key).cloned())
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        let limit = query.limit.clamp(1, ListQuery::LIMIT_MAX);
        let state = self.lock();
        let matches = |record: &&Record| {
            query
                .filter
                .as_ref()
                .is_none_or(|(field, value)| record.index[field.position()].as_ref() == Some(value))
        };
        let from =
            RecordKey { kind: query.kind.clone(), id: query.after.clone().unwrap_or_default() };
        let left = state
            .records
            .range(from..)
            .map(|(_, record)| record)
            .take_while(|record| record.key.kind == query.kind)
            .filter(|record| query.after.as_ref().is_none_or(|after| record.key.id > *after))
            .filter(matches)
            .cloned();
        Ok(Page::first(left, limit, |record| record.key.id.clone()))
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        commit.validate().map_err(CommitError::Failed)?;
        let committed = {
            let mut state = self.lock();
            if let Some(done) = state.commits.get(&commit.id) {
                return Ok(done.clone()); // C2
            }
            judge(&*state, &commit).map_err(CommitError::Refused)?;
            state.apply(commit)
        };
        self.signal.raise();
        Ok(committed)
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        Ok(self.lock().commits.get(&id).cloned())
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        let mut state = self.lock();
        let now = state.now;
        let wanted = |key: &RecordKey| request.kinds.contains(&key.kind);
        let due: Vec<RecordKey> = state
            .due_order
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, key)| key)
            .filter(|key| wanted(key))
            .take(request.limit.clamp(1, ClaimRequest::LIMIT_MAX))
            .cloned()
            .collect();
        let mut claims = Vec::with_capacity(due.len());
        for key in due {
            let Some(row) = state.due.get(&key).cloned() else { continue };
            state.fence += 1;
            let epoch = state.fence; // C7
            let row = row.after_claim(request.owner.clone(), epoch, request.span, now);
            state.set_row(&key, Some(row));
            let record = state.records.get(&key).cloned();
            let lease = Lease { key, owner: request.owner.clone(), epoch };
            claims.push(Claim { lease, record });
        }
        let next = state.due_order.iter().find(|(_, key)| wanted(key)).map(|(at, _)| at.since(now));
        drop(state);
        Ok(Claims { claims, next_due_in: next })
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        let mut state = self.lock();
        let now = state.now;
        let row = state.due.get(&lease.key).filter(|row| row.is_held_under(lease, now)).cloned();
        let held = row.is_some();
        if let Some(row) = row {
            state.set_row(&lease.key, Some(row.after_renew(span, now)));
        }
        drop(state);
        Ok(held)
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        self.lock().release(lease, due);
        self.signal.raise();
        Ok(())
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        let state = self.lock();
        let head = Cursor { epoch: state.epoch.clone(), rev: state.head() };
        let floor = Rev(0);
        let Some(after) = after else {
            return Ok(Feed::Changes(Changes { changes: Vec::new(), head, floor }));
        };
        if after.epoch != state.epoch || after.rev > head.rev {
            return Ok(Feed::Stale { head, floor });
        }
        let start = usize::try_from(after.rev.0).unwrap_or(usize::MAX);
        let changes =
            state.changes.iter().skip(start).take(limit.min(Changes::LIMIT_MAX)).cloned().collect();
        drop(state);
        Ok(Feed::Changes(Changes { changes, head, floor }))
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        let ticket = self.signal.ticket();
        let behind = {
            let state = self.lock();
            state.epoch != after.epoch || state.head() > after.rev
        };
        if !behind {
            self.signal.raised_after(ticket).await;
        }
        Ok(())
    }
}
