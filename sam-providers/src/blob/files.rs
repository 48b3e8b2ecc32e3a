//! Blobs in a directory of this computer.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use sam_core::{Error, ErrorKind, Result};

use super::layout::Layout;
use super::objects::ObjectBlobs;

impl ObjectBlobs {
    /// Keeps blobs in a directory, which is made, readable by its owner alone, when it is absent.
    ///
    /// A put is on the disk when it returns. Each page of a listing reads the names of everything
    /// below its key. Names differ in case, so the file system has to tell them apart.
    ///
    /// # Errors
    /// `Denied` or `Unavailable` when it cannot be made or used.
    pub fn directory(path: &Path) -> Result<Self> {
        let shown = path.display();
        let failed = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    ErrorKind::Denied
                }
                _ => ErrorKind::Unavailable,
            };
            Error::new(kind, format!("the directory of blobs cannot be used: {shown}"))
                .with_operation("open_blobs")
                .with_hint("make it writable for this user, or configure another directory")
                .with_source(error)
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(path)
            .map_err(|error| failed(std::io::Error::other(error)))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self {
            store: Arc::new(store),
            layout: Layout::Files,
            place: shown.to_string().into(),
            remote: false,
            urls: None,
        })
    }
}
