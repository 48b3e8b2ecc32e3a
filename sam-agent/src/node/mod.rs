//! The agent of a node: it proves who it is, keeps a link to the control plane open for ever, and
//! serves its API on it.
//!
//! Nothing that people work with lives in this process: terminals belong to the holder, files to
//! the disk. It may be killed at any moment and started again.

mod activity;
mod attach;
mod checkout;
mod control;
mod controls;
mod credentials;
mod exec;
mod files;
mod git;
mod holder;
mod identity;
mod router;
mod socket;
#[cfg(test)]
mod tests;
mod workspaces;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sam_core::keys::Signer as _;
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Report, Result};

use self::control::Io;
use self::controls::Controls;
use self::credentials::{Asking, Doors};
use self::git::Git;
use self::holder::Holder;
use self::identity::Identity;
use self::router::Parts;
use self::workspaces::Workspaces;
use crate::deadline;
use crate::link;
use crate::terminal::HolderClient;
use crate::wire::{
    ASSERTION_HEADER, BootstrapReply, ChallengeReply, LINK_VERSION, LINK_VERSION_HEADER,
    assertion_text,
};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long to leave a server alone that does not want us, or another version of us.
const REFUSED_PAUSE_MAX: Duration = Duration::from_mins(1);
/// A link that lived this long was a good one: the next pause is short again.
const GOOD_LIFE: Duration = Duration::from_secs(30);
/// How long open requests may take when the agent is told to end.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(2);

/// What an agent is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentConfig {
    /// The node's directory: `boot.json`, the identity and the workspaces. Nobody else's.
    pub dir: PathBuf,
    /// The git program.
    pub git: OsString,
    /// The variables git starts with; those beginning with `GIT_` are left out.
    pub environment: Vec<(OsString, OsString)>,
    /// The program that git asks for credentials, with the subcommand
    /// [`git_credential::SUBCOMMAND`](crate::git_credential::SUBCOMMAND); without one git has the
    /// helpers of its own configuration alone.
    pub git_helper: Option<OsString>,
}

impl AgentConfig {
    /// Runs in a directory, with `git` from `PATH` and no variables.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, git: "git".into(), environment: Vec::new(), git_helper: None }
    }

    /// Sets the variables git starts with: usually those of the agent itself.
    #[must_use]
    pub fn with_environment(
        mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        self.environment = environment.into_iter().collect();
        self
    }

    /// Sets the program that git asks for credentials.
    #[must_use]
    pub fn with_git_helper(mut self, program: OsString) -> Self {
        self.git_helper = Some(program);
        self
    }

    /// Sets the git program.
    #[must_use]
    pub fn with_git(mut self, git: OsString) -> Self {
        self.git = git;
        self
    }
}

/// Runs the agent until it is told to end: it makes or reads the node's identity, then keeps a link
/// to the control plane open. The node's holder must be running, or be started beside it.
///
/// A control plane that cannot be reached is tried again for ever, with pauses of at most 10 s; one
/// that refuses the node, of at most 60 s.
///
/// # Errors
/// `NotFound` without boot data; `BadInput`, `Conflict` or `Corrupt` when they or the identity
/// cannot be used; `Denied`, `QuotaExceeded` or `Unavailable` when the directory cannot.
pub async fn run(config: AgentConfig, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
    let holder = Arc::new(HolderClient::new(&config.dir));
    serve(config, holder, shutdown).await
}

async fn serve(
    config: AgentConfig,
    holder: Arc<dyn Holder>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    let (agent, mut controls) = tokio::select! {
        biased;
        () = &mut shutdown => return Ok(()),
        started = start(config, holder) => started?,
    };
    let mut backoff = Backoff::default();
    loop {
        let dialled = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            dialled = agent.dial(&mut controls) => dialled,
        };
        let refusal = match dialled {
            Ok(io) => {
                controls.worked();
                tracing::info!(node.id = %agent.identity.node, "link is up");
                let begun_at = Instant::now();
                if run_link(io, agent.router.clone(), shutdown.as_mut()).await {
                    return Ok(());
                }
                backoff.lived(begun_at.elapsed());
                None
            }
            Err(error) => Some(error),
        };
        // The next address is tried at once; only when all of them failed there is a pause.
        let is_round_over = refusal.is_none() || controls.turn();
        let pause = if is_round_over { backoff.pause(refusal.as_ref()) } else { Duration::ZERO };
        if let Some(error) = refusal {
            report(&error, pause);
        }
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            () = deadline::sleep(pause) => {}
        }
    }
}

