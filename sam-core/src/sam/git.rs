//! What a node may ask for git in its workspaces.

use super::{Caller, Sam};
use crate::engine::Stamped;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, WorkspaceId};
use crate::workspace::{ForgeRepository, WorkspaceRecord, WorkspaceState};

impl Sam {
    /// Returns a workspace for its node, as long as something may run in it there.
    ///
    /// # Errors
    /// `Denied` when the workspace is not on this node, or has ended; what the store answered.
    pub async fn workspace_on(
        &self,
        node: NodeId,
        id: WorkspaceId,
    ) -> Result<Stamped<WorkspaceRecord>> {
        let found = self.workspace(id).await?;
        found.filter(|workspace| is_at_work_on(&workspace.record, node)).ok_or_else(|| {
            // The same for one that is elsewhere and one that never was.
            Error::new(ErrorKind::Denied, format!("no workspace {id} is at work on {node}"))
                .with_hint("start the workspace, then try again")
        })
    }

    /// Writes down which repository of its forge a workspace has. The first number stays: a
    /// workspace's repository does not become another one because somebody took its name. The grant
    /// may change. Repeatable.
    ///
    /// # Errors
    /// `Denied` when it has another repository; `NotFound`; what the store answered.
    pub async fn know_repository(
        &self,
        id: WorkspaceId,
        repository: &ForgeRepository,
        caller: &Caller,
    ) -> Result<Stamped<WorkspaceRecord>> {
        self.change_workspace(id, caller, "repository_known", |record| match &record.forge {
            Some(known) if known == repository => Ok(None),
            Some(known) if known.number != repository.number => {
                let text = format!("{} is the name of another repository by now", record.repo);
                Err(Error::new(ErrorKind::Denied, text)
                    .with_hint("make a new workspace of it, should you want that one"))
            }
            _ => Ok(Some(WorkspaceRecord { forge: Some(repository.clone()), ..record.clone() })),
        })
        .await
    }
}

fn is_at_work_on(record: &WorkspaceRecord, node: NodeId) -> bool {
    let is_at_work = match record.state {
        WorkspaceState::Preparing
        | WorkspaceState::Starting
        | WorkspaceState::Running
        | WorkspaceState::Stopping => true,
        WorkspaceState::Requested
        | WorkspaceState::Placing
        | WorkspaceState::Stopped
        | WorkspaceState::Failed
        | WorkspaceState::Interrupted
        | WorkspaceState::Deleting
        | WorkspaceState::Deleted => false,
    };
    is_at_work && record.node == Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::compute::MemoryCompute;
    use crate::store::MemoryStore;
    use crate::time::{ManualClock, Timestamp};
    use crate::workspace::{NewWorkspace, WorkspaceName};

    #[test]
    fn a_workspace_keeps_the_repository_it_was_first_given() {
        let done = futures_util::FutureExt::now_or_never(async {
            let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
            let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
            let compute = Arc::new(MemoryCompute::new());
            let sam = Sam::builder(store, compute).clock(clock).build().unwrap();
            let caller = Caller::named("ann");
            let new = NewWorkspace::new("octo/hello".parse().unwrap());
            let id = sam.create_workspace(new, &caller).await.unwrap().record.id;
            let known = |grant: &str, number| ForgeRepository::new(grant.parse().unwrap(), number);
            let know = async |repository| sam.know_repository(id, &repository, &caller).await;
            let first = know(known("1", 7)).await.unwrap();
            // Again is nothing new; elsewhere is.
            assert_eq!(know(known("1", 7)).await.unwrap().version, first.version);
            let moved = know(known("2", 7)).await.unwrap();
            assert!(moved.version > first.version);
            let refused = know(known("2", 8)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Denied);
            let stored = sam.workspace(id).await.unwrap().unwrap().record.forge;
            assert_eq!(stored, Some(known("2", 7)));
        });
        done.unwrap();
    }

    #[test]
    fn a_node_speaks_for_the_workspaces_at_work_on_it_alone() {
        let new = NewWorkspace::new("octo/hello".parse().unwrap());
        let name = WorkspaceName::suggested("hello");
        let id = WorkspaceId::from_bits(1);
        let mut record = new.into_record(id, name, "ann".to_owned(), Timestamp::EPOCH);
        record.node = Some(NodeId::from_bits(7));
        let at_work = ["preparing", "running", "starting", "stopping"];
        for state in WorkspaceState::ALL {
            record.state = state;
            let expected = at_work.contains(&state.code());
            assert_eq!(is_at_work_on(&record, NodeId::from_bits(7)), expected, "{state:?}");
            assert!(!is_at_work_on(&record, NodeId::from_bits(8)), "{state:?}");
        }
    }
}
