//! Taking stock: every page of what a credential owns, joined with the records.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answering::{Answering, Listed};
use super::record::Tally;
use super::resource::{Reach, Scope};
use super::rule::{Facts, Reason, Standing, standing};
use crate::compute::{Labels, ListOwned, OwnedResource, ProviderName};
use crate::engine::{Stamped, decode};
use crate::error::{Error, ErrorKind, Report, Result};
use crate::id::NodeId;
use crate::node::{NodeRecord, NodeState};
use crate::orphan::OrphanRecord;
use crate::store::{Epoch, ListQuery};
use crate::time::Timestamp;

/// What the records must learn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A node's machine is known under another id than the provider's.
    Corrected {
        /// The node with the right id.
        node: Box<NodeRecord>,
        /// The version its record has.
        version: u64,
    },
    /// Something that no record answers for.
    Orphan(Box<OrphanRecord>),
    /// A machine that no record knew, as a node.
    Recovered(Box<NodeRecord>),
}

/// Everything a credential owns, compared with the records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Inventory {
    /// What the records must learn; at most [`Inventory::FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Nodes whose machine was not listed; at most [`Inventory::VANISHED_MAX`]. They are looked at:
    /// only the provider's answer about the machine itself makes one Lost.
    pub vanished: Vec<NodeId>,
    /// Whether there were more findings.
    pub is_cut: bool,
    /// What was counted.
    pub tally: Tally,
}

impl Inventory {
    /// Most findings written at once.
    pub const FINDINGS_MAX: usize = 32;
    /// Most nodes woken at once.
    pub const VANISHED_MAX: usize = 64;
    /// Most pages read.
    pub const PAGES_MAX: usize = 2_000;
    /// Most things listed.
    pub const RESOURCES_MAX: usize = 100_000;
}

/// Takes stock of a scope.
///
/// Things are listed before records are read, so a node that is asked for meanwhile has its record by
/// then.
///
/// # Errors
/// What the provider or the store answered; `QuotaExceeded` when there is more than the bounds let
/// in.
pub(super) async fn take(
    reach: &Reach,
    scope: &Scope,
    now: Timestamp,
    grace: Duration,
) -> Result<Inventory> {
    let listed = list(reach, scope, Labels::default()).await?;
    let epoch = reach.epoch().await?;
    let mut stock = Stock { reach, scope, epoch, now, inventory: Inventory::default() };
    let mut seen = BTreeSet::new();
    for resource in listed.values() {
        let answering = reach.answering(resource).await?;
        if let Some(node) = answering.as_ref().and_then(Answering::node) {
            seen.insert(node.record.id);
        }
        stock.add(resource, answering.as_ref(), &listed).await?;
    }
    if let Some(provider) = &scope.provider {
        stock.miss(provider, &seen, grace).await?;
    }
    Ok(stock.inventory)
}

/// Lists everything that carries our label and these others.
pub(super) async fn list(reach: &Reach, scope: &Scope, others: Labels) -> Result<Listed> {
    let labels = others.with(Labels::INSTALLATION, &reach.installation)?;
    let mut query = ListOwned::new(labels);
    let mut listed = Listed::new();
    for _ in 0..Inventory::PAGES_MAX {
        let page = scope.source.list_owned(&query).await?;
        for resource in page.items {
            // A thing that moved between pages while they were read counts once.
            listed.insert((resource.sort.to_string(), resource.provider_id.clone()), resource);
        }
        if listed.len() > Inventory::RESOURCES_MAX {
            break;
        }
        match page.next {
            None => return Ok(listed),
            Some(next) => query = query.with_after(Some(next)),
        }
    }
    let (pages, most) = (Inventory::PAGES_MAX, Inventory::RESOURCES_MAX);
    let message = format!("more than {pages} pages or {most} things are listed under our label");
    Err(Error::new(ErrorKind::QuotaExceeded, message)
        .with_hint("split the account, or delete by hand what is not needed"))
}

struct Stock<'a> {
    reach: &'a Reach,
    scope: &'a Scope,
    epoch: Epoch,
    now: Timestamp,
    inventory: Inventory,
}