/// Runs one link until it ends, and returns whether the agent was told to.
async fn run_link(
    io: Box<dyn Io>,
    router: Router,
    shutdown: std::pin::Pin<&mut (impl Future<Output = ()> + Send)>,
) -> bool {
    let service = TowerToHyperService::new(router);
    let connection = link::server_builder().serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        () = shutdown => {
            connection.as_mut().graceful_shutdown();
            if deadline::within(SHUTDOWN_DEADLINE, connection).await.is_err() {
                tracing::debug!("open requests were cut off");
            }
            true
        }
        result = &mut connection => {
            match result {
                Ok(()) => tracing::info!("link is down: the server closed it"),
                Err(error) => tracing::warn!(error = %Report::new(&error), "link is down"),
            }
            false
        }
    }
}

fn report(error: &Error, pause: Duration) {
    let next_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let (error_text, hint) = (Report::new(error), error.hint());
    if is_refusal(error) {
        tracing::error!(error = %error_text, hint, next_ms, "the control plane refuses this node");
    } else {
        tracing::warn!(error = %error_text, hint, next_ms, "the control plane was not reached");
    }
}

/// The agent's unchanging parts.
struct Agent {
    identity: Arc<Identity>,
    router: Router,
}

/// Becomes somebody: reads or makes the identity and trades the token for it, however long that
/// takes.
async fn start(config: AgentConfig, holder: Arc<dyn Holder>) -> Result<(Agent, Controls)> {
    let mut identity = Identity::open(&config.dir).await?;
    let mut controls = Controls::open(&config.dir, &identity.control_url).await?;
    let mut backoff = Backoff::default();
    if let Some(request) = identity.request()? {
        // Ends when the server answers or the agent is told to end; the pauses are bounded.
        let reply: BootstrapReply = loop {
            match controls.now().post("/api/bootstrap", &request).await {
                Ok(reply) => break reply,
                Err(error) => {
                    let over = controls.turn();
                    let pause = if over { backoff.pause(Some(&error)) } else { Duration::ZERO };
                    report(&error.with_operation("bootstrap"), pause);
                    deadline::sleep(pause).await;
                }
            }
        };
        identity.complete(Some(reply)).await?;
    } else {
        identity.complete(None).await?;
    }
    let identity = Arc::new(identity);
    let git = Git::new(config.git, config.environment);
    let doors = config.git_helper.map(|helper| {
        let (identity, directory) = (Arc::clone(&identity), config.dir.clone());
        Doors::new(helper, Asking { identity, directory })
    });
    let parts = Parts {
        node: identity.node,
        verifier: Arc::new(identity.verifier()?),
        now: wall_clock,
        holder,
        workspaces: Workspaces::open(&config.dir, git, doors).await?,
    };
    let router = router::router(Arc::new(parts));
    Ok((Agent { identity, router }, controls))
}

impl Agent {
    /// Proves who we are and opens a link.
    async fn dial(&self, controls: &mut Controls) -> Result<Box<dyn Io>> {
        let challenge: ChallengeReply =
            controls.now().post("/api/agent/challenge", &serde_json::json!({})).await?;
        controls.learn(challenge.control_urls).await;
        let text = assertion_text(self.identity.node, &challenge.nonce);
        let signature = self.identity.signer.sign(text.as_bytes()).await?;
        let (node, nonce) = (self.identity.node, challenge.nonce);
        let assertion = format!("{node}.{nonce}.{}", URL_SAFE_NO_PAD.encode(signature));
        let headers = [
            (ASSERTION_HEADER, assertion),
            (LINK_VERSION_HEADER, format!("{LINK_VERSION}-{LINK_VERSION}")),
        ];
        Box::pin(controls.now().dial("/api/agent/link", &headers)).await
    }
}

/// Pauses that double, with a random part so that the nodes of a server that was down do not all
/// come back at once.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn lived(&mut self, span: Duration) {
        if span >= GOOD_LIFE {
            self.failures = 0;
        }
    }

    fn pause(&mut self, refusal: Option<&Error>) -> Duration {
        let limit = if refusal.is_some_and(is_refusal) { REFUSED_PAUSE_MAX } else { PAUSE_MAX };
        let doubled = PAUSE_MIN.saturating_mul(1_u32 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let whole = doubled.min(limit);
        // Without random bytes the pause is merely not spread.
        let share = identity::random::<1>().map_or(255, |[byte]| byte);
        whole / 2 + whole.mul_f64(f64::from(share) / 510.0)
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BadInput
            | ErrorKind::Denied
            | ErrorKind::Unauthenticated
            | ErrorKind::Unsupported
    )
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}
