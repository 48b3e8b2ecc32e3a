//! The link as a whole, from the controller to the checkout, held to the suite of [`NodeLink`]:
//! each case gets a server, a WebSocket, an agent and a repository of its own.

use std::fmt;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use tokio::runtime::Runtime;

use sam_core::node_link::NodeLink;
use sam_core::testkit::conformance::node_link::{LinkHarness, Processes, trials};
use sam_core::testkit::conformance::{BoxFuture, Failure, Harness, Outcome, check};
use sam_core::workspace::RepoRef;

use super::super::checkout::tests::Repo;
use super::*;

/// Longest life of a case.
const CASE_DEADLINE: Duration = Duration::from_mins(1);

struct Linked {
    rig: Rig,
    repo: Repo,
    holder: Arc<FakeHolder>,
    workspaces: AtomicU64,
    // Last, so that it goes last.
    runtime: Runtime,
}

impl Linked {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let holder = Arc::new(FakeHolder::default());
        let rig = runtime.block_on(Rig::connected_with(Arc::clone(&holder)));
        let repo = runtime.block_on(Repo::new());
        Self { rig, repo, holder, workspaces: AtomicU64::new(100), runtime }
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked").field("holder", &self.holder).finish_non_exhaustive()
    }
}

#[async_trait]
impl LinkHarness for Linked {
    fn link(&self) -> &dyn NodeLink {
        &self.rig.server.controller
    }

    fn node(&self) -> NodeId {
        NODE
    }

    fn absent(&self) -> Option<NodeId> {
        Some(NodeId::from_bits(78))
    }

    fn workspace(&self) -> WorkspaceId {
        WorkspaceId::from_bits(self.workspaces.fetch_add(1, Ordering::Relaxed).into())
    }

    fn repo(&self) -> RepoRef {
        self.repo.repo_ref()
    }

    fn missing(&self) -> Option<RepoRef> {
        let nowhere = self.rig.directory.path().join("no-such-repository");
        Some(nowhere.to_str()?.parse().unwrap())
    }

    fn processes(&self) -> Option<&dyn Processes> {
        Some(&*self.holder)
    }

    fn drains(&self) -> bool {
        true
    }

    // The agent itself holds its answer back while a checkout goes on.
    async fn pause(&self) {}
}

impl Harness for Linked {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        let ended = self.runtime.block_on(deadline::within(CASE_DEADLINE, case));
        ended.unwrap_or_else(|_| Err(Failure::new("the case did not end in time")))
    }
}

#[test]
fn the_link_keeps_the_contract_of_node_links() {
    check(trials("link", "", Linked::new)).unwrap();
}
