//! The holder's children: started here, reaped here, and nowhere else.
//!
//! The holder is the reaper of everything its workspaces start, so it takes every status there is
//! with `wait(-1)`. Invariant: a process id in the table is a child that was not reaped, so its
//! id cannot mean another process. Starting and reaping hold the same lock, so that a child that
//! ends at once is known by then.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::sync::oneshot;

use sam_core::WorkspaceId;

use crate::wire::ExitStatus;

/// The children alive.
#[derive(Debug, Default)]
pub(super) struct Children(Mutex<BTreeMap<i32, Entry>>);

#[derive(Debug)]
struct Entry {
    owner: Option<WorkspaceId>,
    ended: oneshot::Sender<ExitStatus>,
}

/// A child that was started.
#[derive(Debug)]
pub(super) struct Started {
    /// The process, for its pipes; nobody waits on it.
    pub(super) child: Child,
    /// Its process id, which is also its group and session where it leads one.
    pub(super) pid: Pid,
    /// How it ended, once it has.
    pub(super) ended: oneshot::Receiver<ExitStatus>,
}

impl Children {
    /// Starts a command, for a workspace or for the holder itself.
    ///
    /// # Errors
    /// What the system says when the program cannot be started.
    pub(super) fn start(
        &self,
        command: &mut Command,
        owner: Option<WorkspaceId>,
    ) -> io::Result<Started> {
        let mut entries = self.lock();
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let (sender, ended) = oneshot::channel();
        entries.insert(pid.as_raw_nonzero().get(), Entry { owner, ended: sender });
        drop(entries);
        Ok(Started { child, pid, ended })
    }

    /// Takes the status of every child that ended, those adopted too.
    pub(super) fn reap(&self) {
        let mut entries = self.lock();
        // Bounded by the number of children that are dead now.
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(entry) = entries.remove(&pid.as_raw_nonzero().get()) {
                // Nobody may be interested any more.
                let _unheard = entry.ended.send(exit_status(status));
            }
        }
    }

    /// Sends a signal to the process group that a child leads; false when the child was reaped.
    pub(super) fn signal_group(&self, pid: Pid, signal: Signal) -> bool {
        let entries = self.lock();
        let alive = entries.contains_key(&pid.as_raw_nonzero().get());
        if alive {
            // Fails only when the group has just ended.
            let _gone = rustix::process::kill_process_group(pid, signal);
        }
        alive
    }

    /// Returns the children started for a workspace.
    pub(super) fn of(&self, workspace: WorkspaceId) -> Vec<i32> {
        let entries = self.lock();
        let of = |(pid, entry): (&i32, &Entry)| (entry.owner == Some(workspace)).then_some(*pid);
        entries.iter().filter_map(of).collect()
    }

    /// Returns the children that the holder started for itself: the agent.
    pub(super) fn own(&self) -> Vec<i32> {
        let entries = self.lock();
        entries.iter().filter_map(|(pid, entry)| entry.owner.is_none().then_some(*pid)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(byte(code)),
        (None, Some(signal)) => ExitStatus::Signal(byte(signal)),
        (None, None) => ExitStatus::Code(u8::MAX),
    }
}
