//! Putting the parts together, and checking that they agree.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{Parts, Sam};
use crate::Secret;
use crate::account::LoginResource;
use crate::auth::BootKey;
use crate::compute::{ComputeProvider, Labels, Providers};
use crate::credential::{Connect, CredentialResource, StoredProviders};
use crate::delivery::{DeliveryHandler, DeliveryResource};
use crate::engine::{Engine, EngineConfig};
use crate::entropy::{Entropy, SeededEntropy};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Stack;
use crate::node::NodeResource;
use crate::node_link::{MemoryLink, NodeLink};
use crate::orphan::OrphanResource;
use crate::policy::Policy;
use crate::published_name::{NameResource, Publishing};
use crate::replica::{ControlUrls, ReplicaResource};
use crate::request::RequestResource;
use crate::secrets::Secrets;
use crate::spend::SpendResource;
use crate::store::{Store, WorkerId};
use crate::sweep::{Reach, Scope, SweepResource};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::workspace::{IdleStop, WorkspaceResource};

/// Collects the parts of a [`Sam`].
///
/// What is not given is in memory and repeatable, good for tests: a clock that stands still,
/// seeded entropy, nodes that answer at once. [`SamBuilder::build`] refuses seeded entropy
/// together with a boot key that was not given once a real link is set, because its tokens could
/// be guessed.
#[derive(Debug)]
pub struct SamBuilder {
    store: Arc<dyn Store>,
    compute: Vec<Arc<dyn ComputeProvider>>,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    link: Option<Arc<dyn NodeLink>>,
    policy: Policy,
    engine: EngineConfig,
    boot_key: Option<Secret<[u8; 32]>>,
    control_urls: ControlUrls,
    installation: String,
    scopes: Vec<Scope>,
    deliveries: Option<Arc<dyn DeliveryHandler>>,
    secrets: Option<Secrets>,
    connect: Option<Arc<dyn Connect>>,
    publishing: Option<Publishing>,
}

impl SamBuilder {
    pub(super) fn new(store: Arc<dyn Store>, compute: Arc<dyn ComputeProvider>) -> Self {
        Self {
            store,
            compute: vec![compute],
            clock: None,
            entropy: None,
            link: None,
            policy: Policy::default(),
            engine: EngineConfig::default(),
            boot_key: None,
            control_urls: ControlUrls::new(["memory:"]),
            installation: "local".to_owned(),
            scopes: Vec::new(),
            deliveries: None,
            secrets: None,
            connect: None,
            publishing: None,
        }
    }

    /// Adds another provider beside the one that is used where nobody names one. Each is known by
    /// what its `Display` shows.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn ComputeProvider>) -> Self {
        self.compute.push(provider);
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the source of random bytes.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Sets how agents are reached.
    #[must_use]
    pub fn link(mut self, link: Arc<dyn NodeLink>) -> Self {
        self.link = Some(link);
        self
    }

    /// Sets the spans and bounds of decisions.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets when workspaces are stopped that nobody uses, unless they say otherwise: after how long
    /// without activity they are warned (never when absent), and how long after that they are
    /// stopped.
    #[must_use]
    pub fn idle_stop(mut self, after: Option<Duration>, warning: Duration) -> Self {
        self.policy.idle_stop_after = after;
        self.policy.idle_warning = warning;
        self
    }

    /// Sets the bounds of the engine.
    #[must_use]
    pub fn engine(mut self, engine: EngineConfig) -> Self {
        self.engine = engine;
        self
    }

    /// Sets the key that bootstrap tokens are made with; keep it, or nodes that are booting when
    /// this process ends cannot come in.
    #[must_use]
    pub fn boot_key(mut self, key: Secret<[u8; 32]>) -> Self {
        self.boot_key = Some(key);
        self
    }

    /// Sets where agents reach the control plane.
    #[must_use]
    pub fn control_url(mut self, url: impl Into<String>) -> Self {
        self.control_urls = ControlUrls::new([url]);
        self
    }

    /// Sets the addresses at which agents reach the control plane, which may change later on.
    #[must_use]
    pub fn control_urls(mut self, urls: ControlUrls) -> Self {
        self.control_urls = urls;
        self
    }

    /// Names the installation; everything it buys is labelled with it. Letters, digits, `._-`.
    #[must_use]
    pub fn installation(mut self, id: impl Into<String>) -> Self {
        self.installation = id.into();
        self
    }

    /// Adds what else is swept for things that no record answers for; what the compute provider made
    /// is, where it can tell.
    #[must_use]
    pub fn sweep(mut self, scope: Scope) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Sets what handles deliveries of a forge; without it none is taken in.
    #[must_use]
    pub fn deliveries(mut self, handler: Arc<dyn DeliveryHandler>) -> Self {
        self.deliveries = Some(handler);
        self
    }

    /// Sets what makes providers of stored credentials; together with [`SamBuilder::secrets`], owners can
    /// store credentials of their own.
    #[must_use]
    pub fn connect(mut self, connect: Arc<dyn Connect>) -> Self {
        self.connect = Some(connect);
        self
    }

