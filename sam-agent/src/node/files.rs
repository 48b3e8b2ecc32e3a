//! Files of the agent: private, replaced as a whole, and deleted to the last one.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sam_core::{Error, ErrorKind, Result};

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::QuotaExceeded,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} {}: {error}", path.display()))
        .with_hint("check the agent's directory: its owner, its permissions and its free space")
        .with_source(error)
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Bug, "work on files broke off").with_source(error))?
}

/// Reads a small file; `None` when it is not there.
///
/// # Errors
/// `Denied`, `Unavailable`; `Corrupt` when it is larger than `limit` bytes.
pub(super) async fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let path = path.to_owned();
    blocking(move || {
        let metadata = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|error| failed("read", &path, error))?,
        };
        if metadata.len() > limit {
            let text = format!("{} is larger than {limit} bytes", path.display());
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        std::fs::read(&path).map(Some).map_err(|error| failed("read", &path, error))
    })
    .await
}

/// Replaces a file as a whole, for its owner's eyes only; after a crash it is the old or the new
/// one.
///
/// # Errors
/// `Denied`, `QuotaExceeded`, `Unavailable`.
pub(super) async fn replace(path: &Path, bytes: Vec<u8>) -> Result<()> {
    let path = path.to_owned();
    blocking(move || {
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let write = || {
            match std::fs::remove_file(&beside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)?;
            path.parent().map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_all())
        };
        write().map_err(|error| failed("write", &path, error))
    })
    .await
}

/// Makes a directory and those above it, for its owner only.
///
/// # Errors
/// `Denied`, `QuotaExceeded`, `Unavailable`.
pub(super) async fn make_private_directory(path: &Path) -> Result<()> {
    let path = path.to_owned();
    blocking(move || {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| failed("make", &path, error))
    })
    .await
}

/// Renames within one directory tree.
///
/// # Errors
/// `Denied`, `QuotaExceeded`, `Unavailable`.
pub(super) async fn rename(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(move || std::fs::rename(&from, &to).map_err(|error| failed("rename", &from, error)))
        .await
}

/// Deletes a directory and everything below it; the absent is deleted already.
///
/// # Errors
/// `Denied`, `Unavailable`.
pub(super) async fn delete_tree(path: &Path) -> Result<()> {
    let path = path.to_owned();
    blocking(move || {
        let deleted = match std::fs::remove_dir_all(&path) {
            // Package caches are often made read-only, and then not even their owner may delete.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                unlock(&path).and_then(|()| std::fs::remove_dir_all(&path))
            }
            deleted => deleted,
        };
        match deleted {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted.map_err(|error| failed("delete", &path, error)),
        }
    })
    .await
}

/// Lets the owner change every directory of a tree. Links are not followed.
fn unlock(path: &Path) -> io::Result<()> {
    // As many turns as the tree has directories.
    let mut left = vec![path.to_owned()];
    while let Some(directory) = left.pop() {
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_replaced_whole_and_private() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("identity.json");
        assert_eq!(read(&path, 10).await.unwrap(), None);
        replace(&path, b"one".to_vec()).await.unwrap();
        std::fs::write(here.path().join("identity.json.new"), b"left by a crash").unwrap();
        replace(&path, b"two".to_vec()).await.unwrap();
        assert_eq!(read(&path, 10).await.unwrap().unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path, 2).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn read_only_directories_and_links_are_deleted_and_not_followed() {
        let here = tempfile::tempdir().unwrap();
        let (tree, other) = (here.path().join("tree"), here.path().join("other"));
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(tree.join("a/b/file"), b"x").unwrap();
        std::os::unix::fs::symlink(&other, tree.join("a/link")).unwrap();
        std::fs::set_permissions(tree.join("a"), std::fs::Permissions::from_mode(0o500)).unwrap();
        delete_tree(&tree).await.unwrap();
        delete_tree(&tree).await.unwrap();
        assert!(!tree.exists() && other.is_dir());
    }
}
