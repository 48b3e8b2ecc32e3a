//! The directories: which exist, how one comes into being whole, and how one goes without
//! anything outside of it being touched.
//!
//! `<key>` is a machine, `.creating-<key>` one that never came to be, `.deleting-<key>` one that
//! is on its way out and still counts as owned. Names change only under the root's lock, so a
//! listing under the same lock sees each machine exactly once.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use sam_core::compute::CreateMachine;
use sam_core::time::{Clock as _, Timestamp};
use sam_core::{Error, ErrorKind, NodeId, Result};
use tracing::warn;

use super::map;
use super::wire::{self, BootFile, MachineFile};
use crate::deadline::Deadline;
use crate::system::SystemClock;

const CREATING: &str = ".creating-";
const DELETING: &str = ".deleting-";
const ROOT_LOCK: &str = ".lock";

/// Longest wait for the root's lock, which is held only while names change.
const ROOT_LOCK_WAIT: Duration = Duration::from_secs(10);

/// Pause between two looks at a lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Most passes over a directory that does not go at once.
const REMOVE_PASSES: usize = 3;

/// The directory of all machines.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: PathBuf,
}

/// Where a machine is now.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) deleting: bool,
}

impl Tree {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the machine of a key lives.
    pub(super) fn directory(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Where it lies while it is deleted.
    pub(super) fn deleting(&self, key: &str) -> PathBuf {
        self.root.join(format!("{DELETING}{key}"))
    }

    /// Finds the machine of a key; `None` only when there is no directory of it.
    pub(super) fn place(&self, key: &str) -> Result<Option<Place>> {
        // A deletion renames from the first to the second, so looking in this order cannot miss.
        for (dir, deleting) in [(self.directory(key), false), (self.deleting(key), true)] {
            if is_directory(&dir)? {
                return Ok(Some(Place { dir, deleting }));
            }
        }
        Ok(None)
    }

    /// Returns whether any machine was ever made here.
    pub(super) fn exists(&self) -> Result<bool> {
        is_directory(&self.root)
    }

    /// Takes the right to change names, making the root when it is absent.
    pub(super) async fn lock(&self) -> Result<File> {
        if !self.root.is_absolute() {
            let shown = self.root.display();
            return Err(Error::new(ErrorKind::BadInput, format!("{shown} is not absolute"))
                .with_hint("configure the directory of local machines as an absolute path"));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|error| map::file(&self.root, error))?;
        lock(&self.root.join(ROOT_LOCK), ROOT_LOCK_WAIT).await?.ok_or_else(|| {
            let shown = self.root.display();
            Error::new(ErrorKind::Unavailable, format!("{shown} is locked by another process"))
                .with_hint("end the process that holds its .lock file, then try again")
        })
    }

    /// Makes the directory of a machine, or leaves the one that exists as it is. The caller holds
    /// the root's lock.
    pub(super) fn make(&self, request: &CreateMachine) -> Result<()> {
        let fail = |error| map::file(&self.root, error);
        self.sweep();
        let key = request.key.as_str();
        let dir = self.directory(key);
        if is_directory(&dir)? {
            return Ok(());
        }
        let created_at: Timestamp = SystemClock::new().now();
        let machine =
            MachineFile::new(request.key.clone(), request.labels.clone(), request.size, created_at);
        let staging = self.root.join(format!("{CREATING}{key}"));
        let stage = || {
            DirBuilder::new().mode(0o700).create(&staging)?;
            wire::write_new(&staging.join(wire::MACHINE), &machine)?;
            wire::write_new(&staging.join(wire::BOOT), &BootFile::new(&request.boot))?;
            sync(&staging)?;
            fs::rename(&staging, &dir)?;
            sync(&self.root)
        };
        stage().map_err(|error| {
            // The staged files hold a token, and the disk may be full.
            discard(&staging);
            fail(error)
        })
    }

    /// Removes what crashed creations left. The caller holds the root's lock, so none is alive.
    pub(super) fn sweep(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(CREATING.as_bytes()) {
                discard(&entry.path());
            }
        }
    }

    /// Gives a machine the name that says it is deleted. The caller holds the root's lock.
    pub(super) fn mark_deleting(&self, key: &str) -> Result<()> {
        let dir = self.directory(key);
        match fs::rename(&dir, self.deleting(key)).and_then(|()| sync(&self.root)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(map::file(&dir, error)),
            _ => Ok(()),
        }
    }

    /// Removes a directory that has the name of a machine and never was one: a machine appears whole,
    /// with the file that says whose it is. The caller holds the root's lock.
    pub(super) fn remove_remade(&self, key: &str) -> Result<()> {
        let dir = self.directory(key);
        if !is_directory(&dir)? || dir.join(wire::MACHINE).exists() {
            return Ok(());
        }
        remove(&dir).and_then(|()| sync(&self.root)).map_err(|error| map::file(&dir, error))
    }

