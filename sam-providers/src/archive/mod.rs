//! A whole store in one portable file, the same for every store: back up one, restore it in another.
//!
//! Lines of JSON: a header, then every record, name, due time, change, remembered commit and sealed
//! secret as of one moment, then an end that counts the lines and holds their SHA-256. A file that was
//! cut or changed is found out before anything of it takes effect. The keys of secrets are not in it. Leases are not in it: what was leased is due.
//! Due times are told as spans from the moment of the backup, so that a restore neither skips nor
//! repeats the time between.

mod revision;
mod secret;

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use sam_core::store::{
    Actor, Change, ChangeOp, Commit, DueRow, Index, Kind, Record, RecordKey, Rev,
};
use sam_core::time::Timestamp;
use sam_core::{CommitId, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use self::revision::Revision;
pub(crate) use self::secret::SecretLine;

/// What the file is, as its first line says.
const MARK: &str = "sam-store-archive";
/// The newest form of the file that this program reads, and the one it writes. The first had no
/// secrets, and is otherwise the same.
const VERSION: u32 = 2;
/// Longest line, in bytes: the largest body with every character escaped, and room for the rest.
pub(crate) const LINE_BYTES_MAX: usize = 6 * Record::BODY_BYTES_MAX + 64 * 1024;
/// So many entries are read or written at once.
#[cfg(feature = "postgres")]
pub(crate) const CHUNK: usize = 100;
const _: () = assert!(Commit::BODY_BYTES_MAX >= Record::BODY_BYTES_MAX, "one body is one line");

/// What was backed up or restored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveSummary {
    /// The installation that the archive says it is of.
    pub installation: Option<String>,
    /// The epoch of the feed when it was backed up.
    pub epoch: String,
    /// The end of the feed when it was backed up.
    pub rev: Rev,
    /// When it was backed up, by the store's clock.
    pub at: Timestamp,
    /// Records in it.
    pub records: u64,
    /// Changes of the feed in it.
    pub changes: u64,
    /// Sealed secrets in it.
    pub secrets: u64,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    mark: String,
    version: u32,
    pub(crate) installation: Option<String>,
    pub(crate) epoch: String,
    pub(crate) rev: u64,
    pub(crate) floor: u64,
    /// The last fencing epoch given out.
    pub(crate) fence: u64,
    /// The store's time at the moment of the backup.
    pub(crate) at: Timestamp,
}

