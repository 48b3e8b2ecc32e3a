//! Being one of several replicas: telling the others which links are held here, asking them who holds
//! the rest, and telling agents where else they can dial.
//!
//! A link is written when it opens and when it ends, never in between. The feed tells of what the
//! others write; what a feed that broke did not tell is looked at again when it is back. A replica says
//! every minute that it lives; the engine of any other forgets one that does not.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sam_agent::controller::{Controller, LinkDirectory};
use sam_core::replica::{ControlUrls, LinkRecord, Replica, ReplicaRecord};
use sam_core::{FeedItem, NodeId, Report, Result, Sam};
use tokio::sync::mpsc;

use crate::deadline;

/// Links that are written at once.
const WRITES_MAX: usize = 16;
/// Pause before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Asks the store who holds a link, each time: one read for each request that is passed on.
#[derive(Debug)]
pub(crate) struct StoredLinks(OnceLock<Sam>);

impl StoredLinks {
    /// Says who is asked: the controller needs a directory before there is a [`Sam`].
    pub(crate) fn ask(&self, sam: Sam) {
        // Called once, where both are made.
        let _first = self.0.set(sam);
    }
}

#[async_trait]
impl LinkDirectory for StoredLinks {
    async fn holder(&self, node: NodeId) -> Result<Option<Replica>> {
        let Some(sam) = self.0.get() else { return Ok(None) };
        Ok(sam.link_of(node).await?.map(|link| link.replica))
    }

    async fn gone(&self, node: NodeId, holder: &Replica) {
        let Some(sam) = self.0.get() else { return };
        let forget = async {
            if let Some(link) = sam.link_of(node).await?.filter(|link| link.replica == *holder) {
                sam.close_link(&link).await?;
            }
            // Should it live after all, it says so again.
            sam.leave_replica(holder).await
        };
        if let Err(error) = forget.await {
            tracing::warn!(replica.url = holder.url, error = %Report::new(&error), "a replica that is gone was not forgotten");
        }
    }
}

/// What this replica tells the others.
pub(crate) struct Links {
    pub(crate) sam: Sam,
    pub(crate) controller: Controller,
    pub(crate) me: Replica,
    /// Agents on this computer dial these first.
    pub(crate) own_urls: Vec<String>,
    pub(crate) control_urls: ControlUrls,
    /// Nodes whose link here came up or went down.
    pub(crate) changes: mpsc::Receiver<NodeId>,
    /// What is written of each node that is connected here, with the link's number.
    pub(crate) written: BTreeMap<NodeId, Written>,
}

type Written = (u64, LinkRecord);

/// What to look at.
#[derive(Debug, Default)]
struct Due {
    nodes: BTreeSet<NodeId>,
    replicas: bool,
    renewal: bool,
}

impl Links {
    /// Keeps the store true to what is here, until it is dropped.
    pub(crate) async fn keep(mut self) {
        let mut feed = self.follow().await;
        let mut due = Due {
            nodes: self.controller.connected().into_iter().collect(),
            replicas: true,
            renewal: false,
        };
        // Its own time: what else happens does not put a renewal off.
        let mut renewal = self.next_renewal();
        loop {
            let retry = !self.settle(&mut due).await;
            tokio::select! {
                () = &mut renewal => {
                    due.renewal = true;
                    renewal = self.next_renewal();
                }
                changed = self.changes.recv() => match changed {
                    Some(node) => drop(due.nodes.insert(node)),
                    None => return,
                },
                item = feed.next() => if let Some(Ok(item)) = item {
                    self.heard(&item, &mut due);
                } else {
                    deadline::sleep(RETRY).await;
                    feed = self.follow().await;
                    due.replicas = true;
                    due.nodes.extend(self.controller.connected());
                    due.nodes.extend(self.written.keys());
                },
                () = deadline::sleep(RETRY), if retry => {}
            }
            // What came in the meantime is settled with it.
            while let Ok(node) = self.changes.try_recv() {
                due.nodes.insert(node);
            }
        }
    }

    /// Completes when this replica must say that it lives; never where no other could look for it.
    fn next_renewal(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if self.me.url.is_empty() {
            return Box::pin(std::future::pending());
        }
        Box::pin(deadline::sleep(ReplicaRecord::RENEW_EVERY))
    }

