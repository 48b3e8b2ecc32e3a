//! A control plane put together and running: store, provider, engine and links of one process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sam_agent::controller::{Controller, ControllerConfig, Replicas};
use sam_agent::wire::ServerKey;
use sam_core::auth::ChallengeKey;
use sam_core::dns::RecordName;
use sam_core::entropy::Entropy;
use sam_core::http::HttpTransport;
use sam_core::keys::{Ed25519Signer, Ed25519Verifier, Signer as _};
use sam_core::published_name::Publishing;
use sam_core::replica::{ControlUrls, InstallationRecord, Replica};
use sam_core::secrets::Secrets;
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, NodeId, Policy, Report, Result, Sam, SamBuilder, Secret};
use sam_providers::api::Outside;
use sam_providers::http::{Http, HttpConfig};
use sam_providers::keys::{FileKeys, FileKeysConfig};
use sam_providers::system::{OsEntropy, SystemClock};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::after_start::{look_at_resting, miss_links};
use crate::app::{App, AppParts};
use crate::daemon::DaemonFacts;
use crate::deadline;
use crate::github::{GithubDeliveries, GithubSettings, forget_changed};
use crate::installation::{Installation, make_directory, nodes_id};
use crate::listen::OwnerSocket;
use crate::naming::NamingSettings;
use crate::providers::{Clouds, Local, ProviderSettings, providers};
use crate::replica::{self, Links};
use crate::routes::agent_router;
use crate::sign_in::{SignInDesk, SignInParts, SignInPlan};
use crate::store::{Backing, Schema, StorePlan, Upkeep};

/// Link changes that wait to be told to the engine; more are noticed by its next look.
const LINK_CHANGES_MAX: usize = 1_024;
/// The keys that seal secrets, beside the installation's own.
const RING_FILE: &str = "ring.json";
/// How often a schema is looked at that is not the one this program knows.
const SCHEMA_LOOK: Duration = Duration::from_secs(2);
/// How often old changes are forgotten.
const TRIM_EVERY: Duration = Duration::from_hours(1);
/// How long open requests may take to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a control plane is made from.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) data_dir: PathBuf,
    pub(crate) keys_file: PathBuf,
    pub(crate) nodes_dir: PathBuf,
    pub(crate) agent_command: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) local_repos: bool,
    pub(crate) github: GithubSettings,
    /// Below which workspaces are reached under names of their own.
    pub(crate) base_domain: Option<RecordName>,
    /// How these names are put into the DNS; by a wildcard or by hand when absent.
    pub(crate) publishing: Option<Publishing>,
    /// The DNS that is set up, where the host hands in none.
    pub(crate) naming: NamingSettings,
    pub(crate) providers: ProviderSettings,
    /// Who may sign in and where, if anybody may.
    pub(crate) sign_in: Option<SignInPlan>,
    /// Where other replicas reach this one; empty where there are none.
    pub(crate) replica_url: String,
    pub(crate) policy: Policy,
    /// Everything is the owner's; else the administrator's token is asked for.
    pub(crate) is_daemon: bool,
}

/// A control plane at work.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) app: App,
    pub(crate) fresh_admin_token: Option<Secret<String>>,
    engine: JoinHandle<()>,
    agents: JoinHandle<()>,
}

/// The parts that are there before anything else.
struct Base {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    backing: Backing,
    installation: Installation,
}

impl Running {
    /// Takes the data directory, opens everything and starts working, on the runtime it is
    /// called from.
    pub(crate) async fn start(plan: Plan, store: StorePlan) -> Result<Self> {
        make_directory(&plan.data_dir)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
        // The lock of a file comes first: whoever has it owns the directory.
        let backing = store.open(&plan.data_dir, &clock, &entropy).await?;
        Self::start_on(plan, backing).await
    }

