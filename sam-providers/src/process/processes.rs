//! What runs on this computer, read from `/proc`, and signals that cannot hit a stranger.
//!
//! A process is (pid, start time); a pid alone is reused. A process belongs to a node when it
//! descends from the node's holder, carries the node's id in its environment, descends from one
//! that does, or is in the node's control group.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::wire::{self, HolderFile};

/// The variable that marks every process of a node.
pub(super) const MARKER: &str = "SAM_NODE_ID";

/// One process, now and never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) pid: i32,
    pub(super) start_time: u64,
}

/// What of a node runs.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The holder, alive.
    pub(super) holder: Option<Identity>,
    /// Everything else, alive.
    pub(super) others: Vec<Identity>,
}

/// Whose environment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Another node's.
    Foreign,
    /// No node's, as far as it can be read.
    None,
    /// This node's.
    Own,
}

#[derive(Debug, Clone, Copy)]
struct Stat {
    identity: Identity,
    parent: i32,
}

/// Returns the id of this boot: start times count from it.
///
/// # Errors
/// When `/proc` cannot be read; without it nothing can be said of any process.
pub(super) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

/// Returns the holder that `holder.json` in `dir` names, when it is alive and belongs to the node.
///
/// # Errors
/// When `/proc` or the file cannot be read; a file that makes no sense names nobody.
pub(super) fn holder(dir: &Path, key: &str) -> io::Result<Option<Identity>> {
    let file: HolderFile = match wire::read(&dir.join(wire::HOLDER)) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.boot_id != boot_id()? {
        return Ok(None);
    }
    let named = Identity { pid: file.pid, start_time: file.start_time };
    let alive = stat(file.pid).is_some_and(|stat| stat.identity == named);
    // Whoever can write the file could name any process; only one of this node is believed. An
    // environment that cannot be read decides nothing.
    let stranger = matches!(environment(file.pid), Ok(bytes) if mark(&bytes, key) != Mark::Own);
    Ok((alive && !stranger).then_some(named))
}

/// Finds everything of a node that is alive, except this process. `members` are the processes of
/// its control group.
///
/// # Errors
/// When `/proc` cannot be read.
pub(super) fn scan(dir: &Path, key: &str, members: &BTreeSet<i32>) -> io::Result<Found> {
    let holder = holder(dir, key)?;
    let table = table()?;
    let marks: BTreeMap<i32, Mark> = table
        .keys()
        .map(|&pid| (pid, environment(pid).map_or(Mark::None, |bytes| mark(&bytes, key))))
        .collect();
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for stat in table.values() {
        children.entry(stat.parent).or_default().push(stat.identity.pid);
    }
    let mut taken: BTreeSet<i32> = BTreeSet::new();
    // What a holder started is the node's whatever it calls itself; behind a mark alone, a mark
    // of another node ends the search.
    if let Some(holder) = holder {
        descend(holder.pid, &children, &mut taken, |_| true);
    }
    let marked = marks.iter().filter(|(_, mark)| **mark == Mark::Own).map(|(&pid, _)| pid);
    for root in marked.chain(members.iter().copied()) {
        descend(root, &children, &mut taken, |pid| marks.get(&pid) != Some(&Mark::Foreign));
    }
    let others = taken
        .into_iter()
        .filter(|&pid| holder.is_none_or(|holder| holder.pid != pid))
        .filter_map(|pid| table.get(&pid).map(|stat| stat.identity))
        .collect();
    Ok(Found { holder, others })
}

/// Takes a process and what descends from it, never this process nor what only it started.
fn descend(
    root: i32,
    children: &BTreeMap<i32, Vec<i32>>,
    taken: &mut BTreeSet<i32>,
    belongs: impl Fn(i32) -> bool,
) {
    let myself = own_pid();
    let mut stack = vec![root];
    while let Some(pid) = stack.pop() {
        if pid <= 1 || pid == myself || !belongs(pid) || !taken.insert(pid) {
            continue;
        }
        stack.extend(children.get(&pid).into_iter().flatten());
    }
}

/// Sends a signal to exactly this process; one that is gone needs none.
///
/// # Errors
/// When this user may not signal it.
pub(super) fn send(to: Identity, signal: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(to.pid) else { return Ok(()) };
    let outcome = pidfd_open(pid, PidfdFlags::empty()).and_then(|process| {
        // The descriptor pins whoever has the pid now; it is the one meant if the start time
        // still agrees after that.
        match stat(to.pid) {
            Some(stat) if stat.identity == to => pidfd_send_signal(process, signal),
            _ => Ok(()),
        }
    });
    match outcome {
        Err(Errno::SRCH) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// Returns everything that is alive.
fn table() -> io::Result<BTreeMap<i32, Stat>> {
    let mut table = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        if let Some(stat) = pid.and_then(stat) {
            table.insert(stat.identity.pid, stat);
        }
    }
    Ok(table)
}

/// Reads one process; `None` when it is gone, which includes zombies.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &String::from_utf8_lossy(&text))
}