    async fn follow(&self) -> BoxStream<'static, Result<FeedItem>> {
        match self.sam.head().await {
            Ok(head) => self.sam.feed(head),
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    fn heard(&self, item: &FeedItem, due: &mut Due) {
        match item {
            FeedItem::Change { change, .. } if change.key.kind == LinkRecord::KIND => {
                if let Ok(node) = change.key.id.parse::<NodeId>()
                    && (self.written.contains_key(&node) || self.controller.is_connected(node))
                {
                    due.nodes.insert(node);
                }
            }
            FeedItem::Change { change, .. } if change.key.kind == ReplicaRecord::KIND => {
                let id = change.key.id.as_str();
                let missed = ["replica_missed", "replica_lapsed"].contains(&change.event.as_str());
                if missed && id == self.me.id {
                    due.renewal = true;
                } else if missed {
                    tracing::warn!(
                        replica.id = id,
                        change.event,
                        "a replica does not say that it lives"
                    );
                }
                // That one lives changes nothing of who there is.
                due.replicas |= change.event != "replica_renewed";
            }
            FeedItem::Stale { .. } => {
                due.replicas = true;
                due.nodes.extend(self.controller.connected());
            }
            _ => {}
        }
    }

    /// Does what is due; returns whether nothing is left to try again.
    async fn settle(&mut self, due: &mut Due) -> bool {
        if due.renewal {
            match self.sam.renew_replica(&self.me).await {
                Ok(()) => due.renewal = false,
                Err(error) => {
                    tracing::warn!(error = %Report::new(&error), "the others were not told that we live");
                }
            }
        }
        if due.replicas {
            match self.tell_agents().await {
                Ok(()) => due.replicas = false,
                Err(error) => {
                    tracing::warn!(error = %Report::new(&error), "the replicas were not read");
                }
            }
        }
        let nodes = std::mem::take(&mut due.nodes);
        let settling = nodes.into_iter().map(|node| {
            let known = self.written.get(&node).cloned();
            let this = &*self;
            async move { (node, this.settle_link(node, known).await) }
        });
        let settled: Vec<_> = stream::iter(settling).buffer_unordered(WRITES_MAX).collect().await;
        for (node, outcome) in settled {
            match outcome {
                Ok(Some(written)) => drop(self.written.insert(node, written)),
                Ok(None) => drop(self.written.remove(&node)),
                Err(error) => {
                    tracing::warn!(node.id = %node, error = %Report::new(&error), "a link was not written");
                    due.nodes.insert(node);
                }
            }
        }
        due.nodes.is_empty() && !due.replicas && !due.renewal
    }

    /// Makes the record of a node's link true; returns what is written of it then.
    async fn settle_link(&self, node: NodeId, known: Option<Written>) -> Result<Option<Written>> {
        let Some(number) = self.controller.link_number(node) else {
            return match known {
                None => Ok(None),
                Some((_, link)) => self.sam.close_link(&link).await.map(|_| None),
            };
        };
        if let Some((written, link)) = known
            && written == number
        {
            match self.sam.link_of(node).await? {
                Some(now) if now == link => return Ok(Some((number, link))),
                // Another replica wrote its own after ours: the agent has dialled it since.
                Some(now) if now.replica != self.me && now.link_epoch > link.link_epoch => {
                    tracing::info!(node.id = %node, replica.url = now.replica.url, "a newer link is elsewhere");
                    self.controller.cut(node, number);
                    return Ok(None);
                }
                _ => {}
            }
        }
        let link = self.sam.open_link(node, &self.me).await?;
        Ok(Some((number, link)))
    }

    /// Tells the agents, and nodes to come, which replicas there are.
    async fn tell_agents(&self) -> Result<()> {
        let replicas = self.sam.replicas().await?;
        if !replicas.iter().any(|replica| replica.id == self.me.id) {
            // Somebody thought us gone.
            self.sam.join_replica(&self.me).await?;
        }
        let others = replicas.into_iter().filter(|replica| replica.id != self.me.id);
        let urls = others.map(|replica| replica.url).filter(|url| url.starts_with("http"));
        self.control_urls.set(self.own_urls.iter().cloned().chain(urls));
        Ok(())
    }
}

/// Returns the addresses that an agent on any computer may be told.
pub(crate) fn public(urls: &ControlUrls) -> Vec<String> {
    urls.list().into_iter().filter(|url| url.starts_with("http")).collect()
}

/// Puts a directory of links in place before there is a [`Sam`] to ask.
pub(crate) fn directory() -> Arc<StoredLinks> {
    Arc::new(StoredLinks(OnceLock::new()))
}
