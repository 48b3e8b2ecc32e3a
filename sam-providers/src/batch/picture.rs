//! The picture of a batch: what was loaded, overlaid by what its earlier commits wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sam_core::CommitId;
use sam_core::store::{
    Change, ChangeOp, Commit, Committed, Due, DueRow, Index, Lease, LeaseUse, RecordKey, Refusal,
    Rev, SetBy, UniqueChange, View, Write, WriteOp, judge,
};
use sam_core::time::Timestamp;

/// What a record is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) version: u64,
    pub(crate) rev: Rev,
    pub(crate) index: Index,
    /// Loaded only where a delete will tell it; always there once written.
    pub(crate) body: Arc<str>,
}

/// State that a batch mentions; see [`Mentions`](super::Mentions).
#[derive(Debug)]
pub(crate) struct Picture {
    now: Timestamp,
    rev: Rev,
    done: BTreeMap<CommitId, Committed>,
    records: BTreeMap<RecordKey, Known>,
    due: BTreeMap<RecordKey, DueRow>,
    names: BTreeMap<(String, String), RecordKey>,
    touched: Touched,
}

#[derive(Debug, Default)]
struct Touched {
    records: BTreeSet<RecordKey>,
    due: BTreeSet<RecordKey>,
    names: BTreeSet<(String, String)>,
    changes: Vec<Change>,
    quiet: Vec<(CommitId, Rev)>,
}

/// What the commits that passed wrote: the last state of each row, `None` for those that go.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) records: Vec<(RecordKey, Option<Known>)>,
    pub(crate) due: Vec<(RecordKey, Option<DueRow>)>,
    pub(crate) names: Vec<((String, String), Option<RecordKey>)>,
    /// New changes of the feed, ascending.
    pub(crate) changes: Vec<Change>,
    /// Commits without a change, and the head they met.
    pub(crate) quiet: Vec<(CommitId, Rev)>,
}

impl Written {
    /// Returns whether nothing was written at all.
    pub(crate) fn is_empty(&self) -> bool {
        // Each commit that passes leaves a change or its id.
        self.changes.is_empty() && self.quiet.is_empty()
    }
}

impl View for Picture {
    fn version(&self, key: &RecordKey) -> Option<u64> {
        self.records.get(key).map(|known| known.version)
    }

    fn holder(&self, space: &str, key: &str) -> Option<RecordKey> {
        self.names.get(&(space.to_owned(), key.to_owned())).cloned()
    }

    fn holds(&self, lease: &Lease) -> bool {
        self.due.get(&lease.key).is_some_and(|row| row.is_held_under(lease, self.now))
    }
}

impl Picture {
    /// Begins with a head and nothing loaded.
    pub(crate) fn new(now: Timestamp, rev: Rev) -> Self {
        Self {
            now,
            rev,
            done: BTreeMap::new(),
            records: BTreeMap::new(),
            due: BTreeMap::new(),
            names: BTreeMap::new(),
            touched: Touched::default(),
        }
    }

    /// Adds one change of a commit that was applied before; call in the order of revisions.
    pub(crate) fn load_done(&mut self, id: CommitId, rev: Rev, version: Option<(RecordKey, u64)>) {
        let committed = self.done.entry(id).or_insert_with(|| Committed::new(rev, Vec::new()));
        committed.rev = rev;
        committed.versions.extend(version);
    }

    /// Adds a record that exists.
    pub(crate) fn load_record(&mut self, key: RecordKey, known: Known) {
        self.records.insert(key, known);
    }

    /// Adds a due time or lease.
    pub(crate) fn load_due(&mut self, key: RecordKey, row: DueRow) {
        self.due.insert(key, row);
    }

    /// Adds a name that is held.
    pub(crate) fn load_name(&mut self, name: (String, String), holder: RecordKey) {
        self.names.insert(name, holder);
    }

    /// Returns the end of the feed so far.
    pub(crate) const fn rev(&self) -> Rev {
        self.rev
    }