    /// Starts working on a store that is open.
    pub(crate) async fn start_on(plan: Plan, backing: Backing) -> Result<Self> {
        make_directory(&plan.data_dir)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
        let mut installation = Installation::open(&plan.keys_file, &*entropy)?;
        let fresh_admin_token = installation.fresh_admin_token.take();
        let base = Base { clock, entropy, backing, installation };
        let (link_changed, changes) = mpsc::channel(LINK_CHANGES_MAX);
        let secrets = open_secrets(&plan, &base).await?;
        let app = assemble(&plan, &base, secrets, link_changed)?;
        let claim = claim(&plan, &base)?;
        let start = Start { app: app.clone(), backing: base.backing, claim };
        let schema = start.backing.upkeep.schema().await?;
        match schema.require() {
            Ok(()) => start.join().await?,
            Err(error) => tracing::error!(
                error = %Report::new(&error),
                hint = error.hint(),
                "NO WORK IS DONE until the schema is the one this program knows"
            ),
        }
        make_directory(&agents_dir(&plan))?;
        let agents_path = agents_socket(&plan);
        let socket = OwnerSocket::bind(&agents_path)?;
        let shutdown = app.shutdown.clone();
        let agents = tokio::spawn(serve(socket, agent_router(app.clone()), shutdown.clone()));
        let links = Links {
            sam: app.sam.clone(),
            controller: app.controller.clone(),
            me: app.replica.clone(),
            own_urls: own_urls(&plan),
            control_urls: app.control_urls.clone(),
            changes,
            written: BTreeMap::new(),
        };
        let looking = look_at_resting(app.sam.clone(), plan.policy.clone());
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(looking));
        let engine = tokio::spawn(async move {
            let token = shutdown.clone();
            if let Err(error) = start.work(schema == Schema::Current, links).await {
                tracing::error!(error = %Report::new(&error), hint = error.hint(), "the engine stopped");
                token.cancel();
            }
        });
        Ok(Self { app, fresh_admin_token, engine, agents })
    }

    /// Waits until everything has ended after the shutdown was asked for.
    pub(crate) async fn finish(self) {
        self.app.shutdown.cancelled().await;
        let ended = deadline::within(FAREWELL, async {
            let (_engine, _agents) = tokio::join!(self.engine, self.agents);
        });
        if ended.await.is_none() {
            tracing::warn!("some requests were cut off");
        }
    }
}

/// The directory of the socket that agents dial, and of nothing else: nodes that are containers see it.
fn agents_dir(plan: &Plan) -> PathBuf {
    plan.data_dir.join("agents")
}

fn agents_socket(plan: &Plan) -> PathBuf {
    agents_dir(plan).join("agents.sock")
}

/// Where agents reach this replica: those on this computer by the socket.
fn own_urls(plan: &Plan) -> Vec<String> {
    let socket = format!("unix:{}", agents_socket(plan).display());
    let control_url = plan.providers.control_url.clone().unwrap_or_default();
    let urls = [socket, plan.replica_url.clone(), control_url];
    urls.into_iter().filter(|url| !url.is_empty()).collect()
}

