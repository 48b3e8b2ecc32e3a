//! Unix socket paths of any length.
//!
//! The kernel takes at most 107 bytes. A longer path is reached through a descriptor of its
//! directory: `/proc/self/fd/<n>/<name>`, which works for binding and for connecting alike.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest path the kernel takes for a Unix socket, in bytes.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A path to a Unix socket that the kernel accepts; it holds only as long as this value lives.
#[derive(Debug, Clone)]
pub struct SocketPath {
    path: PathBuf,
    // Keeps the number in `path` pointing to the directory.
    directory: Option<Arc<File>>,
}

impl SocketPath {
    /// Makes a path usable.
    ///
    /// # Errors
    /// When the path is too long and its directory cannot be opened, or its last part alone is
    /// too long.
    pub fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), directory: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let directory = File::open(parent)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        if short.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the socket's name is too long",
            ));
        }
        Ok(Self { path: short, directory: Some(Arc::new(directory)) })
    }

    /// Returns the path to bind or connect to.
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the path goes through a descriptor of its directory.
    pub const fn is_shortened(&self) -> bool {
        self.directory.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_long_path_can_be_bound_and_connected_to() {
        let root = tempfile::tempdir().unwrap();
        let long = root.path().join("d".repeat(120));
        std::fs::create_dir(&long).unwrap();
        let path = SocketPath::new(&long.join("daemon.sock")).unwrap();
        assert!(path.is_shortened());
        let listener = UnixListener::bind(path.as_path()).unwrap();
        let other = SocketPath::new(&long.join("daemon.sock")).unwrap();
        let mut client = UnixStream::connect(other.as_path()).unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
    }

    #[test]
    fn a_short_path_stays_as_it_is_and_a_long_name_is_refused() {
        assert!(!SocketPath::new(Path::new("/run/x.sock")).unwrap().is_shortened());
        let root = tempfile::tempdir().unwrap();
        let error = SocketPath::new(&root.path().join("n".repeat(110))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
