//! Entries of an archive on their way into a store, as a rule revises them.

use std::collections::BTreeMap;
use std::sync::Arc;

use sam_core::store::{
    Actor, Change, ChangeOp, Kind, Record, RecordKey, Rev, Revise, Write, WriteOp,
};
use sam_core::time::Timestamp;
use sam_core::{CommitId, Error, ErrorKind, Result};

use super::{ChangeLine, DueLine, Entry, Header, RecordLine};

/// On whose behalf the changes of a restore are made.
const ACTOR: &str = "restore";

/// What is saved in place of one entry.
pub(crate) type Revised = [Option<Entry>; 2];

/// Applies a rule to one entry after the other. What it changes gets revisions after the last one of
/// the archive, all of one commit.
#[derive(Debug)]
pub(crate) struct Revision<'a> {
    rule: &'a dyn Revise,
    commit: CommitId,
    at: Timestamp,
    rev: u64,
    /// What is written in any case, with the version that the archive has of it.
    adds: BTreeMap<RecordKey, (Write, u64)>,
}

impl<'a> Revision<'a> {
    /// Begins after the changes of an archive.
    ///
    /// # Errors
    /// What the rule says.
    pub(crate) fn new(
        rule: &'a dyn Revise,
        header: &Header,
        (commit, at): (CommitId, Timestamp),
    ) -> Result<Self> {
        let adds = rule.adds()?.into_iter().map(|write| (write.key.clone(), (write, 0))).collect();
        Ok(Self { rule, commit, at, rev: header.rev, adds })
    }

    /// Returns what is saved in place of an entry.
    ///
    /// # Errors
    /// What the rule says of a record.
    pub(crate) fn pass(&mut self, entry: Entry) -> Result<Revised> {
        let kept = match entry {
            Entry::Record(line) => return self.record(&line.into_record()),
            Entry::Name { ref kind, .. } => self.rule.keeps_claims(&kind_of(kind)),
            Entry::Due(DueLine { ref kind, ref id, .. }) => {
                let kind = kind_of(kind);
                self.rule.keeps_claims(&kind) && !self.adds.contains_key(&RecordKey::new(kind, id))
            }
            Entry::Secret(_) => self.rule.keeps_secrets(),
            Entry::Change(_) | Entry::End { .. } | Entry::Quiet { .. } => true,
        };
        Ok([kept.then_some(entry), None])
    }

    /// Returns what is saved after the last entry.
    pub(crate) fn rest(&mut self) -> Vec<Entry> {
        let adds = std::mem::take(&mut self.adds);
        let written = adds.into_values().map(|(write, version)| self.written(write, version));
        written.flatten().flatten().collect()
    }

    /// Returns the last revision given out.
    pub(crate) const fn rev(&self) -> u64 {
        self.rev
    }

    fn record(&mut self, record: &Record) -> Result<Revised> {
        if let Some((_, version)) = self.adds.get_mut(&record.key) {
            *version = record.version;
            return Ok([None, None]);
        }
        match self.rule.revise(record)? {
            None => Ok([Some(Entry::Record(RecordLine::new(record))), None]),
            Some(write) if write.key != record.key => {
                let message = format!("{} was written in place of {}", write.key, record.key);
                Err(Error::new(ErrorKind::Bug, message).with_operation("import"))
            }
            Some(write) => {
                let mut revised = self.written(write, record.version);
                // The body of a deletion is what was there last.
                if let [None, Some(Entry::Change(change))] = &mut revised {
                    change.body = record.body.to_string();
                }
                Ok(revised)
            }
        }
    }

    fn written(&mut self, write: Write, version: u64) -> Revised {
        self.rev += 1;
        let Write { key, op, event, .. } = write;
        let mut change = Change::new(Rev(self.rev), self.commit, self.at, key.clone());
        change.version = version + 1;
        change.actor = Actor::named(ACTOR);
        event.clone_into(&mut change.event);
        let record = if let WriteOp::Put { index, body, .. } = op {
            change.body = Arc::clone(&body);
            let record = Record::new(key, change.version, change.rev, index, body);
            Some(Entry::Record(RecordLine::new(&record)))
        } else {
            change.op = ChangeOp::Delete;
            None
        };
        [record, Some(Entry::Change(ChangeLine::new(&change)))]
    }
}

