//! Failures of this computer as the SDK's errors.

use std::io;
use std::path::Path;

use sam_core::compute::MachineKey;
use sam_core::{Effect, Error, ErrorKind, Result};

/// Says that a file or directory could not be used.
pub(super) fn file(path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let message = format!("cannot use {shown}: {}", error.kind());
    let (kind, hint) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            ErrorKind::Denied,
            format!("make {shown} writable for this user, or configure another directory"),
        ),
        io::ErrorKind::StorageFull => (
            ErrorKind::CapacityUnavailable,
            format!("free space on the disk that holds {shown}, or configure another directory"),
        ),
        io::ErrorKind::QuotaExceeded => (
            ErrorKind::QuotaExceeded,
            format!("raise this user's disk quota for {shown}, or configure another directory"),
        ),
        io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => (
            ErrorKind::BadInput,
            format!("check the path {shown}: a part of it is not a directory"),
        ),
        io::ErrorKind::InvalidData => (
            ErrorKind::Corrupt,
            format!("the file {shown} was damaged; delete the machine, which still works"),
        ),
        _ => (ErrorKind::Unavailable, format!("check the directory {shown} and its disk")),
    };
    Error::new(kind, message).with_hint(hint).with_source(error)
}

/// Says that `/proc` could not be read, without which nobody can say what runs.
pub(super) fn processes(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "cannot read the processes of this computer in /proc")
        .with_hint("mount /proc for this user; nodes on this computer are found through it")
        .with_source(error)
}

/// Says that work on another thread did not come to its end.
pub(super) fn interrupted(error: tokio::task::JoinError) -> Error {
    let kind = if error.is_panic() { ErrorKind::Bug } else { ErrorKind::Unavailable };
    Error::new(kind, "the work on a local machine was broken off")
        .with_effect(Effect::Unknown)
        .with_source(error)
}

/// Says that some process of a machine did not end in time.
pub(super) fn still_running(key: &MachineKey) -> Error {
    Error::new(ErrorKind::Timeout, format!("processes of {key} do not end"))
        .with_effect(Effect::Unknown)
        .with_hint("look for processes in uninterruptible sleep (state D), then try again")
}

/// Refuses a key that is not a plain file name.
///
/// # Errors
/// `BadInput`.
pub(super) fn check_key(key: &str) -> Result<()> {
    if is_label(key) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::BadInput, format!("{key:?} is not the key of a machine"))
        .with_hint("a key is a DNS label: at most 63 of a-z, 0-9 and inner hyphens"))
}

/// Returns whether a text is a lower-case DNS label, and so a plain file name.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain_file_names() {
        for good in ["nd-06f1x2k3m4n5p6q7r8s9t0vwxy", "a", "0"] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "..", "a/b", ".a", "-a", "a-", "A", "a\0", "ä", &"a".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
    }

    #[test]
    fn a_full_or_forbidden_directory_is_named_with_what_to_do() {
        for (from, kind) in [
            (io::ErrorKind::StorageFull, ErrorKind::CapacityUnavailable),
            (io::ErrorKind::PermissionDenied, ErrorKind::Denied),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Denied),
        ] {
            let error = file(Path::new("/data/nodes"), from.into());
            assert_eq!(error.kind(), kind);
            assert!(error.hint().unwrap().contains("/data/nodes"));
        }
    }
}