/// Any other line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    Change(ChangeLine),
    Due(DueLine),
    End { lines: u64, sha256: String },
    Name { space: String, name: String, kind: String, id: String },
    Quiet { commit: CommitId, rev: u64, at: Timestamp },
    Record(RecordLine),
    Secret(SecretLine),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordLine {
    kind: String,
    id: String,
    version: u64,
    rev: u64,
    index: Index,
    body: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DueLine {
    kind: String,
    id: String,
    /// Negative for what was overdue.
    in_micros: i64,
    pending_in_micros: Option<i64>,
    epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeLine {
    rev: u64,
    commit: CommitId,
    at: Timestamp,
    actor: String,
    request_id: Option<String>,
    kind: String,
    id: String,
    version: u64,
    delete: bool,
    event: String,
    body: String,
}

fn key(kind: String, id: &str) -> RecordKey {
    RecordKey::new(Kind::from_stored(kind), id)
}

impl Header {
    /// Describes a store at one moment.
    pub(crate) fn new(installation: Option<String>, epoch: String, at: Timestamp) -> Self {
        let mark = MARK.to_owned();
        Self { mark, version: VERSION, installation, epoch, rev: 0, floor: 0, fence: 0, at }
    }
}

impl RecordLine {
    pub(crate) fn new(record: &Record) -> Self {
        Self {
            kind: record.key.kind.as_str().to_owned(),
            id: record.key.id.clone(),
            version: record.version,
            rev: record.rev.0,
            index: record.index.clone(),
            body: record.body.to_string(),
        }
    }

    pub(crate) fn into_record(self) -> Record {
        let key = key(self.kind, &self.id);
        Record::new(key, self.version, Rev(self.rev), self.index, self.body.into())
    }
}

impl DueLine {
    /// Tells a due time as a span from `now`; one that was leased is due.
    pub(crate) fn new(key: &RecordKey, row: &DueRow, now: Timestamp) -> Self {
        let span = |at: Timestamp| at.as_micros().saturating_sub(now.as_micros());
        let at = if row.owner.is_some() { row.at.min(now) } else { row.at };
        Self {
            kind: key.kind.as_str().to_owned(),
            id: key.id.clone(),
            in_micros: span(at),
            pending_in_micros: row.pending.map(span),
            epoch: row.epoch,
        }
    }

    pub(crate) fn into_row(self, now: Timestamp) -> (RecordKey, DueRow) {
        let at = |span: i64| Timestamp::from_micros(now.as_micros().saturating_add(span));
        let row = DueRow::new(at(self.in_micros), self.pending_in_micros.map(at), None, self.epoch);
        (key(self.kind, &self.id), row)
    }
}

impl ChangeLine {
    pub(crate) fn new(change: &Change) -> Self {
        Self {
            rev: change.rev.0,
            commit: change.commit_id,
            at: change.at,
            actor: change.actor.as_str().to_owned(),
            request_id: change.request_id.clone(),
            kind: change.key.kind.as_str().to_owned(),
            id: change.key.id.clone(),
            version: change.version,
            delete: change.op == ChangeOp::Delete,
            event: change.event.clone(),
            body: change.body.to_string(),
        }
    }

    pub(crate) fn into_change(self) -> Change {
        let key = key(self.kind, &self.id);
        let mut change = Change::new(Rev(self.rev), self.commit, self.at, key);
        change.actor = Actor::named(self.actor);
        change.request_id = self.request_id;
        change.version = self.version;
        change.op = if self.delete { ChangeOp::Delete } else { ChangeOp::Put };
        change.event = self.event;
        change.body = self.body.into();
        change
    }
}

impl ArchiveSummary {
    /// Reads an archive to its end and tells what it holds. Blocks for as long as the file takes.
    ///
    /// # Errors
    /// `Corrupt` when it was cut or changed, or is none; `Conflict` when a newer program wrote it;
    /// `NotFound`, `Denied` or `Unavailable` when it cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut lines = Lines::open(path)?;
        let mut decoder = Decoder::new(lines.next()?)?;
        while decoder.entry(lines.next()?)?.is_some() {}
        Ok(decoder.summary())
    }
}

/// The lines of a file, none longer than a bound.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    file: BufReader<File>,
    path: &'a Path,
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// Opens an archive.
    ///
    /// # Errors
    /// `NotFound`, `Denied` or `Unavailable`.
    pub(crate) fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| file_error("import", path, error))?;
        Ok(Self { file: BufReader::new(file), path, line: Vec::new() })
    }

    /// Reads the next line; one that is cut has no end.
    ///
    /// # Errors
    /// As [`Lines::open`].
    pub(crate) fn next(&mut self) -> Result<&[u8]> {
        self.line.clear();
        let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        (&mut self.file)
            .take(most)
            .read_until(b'\n', &mut self.line)
            .map_err(|error| file_error("import", self.path, error))?;
        Ok(&self.line)
    }
}

/// Counts and hashes lines on their way in or out.
#[derive(Debug, Default)]
struct Tally {
    lines: u64,
    sum: Sha256,
    records: u64,
    changes: u64,
    secrets: u64,
}

impl Tally {
    fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        self.sum.update(line);
    }

    fn sum(&self) -> String {
        let digest = self.sum.clone().finalize();
        digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a text cannot fail.
            write!(text, "{byte:02x}").ok();
            text
        })
    }

    fn count(&mut self, entry: &Entry) {
        self.records += u64::from(matches!(entry, Entry::Record(_)));
        self.changes += u64::from(matches!(entry, Entry::Change(_)));
        self.secrets += u64::from(matches!(entry, Entry::Secret(_)));
    }

    fn summary(&self, header: Header) -> ArchiveSummary {
        ArchiveSummary {
            installation: header.installation,
            epoch: header.epoch,
            rev: Rev(header.rev),
            at: header.at,
            records: self.records,
            changes: self.changes,
            secrets: self.secrets,
        }
    }
}

/// Makes the lines of an archive.
#[derive(Debug)]
pub(crate) struct Encoder {
    header: Header,
    tally: Tally,
}

fn line_of(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value).map_err(|error| {
        Error::new(ErrorKind::Bug, "an entry of an archive cannot be written").with_source(error)
    })?;
    line.push(b'\n');
    Ok(line)
}

impl Encoder {
    /// Begins with the header's line.
    pub(crate) fn new(header: Header) -> Result<(Self, Vec<u8>)> {
        let line = line_of(&header)?;
        let mut tally = Tally::default();
        tally.add(&line);
        Ok((Self { header, tally }, line))
    }