    /// Removes a machine that is deleted, and makes that last.
    pub(super) fn remove_deleting(&self, key: &str) -> Result<()> {
        let dir = self.deleting(key);
        if !is_directory(&dir)? {
            return Ok(());
        }
        remove(&dir).and_then(|()| sync(&self.root)).map_err(|error| map::file(&dir, error))
    }

    /// Returns the keys of all machines in order. The caller holds the root's lock.
    pub(super) fn keys(&self) -> Result<Vec<String>> {
        let list = || {
            let mut keys = Vec::new();
            for entry in fs::read_dir(&self.root)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let key = name.strip_prefix(DELETING).unwrap_or(name);
                // Another directory that somebody put here is no machine; one with the name of a
                // node is, however damaged.
                let ours =
                    || key.parse::<NodeId>().is_ok() || entry.path().join(wire::MACHINE).exists();
                if map::is_label(key) && entry.file_type()?.is_dir() && ours() {
                    keys.push(key.to_owned());
                }
            }
            keys.sort_unstable();
            keys.dedup();
            Ok(keys)
        };
        list().map_err(|error| map::file(&self.root, error))
    }
}

/// Returns whether there is a directory; a symbolic link is none.
pub(super) fn is_directory(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(map::file(path, error)),
    }
}

/// Takes the lock of a file, making the file when it is absent; `None` when the wait is over.
pub(super) async fn lock(path: &Path, wait: Duration) -> Result<Option<File>> {
    let file = open(path, OFlags::RDWR).map_err(|error| map::file(path, error))?;
    let deadline = Deadline::after(wait);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK) if deadline.is_over() => return Ok(None),
            Err(Errno::WOULDBLOCK | Errno::INTR) => deadline.pause(LOCK_PAUSE).await,
            Err(error) => return Err(map::file(path, error.into())),
        }
    }
}

/// Returns whether a locked file is still the one under its name.
pub(super) fn is_current(lock: &File, path: &Path) -> bool {
    let inode = |found: fs::Metadata| (found.dev(), found.ino());
    match (lock.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => inode(held) == inode(named),
        _ => false,
    }
}

/// Opens a file of a machine's directory, making it when it is absent; never through a link, for
/// what runs in the machine may have put one there.
pub(super) fn open(path: &Path, how: OFlags) -> io::Result<File> {
    let flags = how | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Removes a directory with all that is in it. Links in it are removed, not followed. The file
/// that says whose it is goes last, so that a half-removed machine can still be listed.
fn remove(dir: &Path) -> io::Result<()> {
    let mut outcome = Ok(());
    for _ in 0..REMOVE_PASSES {
        outcome = remove_once(dir);
        match &outcome {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open_up(dir)?,
            // Another deletion of the same machine may be at it too.
            Err(_) => {}
        }
    }
    outcome
}

/// Removes a directory that was never a machine; what cannot go is tried again by the next call.
fn discard(dir: &Path) {
    if let Err(error) = remove(dir) {
        warn!(dir = %dir.display(), %error, "a creation that was broken off cannot be removed");
    }
}

fn remove_once(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unless_absent(fs::remove_dir_all(entry.path()))?;
        } else if entry.file_name() != wire::MACHINE {
            unless_absent(fs::remove_file(entry.path()))?;
        }
    }
    unless_absent(fs::remove_file(dir.join(wire::MACHINE)))?;
    unless_absent(fs::remove_dir(dir))
}

fn unless_absent(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Gives the owner all rights to every directory below, so that it can be emptied.
fn open_up(dir: &Path) -> io::Result<()> {
    let mut stack = vec![dir.to_owned()];
    while let Some(dir) = stack.pop() {
        let mut permissions = fs::symlink_metadata(&dir)?.permissions();
        permissions.set_mode(permissions.mode() | 0o700);
        fs::set_permissions(&dir, permissions)?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                stack.push(entry.path());
            }
        }
    }
    Ok(())
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_takes_links_and_leaves_what_they_point_to() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "").unwrap();
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("machine");
        fs::create_dir_all(dir.join("deep/er")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.join("deep/er/link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("kept"), dir.join(wire::MACHINE)).unwrap();
        remove(&dir).unwrap();
        assert!(!dir.exists());
        assert!(outside.path().join("kept").exists());
        remove(&dir).unwrap();
    }

    #[test]
    fn closed_directories_are_opened_up_below_but_not_through_links() {
        let outside = tempfile::tempdir().unwrap();
        let closed = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o500));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        closed(outside.path()).unwrap();
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("machine");
        fs::create_dir_all(dir.join("read/only")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.join("link")).unwrap();
        for path in ["read/only", "read"] {
            closed(&dir.join(path)).unwrap();
        }
        open_up(&dir).unwrap();
        assert_eq!(mode(&dir.join("read")), 0o700);
        assert_eq!(mode(&dir.join("read/only")), 0o700);
        assert_eq!(mode(outside.path()), 0o500);
        remove(&dir).unwrap();
        assert!(!dir.exists());
    }
}
