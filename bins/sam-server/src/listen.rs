//! Unix sockets that let only their owner in.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::serve::Listener;
use sam_api::SocketPath;
use sam_core::{Error, ErrorKind, Result};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

use crate::deadline;

/// Pause after a failed accept, for example without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A Unix socket in a directory that this process holds the lock of.
#[derive(Debug)]
pub(crate) struct OwnerSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OwnerSocket {
    /// Listens at a path. What lies there is a left-over: the caller holds the lock of the
    /// directory.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        let trouble = |error: io::Error| {
            Error::new(ErrorKind::Unavailable, format!("cannot listen at {}", path.display()))
                .with_operation("listen")
                .with_source(error)
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(trouble(error)),
            _ => {}
        }
        // Longer paths than the kernel takes are reached through the open directory.
        let short = SocketPath::new(path).map_err(trouble)?;
        let listener = UnixListener::bind(short.as_path()).map_err(trouble)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(trouble)?;
        Ok(Self { listener, path: path.to_owned() })
    }
}

impl Listener for OwnerSocket {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        let own = rustix::process::geteuid().as_raw();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == own || peer.uid() == 0 => return (stream, address),
                    Ok(peer) => tracing::warn!(peer.uid = peer.uid(), "a stranger was turned away"),
                    Err(error) => tracing::warn!(%error, "a caller could not be identified"),
                },
                Err(error) => {
                    tracing::warn!(%error, socket = %self.path.display(), "accept failed");
                    deadline::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
