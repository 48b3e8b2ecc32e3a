//! The file of a ring: whole or absent, readable by its owner alone, changed by one at a time.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sam_core::entropy::Entropy;
use sam_core::keys::MemoryKeys;
use sam_core::{Error, ErrorKind, Result, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SigningAlgorithm;

/// The version of the file that is written, and the newest that is read.
const FORMAT: u64 = 1;
/// Longest file: 64 keys that seal and 16 that sign, wrapped, have a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What the names of drafts end in.
const DRAFT: &str = ".draft";
/// Most names of the directory that are looked at for drafts.
const NAMES_MAX: usize = 10_000;
/// Most keys that sign in a ring.
pub(super) const SIGNING_KEYS_MAX: usize = 16;

/// The file, version 1. All bytes are base64url without padding; the last of each list is current.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RingFile {
    format: u64,
    /// What wraps the keys.
    pub(super) protection: String,
    pub(super) sealing: Vec<SealingEntry>,
    pub(super) signing: Vec<SigningEntry>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealingEntry {
    pub(super) id: String,
    pub(super) key: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SigningEntry {
    pub(super) id: String,
    pub(super) algorithm: SigningAlgorithm,
    /// Of the public half, by which a changed private half is noticed.
    pub(super) thumbprint: String,
    pub(super) key: String,
}

impl RingFile {
    pub(super) fn new(protection: &str) -> Self {
        Self {
            format: FORMAT,
            protection: protection.to_owned(),
            sealing: Vec::new(),
            signing: Vec::new(),
        }
    }
}

/// By which a changed file is noticed without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            bytes: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }

    /// Looks at the file that is there now.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let about = std::fs::metadata(path).map_err(|error| trouble("read", path, error))?;
        Ok(Self::of(&about))
    }
}

/// Reads a ring, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<(Stamp, RingFile)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble("read", path, error)),
    };
    let failed = |error| trouble("read", path, error);
    let about = file.metadata().map_err(failed)?;
    check_rights(path, &about)?;
    // Room from the start, so that growing leaves no copies behind.
    let room = usize::try_from(about.len().min(FILE_BYTES_MAX)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some((Stamp::of(&about), parse(path, &bytes)?)))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<RingFile> {
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    if let Ok(Version { format }) = serde_json::from_slice(bytes)
        && format > FORMAT
    {
        let message = format!("{} has the format {format}, which is newer", path.display());
        return Err(Error::new(ErrorKind::Corrupt, message)
            .with_operation("open_keys")
            .with_hint("it was written by a newer version of SAM: use that one"));
    }
    let within = bytes.len() as u64 <= FILE_BYTES_MAX;
    let ring = within.then(|| serde_json::from_slice::<RingFile>(bytes).ok()).flatten();
    let ring = ring.filter(|ring| {
        ring.format == FORMAT
            && (1..=MemoryKeys::KEYS_MAX).contains(&ring.sealing.len())
            && (1..=SIGNING_KEYS_MAX).contains(&ring.signing.len())
    });
    ring.ok_or_else(|| damaged(path, "it is not a ring of keys"))
}

/// Says that a ring cannot be used as it is.
pub(super) fn damaged(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{} is damaged: {why}", path.display()))
        .with_operation("open_keys")
        .with_hint("restore it from a backup; a new one opens nothing that was sealed before")
}

fn check_rights(path: &Path, about: &Metadata) -> Result<()> {
    let (shown, mode) = (path.display(), about.mode() & 0o7777);
    let denied = |message: String, hint: String| {
        Error::new(ErrorKind::Denied, message).with_operation("open_keys").with_hint(hint)
    };
    if !about.is_file() {
        return Err(denied(
            format!("{shown} is not a file"),
            "name the file of the ring, not its directory".to_owned(),
        ));
    }
    if mode & 0o077 != 0 {
        return Err(denied(
            format!("{shown} is open to others (mode {mode:04o})"),
            format!("`chmod 600 {shown}`; if others could read it, change the keys"),
        ));
    }
    let (owner, user) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(denied(
            format!("{shown} belongs to user {owner}, and this is user {user}"),
            format!("`chown {user} {shown}`, or run as its owner"),
        ));
    }
    Ok(())
}