impl Stock<'_> {
    async fn add(
        &mut self,
        resource: &OwnedResource,
        answering: Option<&Answering>,
        listed: &Listed,
    ) -> Result<()> {
        let own_listed = answering.is_some_and(|record| record.own_is_listed(listed));
        let facts = Facts::new(&self.reach.installation, &self.epoch)
            .with_answer(answering.map(Answering::answer), own_listed);
        let tally = &mut self.inventory.tally;
        tally.listed += 1;
        match standing(resource, facts) {
            Standing::Strange => tally.strange += 1,
            Standing::Known => {
                tally.known += 1;
                if let Some(node) = answering.and_then(Answering::node)
                    && let Some(corrected) = corrected(resource, node)
                {
                    self.find(corrected);
                }
            }
            Standing::Recover(id) => match self.scope.provider.clone() {
                Some(provider) => self.recover(resource, id, provider),
                // Nobody could delete it as a node.
                None => self.orphan(resource, Reason::Unclear).await?,
            },
            Standing::Orphan(reason) => self.orphan(resource, reason).await?,
        }
        Ok(())
    }

    fn recover(&mut self, resource: &OwnedResource, id: NodeId, provider: ProviderName) {
        self.inventory.tally.recovered += 1;
        let owner = resource.labels.value(Labels::OWNER).unwrap_or("unknown").to_owned();
        let id_there = resource.provider_id.clone();
        let node = NodeRecord::recovered(id, owner, provider, id_there, self.now);
        self.find(Finding::Recovered(Box::new(node)));
    }

    async fn orphan(&mut self, resource: &OwnedResource, reason: Reason) -> Result<()> {
        self.inventory.tally.orphans += 1;
        let scope = self.scope.name.clone();
        let orphan = OrphanRecord::found(scope, resource.clone(), reason, self.now);
        let key = OrphanRecord::key_of(&orphan.id());
        if self.reach.store.load(&key).await?.is_none() {
            self.find(Finding::Orphan(Box::new(orphan)));
        }
        Ok(())
    }

    fn find(&mut self, finding: Finding) {
        if self.inventory.findings.len() < Inventory::FINDINGS_MAX {
            self.inventory.findings.push(finding);
        } else {
            self.inventory.is_cut = true;
        }
    }

    /// Notices nodes whose machine should be listed and is not.
    async fn miss(
        &mut self,
        provider: &ProviderName,
        seen: &BTreeSet<NodeId>,
        grace: Duration,
    ) -> Result<()> {
        let mut after = None;
        loop {
            let query = ListQuery::new(NodeRecord::KIND)
                .with_filter(NodeRecord::BY_PROVIDER, provider.as_str())
                .with_after(after)
                .with_limit(ListQuery::LIMIT_MAX);
            let page = self.reach.store.list(&query).await?;
            for record in &page.items {
                let node = match decode::<NodeRecord>(record) {
                    Ok(node) => node.record,
                    // One record that cannot be read hides no other.
                    Err(error) => {
                        tracing::error!(record = %record.key, error = %Report::new(&error), "record passed over");
                        continue;
                    }
                };
                let expected = node.provider_id.is_some()
                    && matches!(
                        node.state,
                        NodeState::Booting | NodeState::Ready | NodeState::Unreachable
                    )
                    && self.now.since(node.state_at) >= grace;
                if expected && !seen.contains(&node.id) {
                    self.inventory.tally.vanished += 1;
                    if self.inventory.vanished.len() < Inventory::VANISHED_MAX {
                        self.inventory.vanished.push(node.id);
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// A record that names a machine which is not listed, while another of its key is: the reply that told
/// its id was of another attempt.
fn corrected(resource: &OwnedResource, node: &Stamped<NodeRecord>) -> Option<Finding> {
    let known = node.record.provider_id.as_deref()?;
    let drifted = resource.sort == OwnedResource::MACHINE
        && resource.key.as_deref() == Some(node.record.machine_key().as_str())
        && known != resource.provider_id;
    drifted.then(|| {
        let provider_id = Some(resource.provider_id.clone());
        let record = NodeRecord { provider_id, ..node.record.clone() };
        Finding::Corrected { node: Box::new(record), version: node.version }
    })
}
