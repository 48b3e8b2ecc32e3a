//! The link in memory, one whose workspaces have files and processes, and flawed ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::node_link::{
    Activity, IdleEnd, MemoryLink, NodeLink, Preparation, Prepare, Readiness, Work, WorkSort,
};
use sam_core::testkit::conformance::node_link::{self, LinkHarness, Processes};
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, Trial, at_once};
use sam_core::workspace::RepoRef;
use sam_core::{Effect, Error, ErrorKind, ErrorRecord, NodeId, Result, WorkspaceId};

use super::refuse;

const MEMORY: &str = include_str!("../not_applicable/memory.node_link.txt");

const NODE: NodeId = NodeId::from_bits(1);
const ABSENT: NodeId = NodeId::from_bits(2);

/// A link, and the node behind it where there is more than an answer.
#[derive(Debug)]
struct Over<L> {
    link: L,
    node: Option<Arc<Node>>,
    workspaces: AtomicU64,
}

impl<L: NodeLink> Over<L> {
    fn new(link: L, node: Option<Arc<Node>>) -> Self {
        Self { link, node, workspaces: AtomicU64::new(1) }
    }
}

#[async_trait]
impl<L: NodeLink> LinkHarness for Over<L> {
    fn link(&self) -> &dyn NodeLink {
        &self.link
    }

    fn node(&self) -> NodeId {
        NODE
    }

    fn absent(&self) -> Option<NodeId> {
        self.node.as_ref().map(|_| ABSENT)
    }

    fn workspace(&self) -> WorkspaceId {
        WorkspaceId::from_bits(self.workspaces.fetch_add(1, Ordering::Relaxed).into())
    }

    fn repo(&self) -> RepoRef {
        "octo/hello".parse().unwrap()
    }

    fn missing(&self) -> Option<RepoRef> {
        self.node.as_ref().map(|_| "octo/missing".parse().unwrap())
    }

    fn processes(&self) -> Option<&dyn Processes> {
        self.node.as_deref().map(|node| -> &dyn Processes { node })
    }

    fn drains(&self) -> bool {
        self.node.is_some()
    }

    async fn pause(&self) {}
}

impl<L: NodeLink> Harness for Over<L> {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    ChecksOutAnew,
    DoubtsTheAbsent,
    DrainsNothing,
    EndsOnlyOne,
    EndsTheOthers,
    ForgetsFiles,
    ForgetsWarnings,
    ImaginesWork,
    KeepsFailures,
    MissesTheAbsent,
    NeverEnds,
    NeverStops,
    /// No flaw.
    None,
    RemovesNoProcess,
    SaysAnything,
}

const FLAWS: [(Flaw, &str); 15] = [
    (Flaw::ChecksOutAnew, "preparing_twice_gives_one_checkout"),
    (Flaw::MissesTheAbsent, "stopping_and_removing_repeat"),
    (Flaw::MissesTheAbsent, "stopping_and_removing_what_was_never_there_succeeds"),
    (Flaw::NeverEnds, "a_preparation_ends"),
    (Flaw::KeepsFailures, "a_preparation_that_fails_can_be_tried_again"),
    (Flaw::ForgetsFiles, "files_are_kept_by_a_stop_and_not_by_a_removal"),
    (Flaw::EndsOnlyOne, "a_stop_ends_every_process"),
    (Flaw::RemovesNoProcess, "a_removal_ends_every_process"),
    (Flaw::EndsTheOthers, "the_processes_of_other_workspaces_go_on"),
    (Flaw::DoubtsTheAbsent, "a_node_that_is_not_connected_is_unavailable"),
    (Flaw::SaysAnything, "a_connected_node_says_what_it_is"),
    (Flaw::DrainsNothing, "a_node_that_drains_takes_nothing_new_and_keeps_what_it_has"),
    (Flaw::ImaginesWork, "a_workspace_that_nobody_uses_has_no_work"),
    (Flaw::ForgetsWarnings, "a_warning_is_told_by_the_activity"),
    (Flaw::NeverStops, "who_was_warned_and_does_nothing_is_stopped"),
];

/// A node with files and processes that are counted.
#[derive(Debug)]
struct Node {
    flaw: Flaw,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    checkouts: BTreeMap<WorkspaceId, u64>,
    failed: BTreeSet<WorkspaceId>,
    processes: BTreeMap<WorkspaceId, usize>,
    begun: BTreeSet<WorkspaceId>,
    counted: u64,
    draining: bool,
    warned: BTreeSet<WorkspaceId>,
}

impl Node {
    fn over(flaw: Flaw) -> Over<Arc<Self>> {
        let node = Arc::new(Self { flaw, state: Mutex::default() });
        Over::new(Arc::clone(&node), Some(node))
    }

    fn reach(&self, node: NodeId) -> Result<()> {
        if node == NODE {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Unavailable, "the node is not connected");
        let doubts = self.flaw == Flaw::DoubtsTheAbsent;
        Err(error.with_effect(if doubts { Effect::Unknown } else { Effect::NotApplied }))
    }

    fn end(&self, workspace: WorkspaceId) {
        let mut state = self.state.lock().unwrap();
        match self.flaw {
            Flaw::EndsOnlyOne => {
                state
                    .processes
                    .entry(workspace)
                    .and_modify(|count| *count = count.saturating_sub(1));
            }
            Flaw::EndsTheOthers => state.processes.clear(),
            _ => drop(state.processes.remove(&workspace)),
        }
    }