/// Puts the parts together.
fn assemble(
    plan: &Plan,
    base: &Base,
    secrets: Option<Secrets>,
    link_changed: mpsc::Sender<NodeId>,
) -> Result<App> {
    let Base { clock, entropy, backing, installation } = base;
    let keys = &installation.keys;
    let signer = Arc::new(Ed25519Signer::from_seed(&keys.signing));
    let verifier = Arc::new(Ed25519Verifier::new([signer.public_key()])?);
    let server_key = ServerKey {
        key_id: signer.key_id().to_owned(),
        public_key: base64_url(&signer.public_key()),
    };
    let on_change = Arc::new(move |node: NodeId| {
        // A closed channel means that we are ending: nobody needs to know.
        if let Err(TrySendError::Full(_)) = link_changed.try_send(node) {
            tracing::warn!(node.id = %node, "a link change is left to the next look");
        }
    });
    let replica = Replica::new(replica_id(&**entropy), plan.replica_url.clone());
    let directory = replica::directory();
    let replicas = Replicas::new(replica.id.clone(), verifier, Arc::clone(&directory) as _);
    let config = ControllerConfig::new(installation.id.clone(), signer, Arc::clone(clock));
    let controller = Controller::new(config.with_on_change(on_change).with_replicas(replicas));
    let control_urls = ControlUrls::new(own_urls(plan));
    let github = plan.github.app(http, Arc::clone(clock))?;
    let sign_in = plan.sign_in.as_ref().map(|sign_in| desk(sign_in, plan, base)).transpose()?;
    let sam = builder(plan, base, secrets)?
        .clock(Arc::clone(clock))
        .entropy(Arc::clone(entropy))
        .link(Arc::new(controller.clone()))
        .boot_key(keys.boot.clone())
        .control_urls(control_urls.clone())
        .installation(installation.id.clone())
        .policy(plan.policy.clone())
        .deliveries(Arc::new(GithubDeliveries::new(github.clone())))
        .build()?;
    directory.ask(sam.clone());
    let access = if plan.is_daemon {
        Access::Owner
    } else {
        Access::Token { sha256: installation.admin_sha256 }
    };
    Ok(App::new(AppParts {
        sam,
        controller,
        challenge: ChallengeKey::new(keys.challenge.clone()),
        server_keys: vec![server_key],
        access,
        replica,
        control_urls,
        upkeep: Some(Arc::clone(&backing.upkeep)),
        started_at: clock.now(),
        github,
        sign_in,
        webhook_secrets: plan.github.webhook_secrets.clone(),
        base_domain: plan.base_domain.clone(),
        local_repos: plan.local_repos,
        shutdown: CancellationToken::new(),
        daemon: plan.is_daemon.then(|| DaemonFacts { data_dir: plan.data_dir.clone() }),
    }))
}

/// Begins with everything that is bought, published and kept secret.
fn builder(plan: &Plan, base: &Base, secrets: Option<Secrets>) -> Result<SamBuilder> {
    let outside = || Ok(Outside::new(http()?, Arc::clone(&base.clock)));
    let local = Local {
        nodes_dir: plan.nodes_dir.clone(),
        agent_command: plan.agent_command.clone(),
        environment: plan.environment.clone(),
        control_dir: agents_dir(plan),
    };
    let mut bought = providers(&plan.providers, local, outside)?.into_iter();
    let usual = bought.next().ok_or_else(|| {
        Error::new(ErrorKind::Bug, "there is no provider at all").with_operation("start")
    })?;
    let mut builder = Sam::builder(Arc::clone(&base.backing.store), usual);
    for provider in bought {
        builder = builder.provider(provider);
    }
    if let Some(secrets) = secrets {
        builder = builder.secrets(secrets);
        // Without an address and an agent no machine of a cloud can become a node, whoever pays.
        if plan.providers.control_url.is_some() && plan.providers.boot.is_some() {
            builder = builder.connect(Arc::new(Clouds::new(&plan.providers, outside()?)?));
        }
    }
    let publishing = match &plan.publishing {
        Some(publishing) => Some(publishing.clone()),
        None => plan.naming.publishing(plan.base_domain.as_ref(), outside)?,
    };
    Ok(match publishing {
        Some(publishing) => builder.publish(publishing),
        None => builder,
    })
}

/// Opens the ring of keys beside the installation's keys, and with it the store of secrets.
async fn open_secrets(plan: &Plan, base: &Base) -> Result<Option<Secrets>> {
    let Some(store) = base.backing.secrets.clone() else { return Ok(None) };
    let ring = plan.keys_file.with_file_name(RING_FILE);
    let keys = FileKeys::open(FileKeysConfig::new(ring), Arc::clone(&base.entropy)).await?;
    Ok(Some(Secrets::new(Arc::new(keys), store)))
}

/// Makes what signs people in.
fn desk(sign_in: &SignInPlan, plan: &Plan, base: &Base) -> Result<SignInDesk> {
    let (clock, entropy) = (Arc::clone(&base.clock), Arc::clone(&base.entropy));
    let desk = SignInDesk::new(SignInParts {
        github: plan.github.sign_in(http, clock, Arc::clone(&entropy))?,
        forge: plan.github.endpoints.git_host().1.to_owned(),
        admission: sign_in.admission.clone(),
        site: sign_in.site.clone(),
        callback_path: sign_in.callback_path.clone(),
        key: base.installation.keys.sign_in(),
        entropy,
    })?;
    tracing::info!(callback = %desk.callback_url(), "people can sign in with GitHub");
    Ok(desk)
}