    /// Sets where secrets are kept, and the keys that open them; without it none is kept.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// Publishes a name for every workspace that is created from now on, and sweeps names that are left
    /// over; without it none is published.
    #[must_use]
    pub fn publish(mut self, publishing: Publishing) -> Self {
        self.publishing = Some(publishing);
        self
    }

    /// Refuses parts that do not agree.
    fn check(&self) -> Result<()> {
        if self.link.is_some() && (self.entropy.is_none() || self.boot_key.is_none()) {
            return Err(Error::new(
                ErrorKind::BadInput,
                "a link needs real entropy and a boot key: tokens could be guessed otherwise",
            )
            .with_hint("call .entropy() and .boot_key() on the builder"));
        }
        check_idle(&self.policy)
    }

    /// Checks that the parts agree and puts them together.
    ///
    /// # Errors
    /// `BadInput` naming the part that is missing or wrong.
    pub fn build(self) -> Result<Sam> {
        self.check()?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(ManualClock::new(Timestamp::EPOCH)));
        let entropy: Arc<dyn Entropy> =
            self.entropy.unwrap_or_else(|| Arc::new(SeededEntropy::new(0)));
        let link: Arc<dyn NodeLink> = self.link.unwrap_or_else(|| Arc::new(MemoryLink::new()));
        let boot_key = self.boot_key.unwrap_or_else(|| fresh_key(&*entropy));
        let labels = Labels::default().with(Labels::INSTALLATION, &self.installation)?;
        let mut policy = self.policy;
        let boot_key = BootKey::new(boot_key);
        let store = || Arc::clone(&self.store);
        let stack = Stack::new(Arc::clone(&clock));
        let stored = self.secrets.clone().zip(self.connect);
        let stored = stored.map(|(secrets, it)| StoredProviders::new(store(), secrets, it, &stack));
        let providers = Arc::new(providers(self.compute, &stack)?.with_stored(stored));
        policy.create_settles_within = settling(&providers, policy.create_settles_within);
        let scopes = scopes(&providers, self.publishing.as_ref(), self.scopes);
        let installation = self.installation.clone();
        let reach = Reach::new(store(), scopes, self.installation);
        let reach = Arc::new(reach.with_providers(Arc::clone(&providers)));
        let compute = || Arc::clone(&providers);
        let node = NodeResource::new(
            store(),
            compute(),
            Arc::clone(&link),
            boot_key.clone(),
            self.control_urls,
        )
        .with_policy(policy.clone())
        .with_labels(labels);
        let (clock_too, entropy_too) = (Arc::clone(&clock), Arc::clone(&entropy));
        let workspace = WorkspaceResource::new(store(), link, clock_too, entropy_too, compute())
            .with_policy(policy.clone());
        let worker = worker_id(&*entropy);
        let (clock_too, entropy_too) = (Arc::clone(&clock), Arc::clone(&entropy));
        let engine = Engine::new(store(), clock_too, entropy_too, worker, self.engine)
            .with_resource(node)
            .with_resource(workspace)
            .with_resource(RequestResource)
            .with_resource(LoginResource)
            .with_resource(ReplicaResource::new(store()))
            .with_resource(SpendResource::new(store()))
            .with_resource(SweepResource::new(
                Arc::clone(&reach),
                Arc::clone(&clock),
                policy.clone(),
            ))
            .with_resource(OrphanResource::new(Arc::clone(&reach), policy.clone()))
            .with_resource(CredentialResource::new(
                store(),
                compute(),
                installation,
                policy.clone(),
            ));
        let handles_deliveries = self.deliveries.is_some();
        let engine = with_names(engine, self.publishing.as_ref(), &reach, (&clock, &policy));
        let engine = with_deliveries(engine, self.deliveries, store(), policy);
        let (store, secrets) = (self.store, self.secrets);
        Ok(Sam(Arc::new(Parts {
            store,
            providers,
            clock,
            entropy,
            boot_key,
            engine,
            reach,
            sweeps_known: AtomicBool::new(false),
            handles_deliveries,
            secrets,
            publishing: self.publishing,
        })))
    }
}

/// Puts the layers around each provider.
fn providers(given: Vec<Arc<dyn ComputeProvider>>, stack: &Stack) -> Result<Providers> {
    // No retry layer: the engine itself comes back, with its record at rest meanwhile.
    let mut layered = given.into_iter().map(|provider| stack.compute(provider));
    let usual = layered.next().ok_or_else(|| {
        Error::new(ErrorKind::BadInput, "an installation buys from one provider at least")
    })?;
    layered.try_fold(Providers::of(usual)?, Providers::with)
}

/// Returns everything that is swept.
fn scopes(providers: &Providers, publishing: Option<&Publishing>, given: Vec<Scope>) -> Vec<Scope> {
    let bought = providers.known().filter_map(|(name, it)| Scope::of_compute(name, it));
    bought.chain(publishing.map(Scope::of_names)).chain(given).collect()
}

/// Returns how long a create may settle where a record does not say: a recovered machine does not tell
/// what its provider claims.
fn settling(providers: &Providers, least: Duration) -> Duration {
    let claimed = providers.known().map(|(_, it)| it.capabilities().create_settles_within);
    claimed.fold(least, Duration::max)
}

