//! Switching off and deleting: every process of the node ends, whatever it did to get away.
//!
//! First everything is stopped, over and over until nothing new appears, so that nothing can fork
//! between a look and a kill; the holder stays, stopped, as the one to whom orphans fall. Then all
//! but the holder are killed, then the holder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use sam_core::Result;
use sam_core::compute::{Deletion, MachineKey};
use tracing::{debug, info, warn};

use super::cgroup::Cgroup;
use super::processes::{self, Identity};
use super::start::{self, SWITCH_WAIT};
use super::{Local, blocking, map, tree, wire};
use crate::deadline::Deadline;

/// Longest wait for the processes of a node to end.
pub(super) const END_WITHIN: Duration = Duration::from_secs(10);

/// Pause between two looks at processes that were killed.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Most rounds in which new processes are only stopped; after them everything is killed at once.
const STOP_ROUNDS_MAX: u32 = 64;

/// How one round went.
enum Round {
    /// Something was killed and is looked at again.
    Killed,
    /// Nothing is left.
    Quiet,
    /// Something new was stopped.
    Stopped,
}

impl Local {
    /// Ends every process of a node; `false` when some are left after [`END_WITHIN`].
    pub(super) async fn end(&self, key: &MachineKey, dir: &Path) -> Result<bool> {
        let deadline = Deadline::after(END_WITHIN);
        let mut stopped = BTreeSet::new();
        let mut rounds = 0_u32;
        loop {
            let (dir, key) = (dir.to_owned(), key.clone());
            let patient = rounds < STOP_ROUNDS_MAX;
            let round;
            (round, stopped) = blocking(move || {
                let round = end_round(&dir, key.as_str(), patient, &mut stopped);
                Ok((round.map_err(map::processes)?, stopped))
            })
            .await?;
            match round {
                Round::Quiet => return Ok(true),
                _ if deadline.is_over() => return Ok(false),
                Round::Killed => deadline.pause(LOOK_PAUSE).await,
                Round::Stopped => {}
            }
            rounds = rounds.saturating_add(1);
        }
    }

    /// Ends every process of a machine and keeps its directory.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while the machine is deleted, `Timeout`, `Unavailable`, …
    pub(super) async fn switch_off(&self, key: &MachineKey) -> Result<()> {
        let dir = self.existing(key)?;
        let _lock = self.switch_lock(key, &dir).await?;
        if !self.end(key, &dir).await? {
            return Err(map::still_running(key));
        }
        info!(node.id = %key, "a local machine was switched off");
        start::remove_stale(&dir).map_err(|error| map::file(&dir, error))
    }

    /// Deletes a machine, or goes on where a deletion ended too early. The absent has nothing but
    /// perhaps processes.
    ///
    /// # Errors
    /// `Denied`, `Unavailable`, …
    pub(super) async fn delete(&self, key: &MachineKey) -> Result<Deletion> {
        map::check_key(key.as_str())?;
        let dir = self.tree.directory(key.as_str());
        let mut _lock = None;
        if tree::is_directory(&dir)? {
            // A start that is under way ends first. One that does not is overtaken: it fails once
            // the directory has another name.
            _lock = waited(&dir).await;
            if tree::is_directory(&self.tree.deleting(key.as_str()))?
                && self.finish(key).await? == Deletion::InProgress
            {
                return Ok(Deletion::InProgress);
            }
            let _names = self.tree.lock().await?;
            self.tree.mark_deleting(key.as_str())?;
        } else if tree::is_directory(&self.tree.deleting(key.as_str()))? {
            _lock = waited(&self.tree.deleting(key.as_str())).await;
        }
        self.finish(key).await
    }

    /// Goes on with a deletion that nobody is at. One that cannot go on stays listed.
    pub(super) async fn resume(&self, key: &MachineKey) {
        let dir = self.tree.deleting(key.as_str());
        let lock = tree::lock(&dir.join(wire::START_LOCK), Duration::ZERO).await;
        if matches!(lock, Ok(None)) || !dir.is_dir() {
            return;
        }
        match self.finish(key).await {
            Ok(deletion) => debug!(node.id = %key, ?deletion, "a broken-off deletion went on"),
            Err(error) => warn!(node.id = %key, %error, "a broken-off deletion cannot go on"),
        }
        drop(lock);
    }

    async fn finish(&self, key: &MachineKey) -> Result<Deletion> {
        if !self.end(key, &self.tree.deleting(key.as_str())).await? {
            return Ok(Deletion::InProgress);
        }
        // What was ended may have made the old directory anew in its last moments.
        if tree::is_directory(&self.tree.directory(key.as_str()))? {
            let (names, tree, text) = (self.tree.lock().await?, self.tree.clone(), key.to_string());
            blocking(move || {
                let removed = tree.remove_remade(&text);
                drop(names);
                removed
            })
            .await?;
        }
        let (tree, text) = (self.tree.clone(), key.to_string());
        blocking(move || tree.remove_deleting(&text)).await?;
        Ok(Deletion::Gone)
    }
}

async fn waited(dir: &Path) -> Option<File> {
    tree::lock(&dir.join(wire::START_LOCK), SWITCH_WAIT).await.ok().flatten()
}

/// Looks once and does the next thing towards an end.
fn end_round(
    dir: &Path,
    key: &str,
    patient: bool,
    stopped: &mut BTreeSet<Identity>,
) -> io::Result<Round> {
    let cgroup = Cgroup::of(key);
    let found = processes::scan(dir, key, &cgroup.members())?;
    let all = found.holder.iter().chain(&found.others);
    let fresh: Vec<Identity> = all.copied().filter(|one| stopped.insert(*one)).collect();
    if patient && !fresh.is_empty() {
        for one in fresh {
            send(one, Signal::STOP);
        }
        return Ok(Round::Stopped);
    }
    if !found.others.is_empty() {
        for one in found.others {
            send(one, Signal::KILL);
        }
        if !patient {
            cgroup.kill();
        }
        return Ok(Round::Killed);
    }
    if let Some(holder) = found.holder {
        send(holder, Signal::KILL);
        return Ok(Round::Killed);
    }
    cgroup.kill();
    Ok(if cgroup.remove() { Round::Quiet } else { Round::Killed })
}

fn send(to: Identity, signal: Signal) {
    if let Err(error) = processes::send(to, signal) {
        // It is counted as running until the deadline, so the caller hears of it.
        debug!(pid = to.pid, %error, "a process of a local machine cannot be signalled");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_found_is_stopped_before_anything_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let key = format!("nd-ending-{}", std::process::id());
        let mut child =
            Command::new("sleep").arg("600").env(processes::MARKER, &key).spawn().unwrap();
        let mut stopped = BTreeSet::new();
        let round = end_round(dir.path(), &key, true, &mut stopped).unwrap();
        let first = matches!(round, Round::Stopped);
        let pending = child.try_wait().unwrap();
        let second = end_round(dir.path(), &key, true, &mut stopped).unwrap();
        let status = child.wait().unwrap();
        assert!(first && pending.is_none() && stopped.len() == 1);
        assert!(matches!(second, Round::Killed) && !status.success());
        let third = end_round(dir.path(), &key, true, &mut stopped).unwrap();
        assert!(matches!(third, Round::Quiet));
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    }
}