    /// Applies one commit, or says why not; a refused one leaves no trace.
    pub(crate) fn apply(&mut self, commit: &Commit) -> Result<Committed, Refusal> {
        if let Some(done) = self.done.get(&commit.id) {
            return Ok(done.clone()); // C2
        }
        judge(self, commit)?;
        let held = commit.lease.as_ref().map(|used| &used.lease().key);
        let mut versions = Vec::with_capacity(commit.writes.len());
        for write in &commit.writes {
            let by = if held == Some(&write.key) { SetBy::Holder } else { SetBy::Other };
            if let Some(version) = self.write(commit, write, by) {
                versions.push((write.key.clone(), version));
            }
        }
        for change in &commit.unique {
            self.change_name(change);
        }
        for key in &commit.wakes {
            if self.records.contains_key(key) {
                self.set_due(key, Due::NOW, SetBy::Other);
            }
        }
        if let Some(LeaseUse::Release(lease)) = &commit.lease
            && self.holds(lease)
        {
            let row = self.due.get(&lease.key).cloned();
            let row = row.and_then(|row| row.after_release(Due::Never, self.now));
            self.put_due(&lease.key, row);
        }
        if versions.is_empty() {
            self.touched.quiet.push((commit.id, self.rev));
        }
        let committed = Committed::new(self.rev, versions);
        self.done.insert(commit.id, committed.clone());
        Ok(committed)
    }

    /// Makes one write and its change; returns the new version, or `None` when there was nothing
    /// to delete.
    fn write(&mut self, commit: &Commit, write: &Write, by: SetBy) -> Option<u64> {
        let rev = Rev(self.rev.0 + 1);
        let version = self.version(&write.key).unwrap_or(0) + 1;
        let (op, body) = if let WriteOp::Put { index, body, due } = &write.op {
            let body = Arc::clone(body);
            let known = Known { version, rev, index: index.clone(), body: Arc::clone(&body) };
            self.records.insert(write.key.clone(), known);
            self.set_due(&write.key, *due, by);
            (ChangeOp::Put, body)
        } else {
            let known = self.records.remove(&write.key)?;
            self.put_due(&write.key, None);
            (ChangeOp::Delete, known.body)
        };
        self.touched.records.insert(write.key.clone());
        let mut change = Change::new(rev, commit.id, self.now, write.key.clone());
        change.actor = commit.actor.clone();
        change.request_id.clone_from(&commit.request_id);
        change.version = version;
        change.op = op;
        write.event.clone_into(&mut change.event);
        change.body = body;
        self.touched.changes.push(change);
        self.rev = rev;
        Some(version)
    }

    fn set_due(&mut self, key: &RecordKey, due: Due, by: SetBy) {
        if due != Due::Keep {
            let row = DueRow::after_set(self.due.get(key).cloned(), due, by, self.now);
            self.put_due(key, row);
        }
    }

    fn put_due(&mut self, key: &RecordKey, row: Option<DueRow>) {
        if self.due.get(key) == row.as_ref() {
            return;
        }
        self.touched.due.insert(key.clone());
        match row {
            Some(row) => drop(self.due.insert(key.clone(), row)),
            None => drop(self.due.remove(key)),
        }
    }

    fn change_name(&mut self, change: &UniqueChange) {
        match change {
            UniqueChange::Claim { space, key, holder } => {
                let name = ((*space).to_owned(), key.clone());
                self.touched.names.insert(name.clone());
                self.names.insert(name, holder.clone());
            }
            UniqueChange::Release { space, key, holder } => {
                let name = ((*space).to_owned(), key.clone());
                if self.names.get(&name) == Some(holder) {
                    self.names.remove(&name);
                    self.touched.names.insert(name);
                }
            }
            _ => {}
        }
    }

