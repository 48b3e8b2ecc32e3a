//! Switching on: one holder at a time, and none before the last one's leftovers are gone.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::OFlags;
use sam_core::compute::MachineKey;
use sam_core::{Effect, Error, ErrorKind, Result};
use tokio::process::Child;
use tracing::info;

use super::cgroup::Cgroup;
use super::ending::END_WITHIN;
use super::processes::{self, MARKER};
use super::{Local, blocking, map, tree, wire};
use crate::deadline::Deadline;

/// Longest wait for a holder to say that it listens.
const START_WITHIN: Duration = Duration::from_secs(5);

/// Longest wait for somebody else who switches the same machine: as long as that can take.
pub(super) const SWITCH_WAIT: Duration =
    Duration::from_secs(END_WITHIN.as_secs() + START_WITHIN.as_secs() + 1);

/// Pause between two looks at a starting holder.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Most bytes of old output that a start keeps.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Most bytes of a failed start's output that its error shows.
const TAIL_BYTES_MAX: u64 = 2 * 1024;

impl Local {
    /// Starts the holder of a machine unless it runs.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while the machine is deleted, `Timeout`, `Unavailable`, …
    pub(super) async fn switch_on(&self, key: &MachineKey) -> Result<()> {
        let dir = self.existing(key)?;
        let _lock = self.switch_lock(key, &dir).await?;
        if processes::holder(&dir, key.as_str()).map_err(map::processes)?.is_some() {
            return Ok(());
        }
        if !self.end(key, &dir).await? {
            return Err(map::still_running(key));
        }
        let log_dir = dir.clone();
        let (log, from) =
            blocking(move || prepare(&log_dir).map_err(|error| map::file(&log_dir, error))).await?;
        let mut child = self.launch(key, &dir, &log)?;
        if let Some(pid) = child.id() {
            Cgroup::of(key.as_str()).admit(pid);
        }
        let outcome = self.listening(key, &dir, &mut child).await;
        // Whoever started it must take its exit status, or it stays as a zombie.
        drop(tokio::spawn(async move { child.wait().await }));
        match outcome {
            Ok(()) => {
                info!(node.id = %key, "the holder of a local machine was started");
                Ok(())
            }
            Err(error) => Err(with_tail(error, log, from)),
        }
    }

    fn launch(&self, key: &MachineKey, dir: &Path, log: &File) -> Result<Child> {
        let (program, arguments) = self.program()?;
        let spawn = || {
            let mut command = Command::new(program);
            command.args(arguments).arg("holder").arg("--dir").arg(dir).current_dir(dir);
            command.env_clear().envs(self.config.environment.iter().cloned());
            command.env(MARKER, key.as_str()).stdin(Stdio::null());
            command.stdout(log.try_clone()?).stderr(log.try_clone()?);
            tokio::process::Command::from(command).spawn()
        };
        spawn().map_err(|error| {
            let shown = Path::new(program).display();
            let message = format!("cannot start {shown}: {}", error.kind());
            Error::new(ErrorKind::Unavailable, message)
                .with_effect(Effect::Unknown)
                .with_hint(format!("check that {shown} exists and can be run by this user"))
                .with_source(error)
        })
    }

    /// Waits until `holder.json` names the child, or the child is gone.
    async fn listening(&self, key: &MachineKey, dir: &Path, child: &mut Child) -> Result<()> {
        let deadline = Deadline::after(START_WITHIN);
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let unavailable = |message: String| {
            Error::new(ErrorKind::Unavailable, message).with_effect(Effect::Unknown).with_hint(
                format!(
                    "read {} and switch the machine on again",
                    dir.join(wire::HOLDER_LOG).display()
                ),
            )
        };
        loop {
            let holder = processes::holder(dir, key.as_str()).map_err(map::processes)?;
            if holder.is_some_and(|holder| Some(holder.pid) == pid) {
                return Ok(());
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(unavailable(format!("the holder of {key} ended at once: {status}")));
            }
            if deadline.is_over() {
                let seconds = START_WITHIN.as_secs();
                return Err(unavailable(format!(
                    "the holder of {key} is not up after {seconds} s"
                )));
            }
            deadline.pause(LOOK_PAUSE).await;
        }
    }

