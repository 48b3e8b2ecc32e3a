//! What must hold at the end: the whole feed read again, the records it makes, the names that are
//! held, and nothing secret anywhere.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::FutureExt as _;

use super::super::compute::SimCompute;
use super::facts::Facts;
use super::{Audit, now, read};
use crate::entropy::SeededEntropy;
use crate::id::CommitId;
use crate::node::NodeRecord;
use crate::request::RequestRecord;
use crate::store::{
    Actor, Change, ChangeOp, Commit, CommitError, Cursor, Feed, Kind, ListQuery, Record, RecordKey,
    Refusal, Rev, UniqueChange,
};
use crate::time::Timestamp;
use crate::workspace::{WorkspaceRecord, WorkspaceState};

impl Audit {
    /// Checks everything that is checked once.
    pub(in super::super) fn end(&self) -> Result<(), String> {
        self.read_again()?;
        self.replayed()?;
        self.names()?;
        self.no_secrets()
    }

    /// The feed read from its beginning is the feed that was read as it grew (I6).
    fn read_again(&self) -> Result<(), String> {
        let mut cursor = Cursor::new(self.cursor.epoch.clone(), Rev(0));
        let mut known = self.log.iter();
        loop {
            let Feed::Changes(page) = read(&*self.store, Some(&cursor))? else {
                return Err("I6: the feed's own cursor is stale".to_owned());
            };
            let Some(last) = page.changes.last() else { break };
            cursor.rev = last.rev;
            for change in &page.changes {
                if known.next() != Some(change) {
                    return Err(format!("I6: revision {} reads differently now", change.rev));
                }
            }
        }
        match known.next() {
            None => Ok(()),
            Some(change) => Err(format!("I6: revision {} is no longer in the feed", change.rev)),
        }
    }

    /// The records are exactly those that the feed makes (I7).
    fn replayed(&self) -> Result<(), String> {
        let mut replay: BTreeMap<&RecordKey, &Change> = BTreeMap::new();
        for change in &self.log {
            match change.op {
                ChangeOp::Delete => drop(replay.remove(&change.key)),
                ChangeOp::Put => drop(replay.insert(&change.key, change)),
            }
        }
        let mut kinds: BTreeSet<&Kind> = self.log.iter().map(|change| &change.key.kind).collect();
        let known = [NodeRecord::KIND, WorkspaceRecord::KIND, RequestRecord::KIND];
        kinds.extend(&known);
        for kind in kinds {
            let mut query = ListQuery::new(kind.clone());
            loop {
                let page = now(self.store.list(&query))?;
                for record in &page.items {
                    match replay.remove(&record.key) {
                        Some(change) if same(record, change) => {}
                        Some(_) => {
                            return Err(format!("I7: {} is not what the feed says", record.key));
                        }
                        None => return Err(format!("I7: {} is not in the feed", record.key)),
                    }
                }
                if page.next.is_none() {
                    break;
                }
                query = query.with_after(page.next);
            }
        }
        match replay.first_key_value() {
            None => Ok(()),
            Some((key, _)) => Err(format!("I7: {key} is in the feed and not in the store")),
        }
    }

    /// A name is held by the workspace that lives under it, and free once that is deleted.
    fn names(&self) -> Result<(), String> {
        let entropy = SeededEntropy::new(0);
        let stranger = RecordKey::new(WorkspaceRecord::KIND, "stranger");
        let workspaces = self.records.values().filter_map(|seen| match &seen.facts {
            Facts::Workspace(workspace) => {
                let name = format!("{}/{}", workspace.owner, workspace.name);
                Some((name, workspace.state == WorkspaceState::Deleted, workspace.id))
            }
            Facts::Name(_) | Facts::Node(_) | Facts::Other => None,
        });
        let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (name, deleted, id) in workspaces {
            let holder = names.entry(name).or_default();
            if !deleted && holder.replace(id.to_string()).is_some() {
                return Err(format!("I2: two live workspaces under the name of {id}"));
            }
        }
        for (name, holder) in names {
            let id = CommitId::new(Timestamp::EPOCH, &entropy);
            let (key, by) = (name.clone(), stranger.clone());
            let claim = UniqueChange::Claim { space: WorkspaceRecord::NAMES, key, holder: by };
            let commit = Commit::new(id, Actor::system()).with_unique(claim);
            let Some(result) = self.store.commit(commit).now_or_never() else { continue };
            let holds = match result {
                Ok(_) => None,
                Err(CommitError::Refused(Refusal::UniqueTaken { holder, .. })) => Some(holder.id),
                Err(error) => return Err(error.to_string()),
            };
            if holds != holder {
                return Err(format!("orphan: {name} is held by {holds:?}, not {holder:?}"));
            }
        }
        Ok(())
    }

    /// Nothing that was handed out in confidence is in the feed (I8).
    fn no_secrets(&self) -> Result<(), String> {
        let secrets = self.world.lock().secrets.clone();
        for change in &self.log {
            let shown = |secret: &str| change.body.contains(secret);
            if shown(SimCompute::CANARY) || secrets.iter().any(|secret| shown(secret)) {
                return Err(format!("I8: a secret is in revision {}", change.rev));
            }
        }
        Ok(())
    }
}

/// Whether a record is what its last change says.
fn same(record: &Record, change: &Change) -> bool {
    record.version == change.version && record.rev == change.rev && record.body == change.body
}