    /// Makes the line of an entry.
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<Vec<u8>> {
        let line = line_of(entry)?;
        self.tally.add(&line);
        self.tally.count(entry);
        Ok(line)
    }

    /// Makes the last line.
    pub(crate) fn end(self) -> Result<(ArchiveSummary, Vec<u8>)> {
        let line = line_of(&Entry::End { lines: self.tally.lines, sha256: self.tally.sum() })?;
        Ok((self.tally.summary(self.header), line))
    }
}

/// Reads the lines of an archive.
#[derive(Debug)]
pub(crate) struct Decoder {
    header: Header,
    tally: Tally,
    last: u64,
}

fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message)
        .with_operation("import")
        .with_hint("take another backup; nothing of this one was restored")
}

impl Decoder {
    /// Reads the header.
    ///
    /// # Errors
    /// `Corrupt` when it is not an archive; `Conflict` when a newer program wrote it.
    pub(crate) fn new(line: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            mark: String,
            version: u32,
        }
        let form: Option<Form> = serde_json::from_slice(line).ok();
        let form = form.filter(|form| form.mark == MARK);
        let form = form.ok_or_else(|| corrupt("the file is not an archive of a store"))?;
        if form.version > VERSION {
            let found = form.version;
            let message = format!("the archive has form {found}, this program knows {VERSION}");
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_operation("import")
                .with_hint("restore it with the newer program that wrote it"));
        }
        let header: Header = serde_json::from_slice(line)
            .map_err(|error| corrupt("the archive's header cannot be read").with_source(error))?;
        let mut tally = Tally::default();
        tally.add(line);
        let last = header.floor;
        Ok(Self { header, tally, last })
    }

    /// Returns the header.
    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next line; `None` is the end, and everything before it was right.
    ///
    /// # Errors
    /// `Corrupt` when the file was cut or changed.
    pub(crate) fn entry(&mut self, line: &[u8]) -> Result<Option<Entry>> {
        if !line.ends_with(b"\n") {
            return Err(corrupt("the archive is cut off"));
        }
        let entry: Entry = serde_json::from_slice(line)
            .map_err(|error| corrupt("a line of the archive cannot be read").with_source(error))?;
        if let Entry::End { lines, sha256 } = &entry {
            if *lines != self.tally.lines || *sha256 != self.tally.sum() {
                return Err(corrupt("the archive was changed after it was written"));
            }
            if self.last != self.header.rev {
                return Err(corrupt("changes are missing from the archive"));
            }
            return Ok(None);
        }
        if let Entry::Change(change) = &entry {
            if change.rev != self.last + 1 {
                return Err(corrupt("changes are missing from the archive"));
            }
            self.last = change.rev;
        }
        self.tally.add(line);
        self.tally.count(&entry);
        Ok(Some(entry))
    }

    /// Tells what was read.
    pub(crate) fn summary(self) -> ArchiveSummary {
        self.tally.summary(self.header)
    }
}

/// Explains why the file cannot be written or read.
pub(crate) fn file_error(operation: &'static str, path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let (kind, message) = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            (ErrorKind::AlreadyExists, format!("{shown} exists already"))
        }
        io::ErrorKind::NotFound => (ErrorKind::NotFound, format!("{shown} is not there")),
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::Denied, format!("{shown} is not accessible"))
        }
        _ => (ErrorKind::Unavailable, format!("{shown} cannot be written or read")),
    };
    Error::new(kind, message)
        .with_operation(operation)
        .with_hint("check the path, its directory and the space on its disk")
        .with_source(error)
}

/// Creates the file of an archive, which must not exist and which only its owner may read.
pub(crate) fn create(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| file_error("export", path, error))
}