    /// Takes the right to switch a machine.
    pub(super) async fn switch_lock(&self, key: &MachineKey, dir: &Path) -> Result<File> {
        let path = dir.join(wire::START_LOCK);
        let lock = tree::lock(&path, SWITCH_WAIT).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!("{key} is being switched by another process"),
            )
            .with_hint(format!("end the process that holds {}, then try again", path.display()))
        })?;
        // While this waited, the machine may have been deleted.
        if tree::is_current(&lock, &path) { Ok(lock) } else { Err(deleting(key)) }
    }

    /// Returns the directory of a machine that is there and stays.
    pub(super) fn existing(&self, key: &MachineKey) -> Result<std::path::PathBuf> {
        map::check_key(key.as_str())?;
        match self.tree.place(key.as_str())? {
            Some(place) if !place.deleting => Ok(place.dir),
            Some(_) => Err(deleting(key)),
            None => Err(Error::new(ErrorKind::NotFound, format!("there is no machine {key}"))
                .with_hint("list the machines to see which exist")),
        }
    }
}

pub(super) fn deleting(key: &MachineKey) -> Error {
    Error::new(ErrorKind::Conflict, format!("{key} is being deleted"))
        .with_hint("delete it again until it is gone, then create it anew")
}

/// Takes away what the last holder left and opens the log, bounded; returns where the new output
/// begins.
fn prepare(dir: &Path) -> io::Result<(File, u64)> {
    remove_stale(dir)?;
    let path = dir.join(wire::HOLDER_LOG);
    let mut log = tree::open(&path, OFlags::RDWR | OFlags::APPEND)?;
    let length = log.metadata()?.len();
    if length > LOG_BYTES_MAX {
        let mut kept = Vec::new();
        log.seek(SeekFrom::Start(length - LOG_BYTES_MAX))?;
        (&log).take(LOG_BYTES_MAX).read_to_end(&mut kept)?;
        log.set_len(0)?;
        log.write_all(&kept)?;
    }
    let from = log.metadata()?.len();
    Ok((log, from))
}

/// Removes what says who the holder is; it is dead.
pub(super) fn remove_stale(dir: &Path) -> io::Result<()> {
    for name in [wire::HOLDER, wire::HOLDER_SOCKET] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Shows the end of what the holder printed since `from`.
fn with_tail(error: Error, mut log: File, from: u64) -> Error {
    let mut read = || {
        let begin = log.metadata()?.len().saturating_sub(TAIL_BYTES_MAX).max(from);
        let mut bytes = Vec::new();
        log.seek(SeekFrom::Start(begin))?;
        (&log).take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let tail = read().unwrap_or_default();
    let tail = String::from_utf8_lossy(&tail);
    if tail.trim().is_empty() {
        return error;
    }
    let message = format!("{error}; it printed: {}", tail.trim());
    let hint = error.hint().unwrap_or_default().to_owned();
    Error::new(error.kind(), message).with_effect(error.effect()).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_cut_to_its_end_and_never_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(wire::HOLDER_LOG);
        let mut bytes = vec![b'a'; 1_000];
        bytes.resize(1_000 + 8 * 1024 * 1024, b'b');
        fs::write(&path, bytes).unwrap();
        let (mut log, from) = prepare(dir.path()).unwrap();
        assert_eq!(from, LOG_BYTES_MAX);
        log.write_all(b"new").unwrap();
        let kept = fs::read(&path).unwrap();
        assert!(kept.starts_with(b"bb") && kept.ends_with(b"bbnew"));

        let outside = dir.path().join("outside");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&outside, &path).unwrap();
        let error = prepare(dir.path()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
        assert!(!outside.exists());
    }
}