    fn check_known(&self, workspace: WorkspaceId) -> Result<()> {
        let known = self.state.lock().unwrap().checkouts.contains_key(&workspace);
        if self.flaw == Flaw::MissesTheAbsent && !known {
            return Err(refuse(ErrorKind::NotFound));
        }
        Ok(())
    }
}

#[async_trait]
impl NodeLink for Node {
    async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>> {
        let mut state = self.state.lock().unwrap();
        state.counted += 1;
        let instance = match self.flaw {
            Flaw::SaysAnything => state.counted.to_string(),
            _ => "first".to_owned(),
        };
        Ok((node == NODE).then(|| Readiness::new(instance, "1".to_owned())))
    }

    async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation> {
        self.reach(node)?;
        let workspace = request.workspace;
        let mut state = self.state.lock().unwrap();
        let known = state.checkouts.contains_key(&workspace);
        if state.draining && !known && self.flaw != Flaw::DrainsNothing {
            return Err(refuse(ErrorKind::Unavailable));
        }
        let missing = request.repo == "octo/missing".parse().unwrap();
        if missing || state.failed.contains(&workspace) {
            if self.flaw == Flaw::KeepsFailures {
                state.failed.insert(workspace);
            }
            let error = ErrorRecord::new(ErrorKind::NotFound, "prepare", "no such repository");
            return Ok(Preparation::Failed { error });
        }
        if state.begun.insert(workspace) || self.flaw == Flaw::NeverEnds {
            return Ok(Preparation::InProgress { step: "cloning".to_owned() });
        }
        state.counted += 1;
        // The second checkout of a workspace is another one only where somebody forgot the first.
        let number = match self.flaw {
            Flaw::ChecksOutAnew | Flaw::ForgetsFiles => state.counted,
            _ => 0,
        };
        if self.flaw == Flaw::ChecksOutAnew {
            state.checkouts.insert(workspace, number);
        }
        let commit = *state.checkouts.entry(workspace).or_insert(number);
        Ok(Preparation::Ready { commit: Some(format!("{commit:040}")), branch: None })
    }

    async fn activity(&self, node: NodeId, workspace: WorkspaceId) -> Result<Activity> {
        self.reach(node)?;
        let warned = self.state.lock().unwrap().warned.contains(&workspace);
        let quiet = Activity::quiet(Duration::from_secs(9));
        let imagined = Work::new("build".parse().unwrap(), WorkSort::Background, Duration::MAX);
        let work = if self.flaw == Flaw::ImaginesWork { vec![imagined] } else { Vec::new() };
        Ok(quiet.with_warned_for(warned.then_some(Duration::ZERO)).with_work(work))
    }

    async fn warn(&self, node: NodeId, workspace: WorkspaceId, _notice: &str) -> Result<()> {
        self.reach(node)?;
        if self.flaw != Flaw::ForgetsWarnings {
            self.state.lock().unwrap().warned.insert(workspace);
        }
        Ok(())
    }

    async fn stop_idle(&self, node: NodeId, workspace: WorkspaceId) -> Result<IdleEnd> {
        self.reach(node)?;
        let warned = self.state.lock().unwrap().warned.remove(&workspace);
        if !warned || self.flaw == Flaw::NeverStops {
            return Ok(IdleEnd::InUse);
        }
        self.end(workspace);
        Ok(IdleEnd::Ended)
    }

    async fn stop(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        self.reach(node)?;
        self.check_known(workspace)?;
        self.end(workspace);
        if self.flaw == Flaw::ForgetsFiles {
            self.state.lock().unwrap().checkouts.remove(&workspace);
        }
        Ok(())
    }

    async fn remove(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        self.reach(node)?;
        self.check_known(workspace)?;
        if self.flaw != Flaw::RemovesNoProcess {
            self.end(workspace);
        }
        let mut state = self.state.lock().unwrap();
        state.checkouts.remove(&workspace);
        state.begun.remove(&workspace);
        drop(state);
        Ok(())
    }

    async fn drain(&self, node: NodeId) -> Result<()> {
        self.reach(node)?;
        self.state.lock().unwrap().draining = true;
        Ok(())
    }
}

#[async_trait]
impl Processes for Node {
    async fn start(&self, workspace: WorkspaceId) -> Outcome {
        *self.state.lock().unwrap().processes.entry(workspace).or_default() += 1;
        Ok(())
    }

    async fn count(&self, workspace: WorkspaceId) -> usize {
        self.state.lock().unwrap().processes.get(&workspace).copied().unwrap_or_default()
    }
}

pub(super) fn trials() -> Vec<Trial> {
    let memory = |name, make: fn() -> Box<dyn NodeLink>| {
        node_link::trials(name, MEMORY, move || Over::new(make(), None))
    };
    let bare = || Over::new(MemoryLink::new(), None);
    let mut all = node_link::trials("node_link::memory", MEMORY, bare);
    all.extend(memory("node_link::memory_in_box", || Box::new(MemoryLink::new())));
    all.extend(memory("node_link::memory_in_arc", || Box::new(Arc::new(MemoryLink::new()))));
    all.extend(node_link::trials("node_link::node_in_arc", "", || Node::over(Flaw::None)));
    all.extend(FLAWS.map(|(flaw, case)| {
        node_link::notices(&format!("{flaw:?}"), case, move || Node::over(flaw))
    }));
    all
}
