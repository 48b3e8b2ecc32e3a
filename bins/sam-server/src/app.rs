//! What every handler is given.

use std::sync::Arc;

use sam_agent::controller::Controller;
use sam_agent::wire::ServerKey;
use sam_core::Sam;
use sam_core::auth::ChallengeKey;
use sam_core::dns::RecordName;
use sam_core::replica::{ControlUrls, Replica};
use sam_core::time::Timestamp;
use sam_github::{GithubApp, WebhookSecrets};
use tokio_util::sync::CancellationToken;

use crate::SignInDesk;
use crate::access::Access;
use crate::daemon::DaemonFacts;
use crate::store::Upkeep;

/// The parts of a control plane, as its handlers see them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<AppParts>);

/// What an [`App`] is made of.
#[derive(Debug)]
pub struct AppParts {
    /// The lifecycle.
    pub sam: Sam,
    /// The links of the nodes.
    pub controller: Controller,
    /// Makes and checks the nonces of links.
    pub challenge: ChallengeKey,
    /// The keys that agents accept tokens of.
    pub server_keys: Vec<ServerKey>,
    /// Who may ask.
    pub access: Access,
    /// Names this process, another after a restart, and where other replicas reach it.
    pub replica: Replica,
    /// Where agents reach the control plane.
    pub control_urls: ControlUrls,
    /// The store's care, where it has any: readiness asks it about the schema.
    pub upkeep: Option<Arc<dyn Upkeep>>,
    /// When it started.
    pub started_at: Timestamp,
    /// The GitHub App, where one is configured.
    pub github: Option<GithubApp>,
    /// What signs people in, where they can.
    pub sign_in: Option<SignInDesk>,
    /// What webhooks are checked with; refuses all where there is no secret.
    pub webhook_secrets: WebhookSecrets,
    /// Below which workspaces are reached under names of their own, `ws-….{base}`; nowhere when absent.
    pub base_domain: Option<RecordName>,
    /// Whether a repository may be a path on this computer.
    pub local_repos: bool,
    /// Ends streams and links when it is cancelled.
    pub shutdown: CancellationToken,
    /// Set where this is the daemon of a data directory.
    pub daemon: Option<DaemonFacts>,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