    /// Returns what has to be written.
    pub(crate) fn into_written(self) -> Written {
        let Self { touched, mut records, mut due, mut names, .. } = self;
        let last = |key: RecordKey| (records.remove(&key), key);
        let written = touched.records.into_iter().map(last).map(|(known, key)| (key, known));
        Written {
            records: written.collect(),
            due: touched
                .due
                .into_iter()
                .map(|key| {
                    let row = due.remove(&key);
                    (key, row)
                })
                .collect(),
            names: touched
                .names
                .into_iter()
                .map(|name| {
                    let holder = names.remove(&name);
                    (name, holder)
                })
                .collect(),
            changes: touched.changes,
            quiet: touched.quiet,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use sam_core::entropy::SeededEntropy;
    use sam_core::store::{
        Actor, ClaimRequest, CommitError, Cursor, Expect, Feed, Kind, MemoryStore, Store as _,
        WorkerId,
    };
    use sam_core::time::ManualClock;

    use super::super::Mentions;
    use super::*;

    const THING: Kind = Kind::new("thing");

    /// The store in memory never waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the store in memory waits"),
        }
    }

    /// Rows as a database would keep them.
    #[derive(Debug, Default)]
    struct Rows {
        rev: Rev,
        records: BTreeMap<RecordKey, Known>,
        due: BTreeMap<RecordKey, DueRow>,
        names: BTreeMap<(String, String), RecordKey>,
        changes: Vec<Change>,
        quiet: Vec<(CommitId, Rev)>,
    }

    impl Rows {
        /// Loads exactly what a batch mentions, and no body that it does not want.
        fn picture(&self, mentions: &Mentions<'_>, at: Timestamp) -> Picture {
            let mut picture = Picture::new(at, self.rev);
            for change in &self.changes {
                if mentions.commits.contains(&change.commit_id) {
                    let version = Some((change.key.clone(), change.version));
                    picture.load_done(change.commit_id, change.rev, version);
                }
            }
            for (id, rev) in &self.quiet {
                if mentions.commits.contains(id) {
                    picture.load_done(*id, *rev, None);
                }
            }
            for (key, body) in &mentions.records {
                if let Some(known) = self.records.get(key) {
                    let mut known = known.clone();
                    if !body {
                        known.body = Arc::from("not loaded");
                    }
                    picture.load_record((*key).clone(), known);
                }
            }
            for key in &mentions.due {
                if let Some(row) = self.due.get(key) {
                    picture.load_due((*key).clone(), row.clone());
                }
            }
            for (space, key) in &mentions.names {
                let name = ((*space).to_owned(), (*key).to_owned());
                if let Some(holder) = self.names.get(&name) {
                    picture.load_name(name, holder.clone());
                }
            }
            picture
        }

        fn save(&mut self, rev: Rev, written: Written) {
            fn put<K: Ord, V>(rows: &mut BTreeMap<K, V>, written: Vec<(K, Option<V>)>) {
                for (key, row) in written {
                    match row {
                        Some(row) => drop(rows.insert(key, row)),
                        None => drop(rows.remove(&key)),
                    }
                }
            }
            self.rev = rev;
            put(&mut self.records, written.records);
            put(&mut self.due, written.due);
            put(&mut self.names, written.names);
            self.changes.extend(written.changes);
            self.quiet.extend(written.quiet);
        }
    }

    fn key(dice: &SeededEntropy) -> RecordKey {
        RecordKey::new(THING, dice.below(5))
    }

    fn expect(dice: &SeededEntropy) -> Expect {
        match dice.below(4) {
            0 => Expect::Absent,
            1 => Expect::Version(1 + dice.below(3)),
            _ => Expect::Anything,
        }
    }

    fn due(dice: &SeededEntropy) -> Due {
        match dice.below(4) {
            0 => Due::Keep,
            1 => Due::Never,
            _ => Due::In(Duration::from_secs(dice.below(4))),
        }
    }

