//! The server on a TCP address.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::ListenerExt as _;
use sam_core::dns::RecordName;
use sam_core::entropy::Entropy;
use sam_core::published_name::Publishing;
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, Result, Secret};
use sam_providers::system::{OsEntropy, SystemClock};
use tokio::net::TcpListener;

use crate::config::ServerConfig;
use crate::installation::make_directory;
use crate::routes::router;
use crate::running::{Plan, Running, serve};
use crate::store::{Backing, StorePlan};

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
/// `Conflict` when another process has the data directory, or the database belongs to another
/// installation; `BadInput`, `Denied` or `Unavailable` when directory, database or address cannot be
/// used.
pub async fn run(
    config: ServerConfig,
    started: impl FnOnce(Started),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let listener = listen(config.listen).await?;
    let is_shared = matches!(config.store, StorePlan::Database { .. });
    let (plan, store) = plan(config, &listener, is_shared)?;
    let running = Box::pin(Running::start(plan, store)).await?;
    serve_until(running, listener, started, shutdown).await
}

/// Runs the server on a store that the host has opened, whatever the configuration says of one.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    backing: Backing,
    config: ServerConfig,
    started: impl FnOnce(Started),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let listener = listen(config.listen).await?;
    let (plan, _) = plan(config, &listener, backing.is_shared)?;
    let running = Box::pin(Running::start_on(plan, backing)).await?;
    serve_until(running, listener, started, shutdown).await
}

/// Brings the schema of the store up to date and ends.
///
/// # Errors
/// `Conflict` when a server has the data directory; `BadInput`, `Denied` or `Unavailable` when the
/// database cannot be used, or is of a newer program.
pub async fn migrate(config: ServerConfig) -> Result<()> {
    make_directory(&config.data_dir)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
    let backing = config.store.open(&config.data_dir, &clock, &entropy).await?;
    backing.upkeep.migrate().await?;
    backing.upkeep.schema().await?.require()?;
    tracing::info!("the schema is the one this program knows");
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("cannot listen at {address}"))
            .with_operation("listen")
            .with_hint("choose another address with --listen")
            .with_source(error)
    })
}

fn plan(
    config: ServerConfig,
    listener: &TcpListener,
    is_shared: bool,
) -> Result<(Plan, StorePlan)> {
    let address = listener.local_addr().unwrap_or(config.listen);
    let replica_url = match config.replica_url {
        Some(url) => url,
        None if is_shared && address.ip().is_unspecified() => {
            let text = format!("other replicas cannot reach this one at {address}");
            return Err(Error::new(ErrorKind::BadInput, text).with_hint(
                "say how they do with SAM_REPLICA_URL, for example http://10.0.0.5:7070",
            ));
        }
        None if is_shared => format!("http://{address}"),
        None => String::new(),
    };
    let base_domain = base_domain(config.base_domain, config.publishing.as_ref())?;
    let sign_in = config.sign_in.plan(address)?;
    let plan = Plan {
        data_dir: config.data_dir,
        keys_file: config.keys_file,
        nodes_dir: config.nodes_dir,
        agent_command: config.agent_command,
        environment: config.environment,
        local_repos: config.local_repos,
        github: config.github,
        base_domain,
        publishing: config.publishing,
        naming: config.naming,
        providers: config.providers,
        sign_in,
        replica_url,
        policy: config.policy,
        is_daemon: false,
    };
    Ok((plan, config.store))
}

/// Names are routed below the domain that they are published below.
fn base_domain(
    told: Option<RecordName>,
    publishing: Option<&Publishing>,
) -> Result<Option<RecordName>> {
    let Some(publishing) = publishing else { return Ok(told) };
    match told {
        Some(told) if told != publishing.base => Err(Error::new(
            ErrorKind::BadInput,
            format!("BASE_DOMAIN is {told}, and names are published below {}", publishing.base),
        )
        .with_hint("say the same to both")),
        Some(_) | None => Ok(Some(publishing.base.clone())),
    }
}

async fn serve_until(
    mut running: Running,
    listener: TcpListener,
    started: impl FnOnce(Started),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let address = listener.local_addr().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the listener has no address").with_source(error)
    })?;
    let token = running.app.shutdown.clone();
    // Keystrokes must not wait for more of them.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let fresh_admin_token = running.fresh_admin_token.take();
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