/// Makes the directory of a ring, or checks that nobody else can put files there.
pub(super) fn prepare(path: &Path) -> Result<()> {
    let directory = parent(path);
    let failed = |error| trouble("make the directory of", path, error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let mode = std::fs::metadata(directory).map_err(failed)?.mode() & 0o7777;
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let shown = directory.display();
    let message = format!("others can write to {shown} (mode {mode:04o}), where the keys are");
    Err(Error::new(ErrorKind::Denied, message)
        .with_operation("open_keys")
        .with_hint(format!("`chmod 700 {shown}`, or keep the keys in a directory of their own")))
}

/// Writes a ring where there is none; `false` when there is one by now.
pub(super) fn create(path: &Path, ring: &RingFile, entropy: &dyn Entropy) -> Result<bool> {
    let failed = |error| trouble("write", path, error);
    let draft = Draft::write(path, ring, entropy)?;
    // A link does not replace what is there, as a rename would.
    let linked = match std::fs::hard_link(&draft.0, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        // Whoever was first has cleared our draft away already.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => false,
        linked => linked.map(|()| true).map_err(failed)?,
    };
    drop(draft);
    sync_directory(path)?;
    Ok(linked)
}

/// Who holds it is the only one that changes the ring.
pub(super) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes it at once or not at all: it is held for a moment only.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let beside = beside(path, ".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&beside).map_err(|error| trouble("lock", path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file, path: path.to_owned() }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
                ErrorKind::Conflict,
                format!("somebody else changes {} right now", path.display()),
            )
            .with_operation("change_keys")
            .with_hint("try again in a moment")),
            Err(error) => Err(trouble("lock", path, error.into())),
        }
    }

    /// Replaces the ring.
    pub(super) fn replace(&self, ring: &RingFile, entropy: &dyn Entropy) -> Result<()> {
        let path = &self.path;
        let draft = Draft::write(path, ring, entropy)?;
        std::fs::rename(&draft.0, path).map_err(|error| trouble("write", path, error))?;
        clear_drafts(path);
        sync_directory(path)
    }
}

/// A file beside the ring that is removed unless it becomes the ring.
struct Draft(PathBuf);

impl Draft {
    fn write(path: &Path, ring: &RingFile, entropy: &dyn Entropy) -> Result<Self> {
        let failed = |error| trouble("write", path, error);
        let bytes = serde_json::to_vec_pretty(ring).map(Secret::new).map_err(|error| {
            Error::new(ErrorKind::Bug, "a ring of keys has no JSON").with_source(error)
        })?;
        // Replicas in containers have the same process id, so chance tells them apart.
        let mut name = [0; 8];
        entropy.fill(&mut name);
        let draft = beside(path, &format!(".{:016x}{DRAFT}", u64::from_be_bytes(name)));
        let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
        let mut file = options.map_err(failed)?;
        let draft = Self(draft);
        file.write_all(bytes.expose()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already where it became the ring; what a killed process leaves, the next change clears.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Removes what killed processes left: keys that were retired since may be in it. What cannot be
/// removed now is tried again with the next change.
fn clear_drafts(path: &Path) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
    let start = format!("{name}.");
    let entries = std::fs::read_dir(parent(path)).into_iter().flatten().take(NAMES_MAX).flatten();
    for entry in entries {
        let is_draft = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(&start) && name.ends_with(DRAFT));
        if is_draft {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(parent(path))
        .and_then(|directory| directory.sync_all())
        .map_err(|error| trouble("write", path, error))
}

fn trouble(what: &str, path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let (kind, hint) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Denied, format!("make {shown} and its directory this user's own"))
        }
        io::ErrorKind::NotFound => (
            ErrorKind::Unavailable,
            format!("bring {shown} back from a backup: nothing is sealed under keys no file holds"),
        ),
        _ => (ErrorKind::Unavailable, format!("check the disk of {shown} and its free space")),
    };
    Error::new(kind, format!("cannot {what} {shown}"))
        .with_operation("open_keys")
        .with_hint(hint)
        .with_source(error)
}
