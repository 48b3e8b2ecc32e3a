//! The processes of one test, found by the test's directory in what they were started with.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Agent,
    /// A daemon or a server.
    Daemon,
    Holder,
    /// A client, or something a workspace started.
    Other,
}

/// A process that runs.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) role: Role,
    pub(crate) command: String,
}

impl Process {
    pub(crate) fn kill(&self) {
        signal(self.pid, Signal::KILL);
    }
}

/// Sends a signal; a process that is gone already is fine.
pub(crate) fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a pid is positive");
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("{pid:?} cannot be signalled: {error}"),
    }
}

/// Lists the processes that were started with, or are in, a directory; this one is not.
pub(crate) fn of(directory: &Path) -> Vec<Process> {
    let mark = directory.as_os_str().as_encoded_bytes();
    let own = i32::try_from(std::process::id()).expect("a pid");
    let entries = fs::read_dir("/proc").expect("processes can be listed").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own).filter_map(|pid| look(pid, mark)).collect()
}

/// Returns whether a process runs; a zombie does not.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Returns the node that a process was started for, by what it inherited.
pub(crate) fn node_of(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let node = variables.find_map(|variable| variable.strip_prefix(b"SAM_NODE_ID="))?;
    Some(String::from_utf8_lossy(node).into_owned())
}

fn look(pid: i32, mark: &[u8]) -> Option<Process> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (arguments, environment) = (read("cmdline"), read("environ"));
    // Neither is there once a process has let go of its memory: it is on its way out and runs no
    // more code.
    if arguments.is_empty() && environment.is_empty() {
        return None;
    }
    let inside = || {
        let place = fs::read_link(format!("/proc/{pid}/cwd"));
        place.is_ok_and(|place| contains(place.as_os_str().as_encoded_bytes(), mark))
    };
    if !contains(&arguments, mark) && !contains(&environment, mark) && !inside() {
        return None;
    }
    if !runs(pid) {
        return None;
    }
    let words: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
    let has = |word: &[u8]| words.contains(&word);
    let role = if has(b"daemon") && has(b"run") || words[0].ends_with(b"/sam-server") {
        Role::Daemon
    } else if has(b"holder") && has(b"--dir") {
        Role::Holder
    } else if has(b"agent") && has(b"--dir") {
        Role::Agent
    } else {
        Role::Other
    };
    let command = String::from_utf8_lossy(&arguments).replace('\0', " ");
    Some(Process { pid, role, command })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