fn parse_stat(pid: i32, text: &str) -> Option<Stat> {
    // The name in parentheses may itself hold spaces and parentheses, so the last one counts.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let state = *fields.first()?;
    let parent = fields.get(1)?.parse().ok()?;
    let threads: u32 = fields.get(17)?.parse().ok()?;
    let start_time = fields.get(19)?.parse().ok()?;
    // A process whose first thread ended looks like a zombie, but its other threads run.
    let gone = matches!(state, "Z" | "X" | "x") && threads <= 1;
    (!gone).then_some(Stat { identity: Identity { pid, start_time }, parent })
}

fn environment(pid: i32) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ"))
}

fn mark(environment: &[u8], key: &str) -> Mark {
    let prefix = [MARKER.as_bytes(), b"="].concat();
    let mut values =
        environment.split(|&byte| byte == 0).filter_map(|entry| entry.strip_prefix(&prefix[..]));
    match values.next() {
        Some(value) if value == key.as_bytes() => Mark::Own,
        Some(_) => Mark::Foreign,
        None => Mark::None,
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that ends with the test.
    struct Stranger(Child);

    impl Stranger {
        fn start(marker: Option<&str>) -> Self {
            let mut command = Command::new("sleep");
            command.arg("600").stdin(Stdio::null()).env_remove(MARKER);
            if let Some(marker) = marker {
                command.env(MARKER, marker);
            }
            Self(command.spawn().unwrap())
        }

        fn identity(&self) -> Identity {
            stat(i32::try_from(self.0.id()).unwrap()).unwrap().identity
        }
    }

    impl Drop for Stranger {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn forge(dir: &Path, boot_id: &str, named: Identity) {
        let file = HolderFile {
            boot_id: boot_id.to_owned(),
            pid: named.pid,
            start_time: named.start_time,
        };
        let path = dir.join(wire::HOLDER);
        let _absent = fs::remove_file(&path);
        wire::write_new(&path, &file).unwrap();
    }

    #[test]
    fn names_with_parentheses_do_not_confuse_the_reader() {
        let line = "7 (a) R 1) S 3 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let stat = parse_stat(7, line).unwrap();
        assert_eq!((stat.parent, stat.identity.start_time), (3, 4_711));
        assert!(parse_stat(7, &line.replace(") S", ") Z")).is_none());
        assert!(parse_stat(7, "7 (a").is_none());
    }

    #[test]
    fn a_forged_or_outdated_holder_file_names_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (Stranger::start(Some("nd-a")), Stranger::start(None));
        let boot = boot_id().unwrap();
        forge(dir.path(), &boot, own.identity());
        assert_eq!(holder(dir.path(), "nd-a").unwrap(), Some(own.identity()));
        // Another boot, another start time, another node, no node at all.
        forge(dir.path(), "another boot", own.identity());
        assert_eq!(holder(dir.path(), "nd-a").unwrap(), None);
        let later = Identity { start_time: own.identity().start_time + 1, ..own.identity() };
        forge(dir.path(), &boot, later);
        assert_eq!(holder(dir.path(), "nd-a").unwrap(), None);
        forge(dir.path(), &boot, own.identity());
        assert_eq!(holder(dir.path(), "nd-b").unwrap(), None);
        forge(dir.path(), &boot, other.identity());
        assert_eq!(holder(dir.path(), "nd-a").unwrap(), None);
    }

    #[test]
    fn a_reused_pid_is_not_signalled() {
        let mut stranger = Stranger::start(None);
        let earlier =
            Identity { start_time: stranger.identity().start_time - 1, ..stranger.identity() };
        send(earlier, Signal::KILL).unwrap();
        assert!(stranger.0.try_wait().unwrap().is_none());
        send(stranger.identity(), Signal::KILL).unwrap();
        assert!(!stranger.0.wait().unwrap().success());
    }

    #[test]
    fn only_the_mark_of_the_same_node_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let key = format!("nd-scan-{}", own_pid());
        let (own, other) = (Stranger::start(Some(&key)), Stranger::start(Some("nd-other")));
        let found = scan(dir.path(), &key, &BTreeSet::new()).unwrap();
        assert_eq!(found.holder, None);
        assert_eq!(found.others, [own.identity()]);
        assert_ne!(own.identity(), other.identity());
    }
}