fn fresh_key(entropy: &dyn Entropy) -> Secret<[u8; 32]> {
    let mut key = [0; 32];
    entropy.fill(&mut key);
    Secret::new(key)
}

/// Names this engine as no other is.
fn worker_id(entropy: &dyn Entropy) -> WorkerId {
    let mut worker = [0; 8];
    entropy.fill(&mut worker);
    WorkerId::new(format!("{:016x}", u64::from_be_bytes(worker)))
}

/// Carries published names where there are any.
fn with_names(
    engine: Engine,
    publishing: Option<&Publishing>,
    reach: &Reach,
    (clock, policy): (&Arc<dyn Clock>, &Policy),
) -> Engine {
    let Some(publishing) = publishing.cloned() else { return engine };
    let (store, installation) = (Arc::clone(&reach.store), reach.installation.clone());
    let names = NameResource::new(store, Arc::clone(clock), publishing, installation);
    engine.with_resource(names.with_policy(policy.clone()))
}

/// Carries deliveries where somebody handles them.
fn with_deliveries(
    engine: Engine,
    handler: Option<Arc<dyn DeliveryHandler>>,
    store: Arc<dyn Store>,
    policy: Policy,
) -> Engine {
    match handler {
        Some(handler) => engine.with_resource(DeliveryResource::new(store, handler, policy)),
        None => engine,
    }
}

/// Refuses spans that every decision would have to cut.
fn check_idle(policy: &Policy) -> Result<()> {
    let warning = Policy::IDLE_WARNING_MIN..=Policy::IDLE_WARNING_MAX;
    if !warning.contains(&policy.idle_warning) {
        return Err(Error::new(ErrorKind::BadInput, "idle_warning is 1 second to 24 hours"));
    }
    let after = IdleStop::AFTER_MIN..=IdleStop::AFTER_MAX;
    if policy.idle_stop_after.is_some_and(|span| !after.contains(&span)) {
        return Err(Error::new(ErrorKind::BadInput, "idle_stop_after is 1 second to 30 days"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::compute::MemoryCompute;
    use crate::layer::{Call, Layer, Layered};
    use crate::store::MemoryStore;

    /// A provider that never answers.
    #[derive(Debug)]
    struct Mute;

    impl Layer for Mute {
        async fn around<'a, T, A>(
            &'a self,
            _provider: &'a (dyn std::fmt::Display + Sync),
            _call: Call,
            _attempt: A,
        ) -> Result<T>
        where
            T: Send + 'a,
            A: Fn() -> futures_util::future::BoxFuture<'a, Result<T>> + Send + Sync + 'a,
        {
            std::future::pending().await
        }
    }

    #[test]
    fn secrets_are_kept_where_the_builder_was_told() {
        use crate::keys::MemoryKeys;
        use crate::secrets::MemorySecrets;
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let keys = Arc::new(MemoryKeys::new(Arc::new(SeededEntropy::new(1))));
        let secrets = Secrets::new(keys, Arc::new(MemorySecrets::new(Arc::clone(&clock))));
        let store = Arc::new(MemoryStore::new(clock));
        let builder = || Sam::builder(Arc::clone(&store) as _, Arc::new(MemoryCompute::new()));
        assert!(builder().build().unwrap().secrets().is_none());
        let sam = builder().secrets(secrets).build().unwrap();
        let (name, plain) = ("credential/1".parse().unwrap(), Secret::new(b"hunter2".to_vec()));
        let kept = sam.secrets().unwrap();
        kept.keep(&name, &plain).now_or_never().unwrap().unwrap();
        let opened = kept.open(&name).now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(opened.expose(), b"hunter2");
    }

    #[test]
    fn spans_of_the_idle_rule_outside_their_bounds_are_refused() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let kind = |after, warning| {
            let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
            let sam = Sam::builder(store, Arc::new(MemoryCompute::new()));
            sam.idle_stop(after, warning).build().map(drop).map_err(|error| error.kind())
        };
        let (hour, bad) = (Duration::from_hours(1), Err(ErrorKind::BadInput));
        assert_eq!(kind(None, hour), Ok(()));
        assert_eq!(kind(Some(hour), hour), Ok(()));
        assert_eq!(kind(Some(Duration::ZERO), hour), bad);
        assert_eq!(kind(Some(Duration::from_hours(24 * 31)), hour), bad);
        assert_eq!(kind(Some(hour), Duration::ZERO), bad);
        assert_eq!(kind(None, Duration::from_hours(25)), bad);
    }

    #[test]
    fn a_provider_that_never_answers_is_given_up_on() {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
        let mute = Arc::new(Layered::new(Mute, MemoryCompute::new()));
        let sam = Sam::builder(store, mute).clock(shared).build().unwrap();
        let (name, compute) = sam.providers().known().next().unwrap();
        assert_eq!(name.as_str(), "memory");
        let mut call = compute.catalog();
        assert!((&mut call).now_or_never().is_none());
        clock.advance(Stack::DEADLINE);
        let error = call.now_or_never().expect("its time is over").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}
