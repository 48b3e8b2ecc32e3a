//! Where sweeps look: the provider's lists and the records.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::answering::Answering;
use super::decide::decide;
use super::inventory::{self, Inventory};
use super::record::SweepRecord;
use super::rule::{Facts, Named, Standing, standing};
use crate::compute::{
    ComputeProvider, Labels, ListOwned, OwnedResource, OwnedResources, ProviderName, Providers,
};
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::policy::Policy;
use crate::published_name::Publishing;
use crate::store::{Epoch, Store};
use crate::time::{Clock, Timestamp};

/// A decision about a sweep.
pub type SweepDecision = Decision<SweepResource>;

/// What is there, and what do the records say?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepLook;

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum SweepObservation {
    /// Everything, compared.
    Swept(Result<Inventory>),
}

/// What is swept at once: all that one credential owns.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scope {
    /// Its name, such as `compute.hetzner`; at most 64 characters of `[a-z0-9._-]`.
    pub name: String,
    /// The provider whose nodes are missed when their machine is not listed.
    pub provider: Option<ProviderName>,
    /// Lists and deletes.
    pub source: Arc<dyn OwnedResources>,
}

impl Scope {
    /// Sweeps something that has no machines.
    pub const fn new(name: String, source: Arc<dyn OwnedResources>) -> Self {
        Self { name, provider: None, source }
    }

    /// What the scopes of compute providers begin with.
    const COMPUTE: &'static str = "compute.";

    /// Returns what the scope of a compute provider is called.
    pub fn name_of(provider: &ProviderName) -> String {
        format!("{}{}", Self::COMPUTE, provider.dotted())
    }

    /// Sweeps the names that an installation publishes.
    pub fn of_names(publishing: &Publishing) -> Self {
        Self::new(Publishing::SCOPE.to_owned(), Arc::new(publishing.owned()))
    }

    /// Sweeps what a compute provider made, where it can tell.
    pub fn of_compute(name: &ProviderName, compute: &Arc<dyn ComputeProvider>) -> Option<Self> {
        compute.owned()?;
        let source = Arc::new(OfCompute(Arc::clone(compute)));
        let (scope, provider) = (Self::name_of(name), Some(name.clone()));
        Some(Self { name: scope, provider, source })
    }
}

/// What a compute provider owns, as a thing of its own.
#[derive(Debug)]
struct OfCompute(Arc<dyn ComputeProvider>);

impl OfCompute {
    fn owned(&self) -> Result<&dyn OwnedResources> {
        self.0.owned().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("{} cannot tell what it made", self.0))
        })
    }
}

#[async_trait]
impl OwnedResources for OfCompute {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        self.owned()?.list_owned(query).await
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        self.owned()?.delete_owned(resource).await
    }
}

/// What sweeps and orphans reach: the scopes, and the records of one installation.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reach {
    /// The records.
    pub store: Arc<dyn Store>,
    /// What is swept, by name.
    pub scopes: BTreeMap<String, Scope>,
    /// Whose things are ours.
    pub installation: String,
    /// Makes the scopes of stored credentials.
    providers: Option<Arc<Providers>>,
}

impl Reach {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn Store>,
        scopes: impl IntoIterator<Item = Scope>,
        installation: String,
    ) -> Self {
        let scopes = scopes.into_iter().map(|scope| (scope.name.clone(), scope)).collect();
        Self { store, scopes, installation, providers: None }
    }

    /// Adds the scopes of stored credentials.
    #[must_use]
    pub fn with_providers(mut self, providers: Arc<Providers>) -> Self {
        self.providers = Some(providers);
        self
    }

    /// Returns a scope.
    ///
    /// # Errors
    /// `Unsupported` when this process was not given it: another replica may have been.
    pub(crate) async fn scope(&self, name: &str) -> Result<Scope> {
        if let Some(scope) = self.scopes.get(name) {
            return Ok(scope.clone());
        }
        let unknown = || {
            Error::new(ErrorKind::Unsupported, format!("no credential is configured for {name}"))
                .with_hint("configure it again, or delete what it bought by hand")
        };
        let named = name.strip_prefix(Scope::COMPUTE).map(ProviderName::from_dotted);
        match (&self.providers, named) {
            (Some(providers), Some(Ok(name))) if name.credential().is_some() => {
                let provider = providers.provider(&name).await?;
                Scope::of_compute(&name, &provider).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }

    pub(crate) async fn epoch(&self) -> Result<Epoch> {
        Ok(crate::store::head(&*self.store).await?.epoch)
    }

    /// Looks at one thing again: whose it is now, or `None` when it is not listed any more.
    pub(crate) async fn standing_of(
        &self,
        scope: &str,
        resource: &OwnedResource,
    ) -> Result<Option<Standing>> {
        let scope = self.scope(scope).await?;
        let mut labels = Labels::default();
        for label in Named::LABELS {
            if let Some(record) = resource.labels.value(label) {
                labels = labels.with(label, record)?;
            }
        }
        let listed = inventory::list(self, &scope, labels).await?;
        let place = (resource.sort.to_string(), resource.provider_id.clone());
        let Some(found) = listed.get(&place) else { return Ok(None) };
        let epoch = self.epoch().await?;
        let answering = self.answering(found).await?;
        let own_listed = answering.as_ref().is_some_and(|record| record.own_is_listed(&listed));
        let answer = answering.as_ref().map(Answering::answer);
        let facts = Facts::new(&self.installation, &epoch).with_answer(answer, own_listed);
        Ok(Some(standing(found, facts)))
    }
}

/// Carries sweeps.
#[derive(Debug)]
pub struct SweepResource {
    reach: Arc<Reach>,
    clock: Arc<dyn Clock>,
    policy: Policy,
}

impl SweepResource {
    /// Sweeps what it reaches.
    pub const fn new(reach: Arc<Reach>, clock: Arc<dyn Clock>, policy: Policy) -> Self {
        Self { reach, clock, policy }
    }
}

#[async_trait]
impl Resource for SweepResource {
    type Record = SweepRecord;
    type Look = SweepLook;
    type Effect = std::convert::Infallible;
    type Observation = SweepObservation;

    fn decide(
        &self,
        record: &SweepRecord,
        observation: Option<&SweepObservation>,
        now: Timestamp,
    ) -> Result<SweepDecision> {
        decide(record, observation, now, &self.policy)
    }

    fn intends(&self, _record: &SweepRecord, effect: &std::convert::Infallible) -> bool {
        match *effect {}
    }

    fn check(&self, _from: &SweepRecord, _to: &SweepRecord) -> Result<(), InvalidTransition> {
        Ok(())
    }

    fn lane(
        &self,
        record: &SweepRecord,
        _asked: Asked<'_, SweepLook, std::convert::Infallible>,
    ) -> Option<Lane> {
        Some(Lane::new("sweep", &record.scope))
    }

    async fn look(&self, record: &SweepRecord, _look: &SweepLook) -> SweepObservation {
        let (now, grace) = (self.clock.now(), self.policy.orphan_grace);
        SweepObservation::Swept(match self.reach.scope(&record.scope).await {
            Ok(scope) => inventory::take(&self.reach, &scope, now, grace).await,
            Err(error) => Err(error),
        })
    }

    async fn act(
        &self,
        _record: &SweepRecord,
        effect: &std::convert::Infallible,
    ) -> SweepObservation {
        match *effect {}
    }
}