/// Makes the transport of the process. It reads the certificates of the system, so a process that
/// speaks to nobody does without.
fn http() -> Result<Arc<dyn HttpTransport>> {
    Ok(Arc::new(Http::new(&HttpConfig::default())?))
}

/// What the store must say of the installation, or is told.
fn claim(plan: &Plan, base: &Base) -> Result<InstallationRecord> {
    // A file has one server, which may be moved with its nodes; replicas must agree.
    let nodes = base.backing.is_shared.then(|| nodes_id(&plan.nodes_dir, &*base.entropy));
    let (id, fingerprint) = (base.installation.id.clone(), base.installation.fingerprint());
    Ok(InstallationRecord::new(id, fingerprint, nodes.transpose()?, base.clock.now()))
}

/// What begins once the schema is current.
struct Start {
    app: App,
    backing: Backing,
    claim: InstallationRecord,
}

impl Start {
    /// Checks whose store it is and joins the other replicas.
    async fn join(&self) -> Result<()> {
        let (sam, me) = (&self.app.sam, &self.app.replica);
        sam.claim_installation(&self.claim).await?;
        sam.join_replica(me).await?;
        let mut alive = sam.replicas().await?;
        if !self.backing.is_shared {
            // Nobody else can be there.
            for other in alive.iter().filter(|other| other.id != me.id) {
                sam.leave_replica(other).await?;
            }
            alive.retain(|replica| replica.id == me.id);
        }
        let swept = sam.sweep_links(&alive).await?;
        tracing::debug!(links = swept, "links of the dead were forgotten");
        Ok(())
    }

    /// Works until the shutdown.
    async fn work(self, joined: bool, links: Links) -> Result<()> {
        let shutdown = self.app.shutdown.clone();
        if !joined {
            let Some(current) = shutdown.run_until_cancelled(self.wait_until_current()).await
            else {
                return Ok(());
            };
            current?;
        }
        let looking_after = look_after(self.app.sam.clone(), Arc::clone(&self.backing.upkeep));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(looking_after));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(links.keep()));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(miss_links(self.app.clone())));
        if let Some(github) = self.app.github.clone() {
            let following = forget_changed(self.app.sam.clone(), github);
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(following));
        }
        self.app.sam.run(shutdown.cancelled()).await?;
        // Agents that come back look for another replica, not for us.
        if self.backing.is_shared
            && let Err(error) = self.app.sam.leave_replica(&self.app.replica).await
        {
            tracing::warn!(error = %Report::new(&error), "the other replicas were not told");
        }
        Ok(())
    }

    async fn wait_until_current(&self) -> Result<()> {
        loop {
            deadline::sleep(SCHEMA_LOOK).await;
            match self.backing.upkeep.schema().await {
                Ok(Schema::Current) => {
                    tracing::info!("the schema is the one this program knows: work begins");
                    return self.join().await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = %Report::new(&error), "the schema was not read");
                }
            }
        }
    }
}

/// Serves a router until the shutdown, then gives open requests a moment.
pub(crate) async fn serve<L>(listener: L, router: axum::Router, shutdown: CancellationToken)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    let farewell = async {
        shutdown.cancelled().await;
        deadline::sleep(FAREWELL).await;
    };
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::error!(%error, "a listener failed");
        },
        () = farewell => tracing::warn!("some requests were cut off"),
    }
}

/// Forgets what is old.
async fn look_after(sam: Sam, upkeep: Arc<dyn Upkeep>) {
    loop {
        deadline::sleep(TRIM_EVERY).await;
        if let Err(error) = upkeep.trim().await {
            tracing::warn!(error = %Report::new(&error), "the feed was not shortened");
        }
        if let Err(error) = sam.forget_unnamed_tokens().await {
            tracing::warn!(error = %Report::new(&error), "tokens that nobody names were not forgotten");
        }
        let sweep = async { sam.sweep_links(&sam.replicas().await?).await };
        if let Err(error) = sweep.await {
            tracing::warn!(error = %Report::new(&error), "links of the dead were not forgotten");
        }
    }
}

fn replica_id(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