fn kind_of(kind: &str) -> Kind {
    Kind::from_stored(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::SecretLine;
    use sam_core::keys::Sealed;
    use sam_core::store::{DueRow, Expect, Unrevised};
    use std::time::Duration;

    #[derive(Debug)]
    struct Rule;

    const GONE: Kind = Kind::new("gone");
    const THING: Kind = Kind::new("thing");

    impl Revise for Rule {
        fn revise(&self, record: &Record) -> Result<Option<Write>> {
            let key = record.key.clone();
            Ok((key.kind == GONE).then(|| Write::delete(key, Expect::Anything, "forgotten")))
        }

        fn keeps_claims(&self, kind: &Kind) -> bool {
            *kind != GONE
        }

        fn keeps_secrets(&self) -> bool {
            false
        }

        fn adds(&self) -> Result<Vec<Write>> {
            let key = |id| RecordKey::new(THING, id);
            let write = |id| Write::put(key(id), Expect::Anything, "{\"new\":1}", "added");
            Ok(vec![write("new"), write("old")])
        }
    }

    fn revision(rule: &dyn Revise) -> Revision<'_> {
        let mut header = Header::new(None, "e".to_owned(), Timestamp::EPOCH);
        header.rev = 10;
        Revision::new(rule, &header, (CommitId::from_bits(1), Timestamp::EPOCH)).unwrap()
    }

    fn record(kind: Kind, id: &str) -> Entry {
        let record =
            Record::new(RecordKey::new(kind, id), 4, Rev(3), Default::default(), "{}".into());
        Entry::Record(RecordLine::new(&record))
    }

    fn secret() -> Entry {
        let bytes = [&[1, 1, b'k'][..], &[7; 28]].concat();
        let sealed = Sealed::from_bytes(bytes).unwrap();
        Entry::Secret(SecretLine::new("a".parse().unwrap(), sealed, Duration::ZERO))
    }

    fn entries() -> Vec<Entry> {
        let name = |kind: Kind| Entry::Name {
            space: "s".to_owned(),
            name: kind.as_str().to_owned(),
            kind: kind.as_str().to_owned(),
            id: "a".to_owned(),
        };
        let due = |kind, id| {
            let row = DueRow::new(Timestamp::EPOCH, None, None, 1);
            Entry::Due(DueLine::new(&RecordKey::new(kind, id), &row, Timestamp::EPOCH))
        };
        vec![
            record(GONE, "a"),
            record(THING, "kept"),
            record(THING, "old"),
            name(GONE),
            name(THING),
            due(GONE, "a"),
            due(THING, "kept"),
            due(THING, "old"),
            secret(),
        ]
    }

    fn all(revision: &mut Revision<'_>) -> Vec<Entry> {
        let passed = entries().into_iter().map(|entry| revision.pass(entry).unwrap());
        let mut all: Vec<_> = passed.flatten().flatten().collect();
        all.extend(revision.rest());
        all
    }

    #[test]
    fn without_a_rule_everything_is_as_it_was() {
        let mut revision = revision(&Unrevised);
        assert_eq!(all(&mut revision), entries());
        assert_eq!(revision.rev(), 10);
    }

    #[test]
    fn what_a_rule_changes_follows_the_changes_of_the_archive() {
        let mut revision = revision(&Rule);
        let all = all(&mut revision);
        let changes: Vec<Change> = all
            .iter()
            .filter_map(|entry| match entry {
                Entry::Change(change) => Some(change.clone().into_change()),
                _ => None,
            })
            .collect();
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.rev.0, change.key.id.as_str(), change.version, &*change.body))
            .collect();
        let expected =
            [(11, "a", 5, "{}"), (12, "new", 1, "{\"new\":1}"), (13, "old", 5, "{\"new\":1}")];
        assert_eq!(told, expected);
        assert_eq!(changes[0].op, ChangeOp::Delete);
        assert_eq!(revision.rev(), 13);
        let records: Vec<_> = all
            .iter()
            .filter_map(|entry| match entry {
                Entry::Record(line) => Some(line.clone().into_record()),
                _ => None,
            })
            .map(|record| (record.key.id, record.version, record.rev.0))
            .collect();
        let expected = [("kept", 4, 3), ("new", 1, 12), ("old", 5, 13)];
        assert_eq!(records, expected.map(|(id, version, rev)| (id.to_owned(), version, rev)));
        let claims =
            all.iter().filter(|entry| matches!(entry, Entry::Name { .. } | Entry::Due(_))).count();
        assert_eq!(claims, 2, "the name of a thing, and when the one that was kept is due");
        assert!(!all.contains(&secret()));
    }
}
