//! Finding and ending processes by what they are, not by a bare number.
//!
//! A process is its id *and* its start time. It belongs to a workspace when its first environment
//! names the workspace, when the holder started it for the workspace, or when it descends from
//! such a process. Signals go through a descriptor of the process whose start time was compared
//! after opening, so that a reused id is never hit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::deadline::sleep;

/// How long a process may take to end by itself after it was asked to.
pub(super) const END_GRACE: Duration = Duration::from_secs(2);
/// How long ending everything may take in all.
pub(super) const END_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks at the process table.
const LOOK_PAUSE: Duration = Duration::from_millis(25);
/// Most bytes read of a process's environment.
const ENVIRON_BYTES_MAX: u64 = 1024 * 1024;
/// Most bytes read of one `stat` file; the kernel writes a few hundred.
const STAT_BYTES_MAX: u64 = 4 * 1024;

/// One process, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// Its id.
    pub(super) pid: i32,
    /// When it started, in clock ticks since boot.
    pub(super) start_time: u64,
}

/// A process as the table shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Which one.
    pub(super) identity: Identity,
    /// Its parent's id.
    pub(super) parent: i32,
    /// Its session's id.
    pub(super) session: i32,
    dead: bool,
}

/// Everything that lives at one moment. Dead processes that nobody collected yet are left out.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<i32, Process>);

impl Table {
    /// Looks.
    pub(super) fn now() -> Self {
        let Ok(entries) = fs::read_dir("/proc") else { return Self::default() };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let alive = pids.filter_map(process).filter(|process| !process.dead);
        Self(alive.map(|process| (process.identity.pid, process)).collect())
    }

    /// Returns all processes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.values()
    }

    /// Returns whether this very process is alive.
    pub(super) fn has(&self, identity: Identity) -> bool {
        self.0.get(&identity.pid).is_some_and(|process| process.identity == identity)
    }

    /// Returns the identity behind an id.
    pub(super) fn identity(&self, pid: i32) -> Option<Identity> {
        self.0.get(&pid).map(|process| process.identity)
    }

    /// Returns the given processes and all that descend from them.
    pub(super) fn with_descendants(&self, roots: BTreeSet<i32>) -> BTreeSet<i32> {
        let mut members = roots;
        // Each round adds a generation; there are at most as many as processes.
        for _ in 0..=self.0.len() {
            let born = |process: &&Process| {
                members.contains(&process.parent) && !members.contains(&process.identity.pid)
            };
            let more: Vec<i32> = self.iter().filter(born).map(|one| one.identity.pid).collect();
            if more.is_empty() {
                break;
            }
            members.extend(more);
        }
        members
    }

    /// Returns the process and all its ancestors.
    pub(super) fn with_ancestors(&self, pid: i32) -> BTreeSet<i32> {
        let mut line = BTreeSet::new();
        let mut next = pid;
        while line.insert(next) {
            match self.0.get(&next) {
                Some(process) => next = process.parent,
                None => break,
            }
        }
        line
    }
}

/// Returns when a process started, `None` when there is none.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    process(pid).map(|process| process.identity.start_time)
}

/// Returns the values of some variables in the environment a process began with; `None` for each
/// that is not there or cannot be read.
pub(super) fn environ<const N: usize>(pid: i32, names: [&str; N]) -> [Option<String>; N] {
    let bytes = read(&format!("/proc/{pid}/environ"), ENVIRON_BYTES_MAX).unwrap_or_default();
    names.map(|name| {
        let value = |variable: &[u8]| {
            let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            String::from_utf8(value.to_vec()).ok()
        };
        bytes.split(|byte| *byte == 0).find_map(value)
    })
}

/// Ends all processes that `find` names, asking again until it names none: first politely, after
/// [`END_GRACE`] for good. `find` gets the table and those already known to belong.
///
/// # Errors
/// The ids of those left after [`END_LIMIT`].
pub(super) async fn end(
    find: impl Fn(&Table, &BTreeSet<Identity>) -> BTreeSet<i32> + Send + Sync,
) -> Result<(), Vec<i32>> {
    let began = Instant::now();
    let mut known = BTreeSet::new();
    let mut asked = BTreeSet::new();
    let mut quiet = false;
    loop {
        let members: BTreeSet<Identity> = {
            let table = Table::now();
            known.retain(|identity| table.has(*identity));
            find(&table, &known).into_iter().filter_map(|pid| table.identity(pid)).collect()
        };
        // A process born while the table was read may be missing from it: look twice.
        if members.is_empty() && quiet {
            return Ok(());
        }
        quiet = members.is_empty();
        let elapsed = began.elapsed();
        if elapsed > END_LIMIT && !members.is_empty() {
            return Err(members.into_iter().map(|identity| identity.pid).collect());
        }
        for identity in &members {
            if elapsed >= END_GRACE {
                signal(*identity, &[Signal::KILL]);
            } else if asked.insert(*identity) {
                // A stopped process hears nothing until it goes on.
                signal(*identity, &[Signal::HUP, Signal::TERM, Signal::CONT]);
            }
        }
        known.extend(members);
        sleep(LOOK_PAUSE).await;
    }
}

/// Sends signals to this very process; one that is gone is left alone.
fn signal(identity: Identity, signals: &[Signal]) {
    let Some(pid) = Pid::from_raw(identity.pid) else { return };
    let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return };
    if start_time(identity.pid) != Some(identity.start_time) {
        return;
    }
    for signal in signals {
        // It may end at any moment, or belong to another user: the next look tells.
        let _unreached = rustix::process::pidfd_send_signal(&handle, *signal);
    }
}

fn process(pid: i32) -> Option<Process> {
    parse_stat(&read(&format!("/proc/{pid}/stat"), STAT_BYTES_MAX)?)
}

/// Reads a `stat` line. The second field is the program's name in parentheses and may hold
/// anything, so fields are counted from the last closing one.
fn parse_stat(line: &[u8]) -> Option<Process> {
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let (head, rest) = line.split_at(close);
    let pid = std::str::from_utf8(head.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
    let fields: Vec<&str> = std::str::from_utf8(rest).ok()?.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 2)?.parse::<i32>().ok();
    Some(Process {
        identity: Identity { pid, start_time: fields.get(20)?.parse().ok()? },
        parent: number(4)?,
        session: number(6)?,
        dead: matches!(*fields.get(1)?, "Z" | "X" | "x"),
    })
}

fn read(path: &str, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_confuse_the_fields() {
        let line = b"42 (a) b (c)) S 7 8 9 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 1 0 12345 6 7\n";
        let process = parse_stat(line).unwrap();
        assert_eq!(process.identity, Identity { pid: 42, start_time: 12_345 });
        assert_eq!((process.parent, process.session, process.dead), (7, 9, false));
        assert_eq!(parse_stat(b"42 (a"), None);
        assert_eq!(parse_stat(b"42 (a) Z"), None);
    }

    #[test]
    fn this_process_is_in_the_table_with_its_ancestors() {
        let table = Table::now();
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = table.identity(pid).unwrap();
        assert_eq!(start_time(pid), Some(own.start_time));
        assert!(table.has(own));
        assert!(!table.has(Identity { start_time: own.start_time + 1, ..own }));
        assert!(table.with_ancestors(pid).len() > 1);
        let parent = *table.with_ancestors(pid).iter().find(|one| **one != pid).unwrap();
        assert!(table.with_descendants(table.with_ancestors(pid)).contains(&pid));
        assert_ne!(parent, pid);
    }
}
