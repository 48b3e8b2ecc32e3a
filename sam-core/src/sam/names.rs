//! Published names: written with their workspaces, and read beside them.

use std::collections::BTreeMap;

use super::Sam;
use crate::engine::{Stamped, Stored as _, decode, encode};
use crate::error::Result;
use crate::id::WorkspaceId;
use crate::published_name::{NameRecord, Publishing};
use crate::store::{Due, Expect, Write};
use crate::workspace::WorkspaceRecord;

impl Sam {
    /// Returns how names are published, where they are.
    pub fn publishing(&self) -> Option<&Publishing> {
        self.0.publishing.as_ref()
    }

    /// Returns the published name of a workspace, in whatever state; `None` where it was created
    /// without one.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when the record cannot be read.
    pub async fn published_name(&self, id: WorkspaceId) -> Result<Option<Stamped<NameRecord>>> {
        let stored = self.0.store.load(&NameRecord::key_of(id)).await?;
        stored.as_ref().map(decode::<NameRecord>).transpose()
    }

    /// Returns the published names of several workspaces, in whatever state. It costs one read for each,
    /// and none where this installation publishes no names.
    ///
    /// # Errors
    /// As [`Sam::published_name`].
    pub async fn published_names(
        &self,
        ids: impl IntoIterator<Item = WorkspaceId> + Send,
    ) -> Result<BTreeMap<WorkspaceId, NameRecord>> {
        let mut names = BTreeMap::new();
        if self.0.publishing.is_none() {
            return Ok(names);
        }
        let ids: Vec<_> = ids.into_iter().collect();
        for id in ids {
            if let Some(name) = self.published_name(id).await? {
                names.insert(id, name.record);
            }
        }
        Ok(names)
    }

    /// Writes the name that is to be published for a new workspace, in the same commit.
    pub(super) async fn name_request(&self, workspace: &WorkspaceRecord) -> Result<Option<Write>> {
        let Some(publishing) = &self.0.publishing else { return Ok(None) };
        let epoch = crate::store::head(&*self.0.store).await?.epoch;
        let name = NameRecord::requested(
            workspace.id,
            workspace.owner.clone(),
            publishing.name_of(workspace.id)?.to_string(),
            epoch.as_str().to_owned(),
            workspace.created_at,
        );
        let write = Write::put(name.key(), Expect::Absent, encode(&name)?, "name_requested");
        Ok(Some(write.with_index(name.index()).with_due(Due::NOW)))
    }
}