/// Refuses a store that is not empty.
pub(crate) fn not_empty() -> Error {
    Error::new(ErrorKind::Conflict, "the store to restore into is not empty")
        .with_operation("import")
        .with_hint("restore into a new store; this one was left as it is")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sam_core::keys::Sealed;

    use super::*;

    fn secret() -> SecretLine {
        let bytes = [&[1, 2, b'k', b'1'][..], &(0..=40).collect::<Vec<u8>>()].concat();
        let sealed = Sealed::from_bytes(bytes).unwrap();
        SecretLine::new("credential/\"1\"".parse().unwrap(), sealed, Duration::from_secs(7))
    }

    fn archive() -> Vec<Vec<u8>> {
        let mut header = Header::new(Some("in-1".to_owned()), "e".to_owned(), Timestamp::EPOCH);
        header.rev = 2;
        let (mut encoder, line) = Encoder::new(header).unwrap();
        let mut lines = vec![line];
        for rev in 1..=2 {
            let key = RecordKey::new(Kind::new("thing"), "a\n\"b");
            let mut change =
                Change::new(Rev(rev), CommitId::from_bits(7), Timestamp::EPOCH, key.clone());
            change.body = "{ \"z\":1,  \"a\":\u{1F600}2}".into();
            lines.push(encoder.entry(&Entry::Change(ChangeLine::new(&change))).unwrap());
        }
        lines.push(encoder.entry(&Entry::Secret(secret())).unwrap());
        lines.push(encoder.end().unwrap().1);
        lines
    }

    fn read(lines: &[Vec<u8>]) -> Result<ArchiveSummary> {
        let mut decoder = Decoder::new(lines.first().map_or(&[][..], Vec::as_slice))?;
        for line in &lines[1..] {
            if decoder.entry(line)?.is_none() {
                return Ok(decoder.summary());
            }
        }
        Err(corrupt("no end"))
    }

    #[test]
    fn what_was_written_is_read_to_the_byte() {
        let lines = archive();
        let summary = read(&lines).unwrap();
        assert_eq!((summary.rev, summary.changes, summary.records), (Rev(2), 2, 0));
        assert_eq!(summary.secrets, 1);
        let mut decoder = Decoder::new(&lines[0]).unwrap();
        let Some(Entry::Change(change)) = decoder.entry(&lines[1]).unwrap() else { panic!() };
        let change = change.into_change();
        assert_eq!(&*change.body, "{ \"z\":1,  \"a\":\u{1F600}2}");
        assert_eq!(change.key.id, "a\n\"b");
        decoder.entry(&lines[2]).unwrap();
        assert_eq!(decoder.entry(&lines[3]).unwrap(), Some(Entry::Secret(secret())));
    }

    #[test]
    fn an_archive_that_was_cut_or_changed_anywhere_is_found_out() {
        let lines = archive();
        for gone in 0..lines.len() {
            let mut cut = lines.clone();
            cut.remove(gone);
            let error = read(&cut).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "without line {gone}");
        }
        for line in 0..lines.len() {
            for byte in 0..lines[line].len() {
                let mut changed = lines.clone();
                changed[line][byte] ^= 1;
                assert!(read(&changed).is_err(), "line {line}, byte {byte}");
            }
            let mut short = lines.clone();
            short[line].pop();
            assert!(read(&short).is_err(), "line {line} without its end");
        }
    }

    #[test]
    fn the_time_a_secret_was_kept_before_the_backup_still_counts() {
        let (name, sealed, put_at) = secret().into_parts(Timestamp::from_micros(9_000_000));
        assert_eq!((name.as_str(), sealed.key_id().as_str()), ("credential/\"1\"", "k1"));
        assert_eq!(put_at, Timestamp::from_micros(2_000_000));
    }

    #[test]
    fn what_is_no_sealed_secret_is_corrupt() {
        for (name, sealed) in [("a", "AQ=="), ("a b", "AQFrAAAA"), ("a", "???"), ("", "")] {
            let line = format!(
                "{{\"secret\":{{\"name\":\"{name}\",\"sealed\":\"{sealed}\",\"kept_micros\":1}}}}\n"
            );
            let mut decoder = Decoder::new(&archive()[0]).unwrap();
            let error = decoder.entry(line.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{line}");
        }
    }

    #[test]
    fn a_newer_form_is_refused() {
        let header = br#"{"mark":"sam-store-archive","version":3,"other":1}"#;
        assert_eq!(Decoder::new(header).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn due_times_keep_their_distance_and_leases_end() {
        let key = RecordKey::new(Kind::new("thing"), "a");
        let at = Timestamp::from_micros;
        let (then, later) = (at(1_000), at(50_000));
        let free = DueRow::new(at(1_500), None, None, 3);
        let (_, row) = DueLine::new(&key, &free, then).into_row(later);
        assert_eq!(row, DueRow::new(at(50_500), None, None, 3));
        let owner = Some(sam_core::store::WorkerId::new("w"));
        let leased = DueRow::new(at(9_000), Some(at(20_000)), owner, 4);
        let (_, row) = DueLine::new(&key, &leased, then).into_row(later);
        assert_eq!(row, DueRow::new(later, Some(at(69_000)), None, 4));
    }
}