    fn commit(dice: &SeededEntropy, leases: &[Lease]) -> Commit {
        // Few ids, so that some are used again.
        let id = CommitId::from_bits(u128::from(dice.below(200)));
        let mut commit = Commit::new(id, Actor::named("dice"));
        for _ in 0..dice.below(3) {
            let key = key(dice);
            if commit.writes.iter().any(|write| write.key == key) {
                continue;
            }
            let body = format!("{{\"n\":{}}}", dice.below(1_000));
            let write = match dice.below(4) {
                0 => Write::delete(key, expect(dice), "thing_deleted"),
                _ => Write::put(key, expect(dice), body, "thing_put").with_due(due(dice)),
            };
            commit = commit.with_write(write);
        }
        if dice.below(4) == 0 {
            commit = commit.with_check(key(dice), expect(dice));
        }
        if dice.below(3) == 0 {
            let (name, holder) = (dice.below(3).to_string(), key(dice));
            commit = commit.with_unique(match dice.below(2) {
                0 => UniqueChange::Claim { space: "thing_name", key: name, holder },
                _ => UniqueChange::Release { space: "thing_name", key: name, holder },
            });
        }
        if dice.below(3) == 0 {
            commit = commit.with_wake(key(dice));
        }
        let count = u64::try_from(leases.len()).unwrap();
        if let Some(lease) = leases.get(usize::try_from(dice.below(count * 3)).unwrap()) {
            let lease = lease.clone();
            let used =
                if dice.below(2) == 0 { LeaseUse::Keep(lease) } else { LeaseUse::Release(lease) };
            commit = commit.with_lease(used);
        }
        commit
    }

    /// Claims one thing in both, as far as it is due.
    fn claim(memory: &MemoryStore, rows: &mut Rows, at: Timestamp) -> Vec<Lease> {
        let span = Duration::from_secs(2);
        let request = ClaimRequest::new(WorkerId::new("worker"), vec![THING], 1, span);
        let claims = now(memory.claim_due(&request)).unwrap().claims;
        claims
            .into_iter()
            .map(|claim| {
                let row = rows.due.remove(&claim.lease.key).unwrap();
                assert!(row.at <= at, "{} is due in memory alone", claim.lease.key);
                let row = row.after_claim(claim.lease.owner.clone(), claim.lease.epoch, span, at);
                rows.due.insert(claim.lease.key.clone(), row);
                claim.lease
            })
            .collect()
    }

    /// What both said must be the same, whatever is in one batch.
    fn batches_of_commits_do_what_the_store_in_memory_does(seed: u64) {
        let dice = SeededEntropy::new(seed);
        let clock = ManualClock::new(Timestamp::EPOCH);
        let memory = MemoryStore::new(Arc::new(clock.clone()));
        let mut rows = Rows::default();
        let mut leases: Vec<Lease> = Vec::new();
        let mut at = Timestamp::EPOCH;
        for _ in 0..40 {
            let batch: Vec<Commit> = (0..=dice.below(5)).map(|_| commit(&dice, &leases)).collect();
            let mentions = Mentions::of(&batch);
            let mut picture = rows.picture(&mentions, at);
            for commit in &batch {
                let ours = picture.apply(commit);
                let theirs = match now(memory.commit(commit.clone())) {
                    Ok(committed) => Ok(committed),
                    Err(CommitError::Refused(refusal)) => Err(refusal),
                    Err(failed) => panic!("{failed}"),
                };
                assert_eq!(ours, theirs, "seed {seed}: {commit:?}");
            }
            rows.save(picture.rev(), picture.into_written());
            let span = Duration::from_millis(dice.below(1_500));
            clock.advance(span);
            at = at.plus(span);
            leases.extend(claim(&memory, &mut rows, at));
        }
        let start = Cursor::new(sam_core::store::Epoch::new("memory"), Rev(0));
        let Feed::Changes(feed) = now(memory.changes(Some(&start), 1_000)).unwrap() else {
            panic!("stale")
        };
        assert_eq!(feed.changes, rows.changes, "seed {seed}");
        for (key, known) in &rows.records {
            let record = now(memory.load(key)).unwrap().unwrap();
            assert_eq!((record.version, &record.body), (known.version, &known.body));
        }
    }

    #[test]
    fn batches_of_commits_do_what_the_store_in_memory_does_for_many_seeds() {
        for seed in 0..300 {
            batches_of_commits_do_what_the_store_in_memory_does(seed);
        }
    }
}
