//! The server on a TCP address.

use std::net::SocketAddr;

use axum::serve::ListenerExt as _;
use sam_core::{Error, ErrorKind, Result, Secret};
use tokio::net::TcpListener;

use crate::config::ServerConfig;
use crate::routes::router;
use crate::running::{Plan, Running, serve};

/// Told once the server accepts connections.
#[derive(Debug)]
#[non_exhaustive]
pub struct Started {
    /// Where it listens; the port is the real one.
    pub address: SocketAddr,
    /// The administrator's token, on the first start of an installation only.
    pub fresh_admin_token: Option<Secret<String>>,
}

/// Runs the server until `shutdown` completes.
///
/// # Errors
/// `Conflict` when another process has the data directory; `Denied` or `Unavailable` when
/// directory or address cannot be used.
pub async fn run(
    config: ServerConfig,
    started: impl FnOnce(Started),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("cannot listen at {}", config.listen))
            .with_operation("listen")
            .with_hint("choose another address with --listen")
            .with_source(error)
    })?;
    let address = listener.local_addr().unwrap_or(config.listen);
    let mut running = Running::start(Plan {
        data_dir: config.data_dir,
        agent_command: config.agent_command,
        environment: config.environment,
        local_repos: config.local_repos,
        idle: config.idle,
        is_daemon: false,
    })?;
    let token = running.app.shutdown.clone();
    // Keystrokes must not wait for more of them.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let fresh_admin_token = running.installation.fresh_admin_token.take();
    let serving = tokio::spawn(serve(listener, router(running.app.clone()), token.clone()));
    started(Started { address, fresh_admin_token });
    tokio::spawn(async move {
        shutdown.await;
        token.cancel();
    });
    running.finish().await;
    serving
        .await
        .map_err(|error| Error::new(ErrorKind::Bug, "the listener panicked").with_source(error))
}
