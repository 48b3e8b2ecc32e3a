//! What must hold of published names: nothing is in the DNS that no record answers for.

use futures_util::future::FutureExt as _;

use super::super::dns::{base, workspace_of};
use super::Audit;
use super::facts::{Facts, NameFacts};
use crate::dns::{DnsProvider as _, ListRecords, RecordName};
use crate::id::WorkspaceId;
use crate::published_name::{NameRecord, NameState};
use crate::store::Change;
use crate::workspace::{WorkspaceRecord, WorkspaceWish};

impl Audit {
    fn name_of(&self, id: WorkspaceId) -> Option<&NameFacts> {
        match &self.records.get(&NameRecord::key_of(id))?.facts {
            Facts::Name(name) => Some(name),
            Facts::Node(_) | Facts::Workspace(_) | Facts::Other => None,
        }
    }

    /// Every name in the DNS, and every mark.
    fn zone(&self) -> Result<Vec<RecordName>, String> {
        let (Some(zone), Some(base)) = (self.world.zone(), base()) else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        let mut query = ListRecords::new(base);
        loop {
            let listing = zone.list_records(&query).now_or_never();
            let page = listing.and_then(Result::ok).ok_or("the zone in memory does not answer")?;
            names.extend(page.items.into_iter().map(|set| set.key().name.clone()));
            if page.next.is_none() {
                return Ok(names);
            }
            query = query.with_after(page.next);
        }
    }

    /// No name that no record answers for, and none before its record announced it or after it was
    /// called deleted.
    pub(super) fn zone_is_known(&self) -> Result<(), String> {
        for name in self.zone()? {
            let state = workspace_of(&name).and_then(|id| self.name_of(id)).map(|it| it.state);
            match state {
                Some(NameState::Putting | NameState::Published | NameState::Deleting) => {}
                Some(NameState::Requested) => {
                    return Err(format!("I1: the name {name} before its intention"));
                }
                Some(NameState::Deleted) => {
                    return Err(format!("I4: the name {name} outlives its record"));
                }
                None => return Err(format!("I4: the name {name} without a record")),
            }
        }
        Ok(())
    }

    /// A name is called published only once it is in the DNS.
    pub(super) fn name_published(&self, change: &Change) -> Result<(), String> {
        let published = |name: &RecordName| {
            !name.as_str().starts_with('_')
                && workspace_of(name).is_some_and(|id| id.to_string() == *change.key.id)
        };
        if self.zone()?.iter().any(published) {
            return Ok(());
        }
        Err(format!("early: {} at revision {}, and it is not there", change.key, change.rev))
    }

    pub(super) fn unsettled_name(&self, name: &NameFacts) -> Option<String> {
        let key = WorkspaceRecord::key_of(name.workspace);
        let wanted = match &self.records.get(&key)?.facts {
            Facts::Workspace(workspace) => workspace.wish != WorkspaceWish::Deleted,
            Facts::Name(_) | Facts::Node(_) | Facts::Other => false,
        };
        let shall_be = if wanted { NameState::Published } else { NameState::Deleted };
        let (id, state) = (name.workspace, name.state);
        let (is, shall) = (state.code(), shall_be.code());
        (state != shall_be).then(|| format!("the name of {id} is {is} and shall be {shall}"))
    }
}
