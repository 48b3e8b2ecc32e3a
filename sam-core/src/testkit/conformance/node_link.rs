//! What every [`NodeLink`] must do.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::{join, join_all};

use super::{Failure, Outcome, always, cases, ensure, ensure_eq};
use crate::error::{Effect, ErrorKind, Result as CoreResult};
use crate::id::{NodeId, WorkspaceId};
use crate::node_link::{IdleEnd, NodeLink, Preparation, Prepare};
use crate::workspace::{Checkout, RepoRef};

/// Most answers that a preparation may take.
const ANSWERS_MAX: usize = 600;

/// A link under test, with one node that is connected and one that is not.
#[async_trait]
pub trait LinkHarness: fmt::Debug + Send + Sync {
    /// Returns the link.
    fn link(&self) -> &dyn NodeLink;

    /// Returns the node that is connected. It drains only in the case that drains it.
    fn node(&self) -> NodeId;

    /// Returns a node that was never connected, where a node can be.
    fn absent(&self) -> Option<NodeId>;

    /// Returns a workspace that was never prepared.
    fn workspace(&self) -> WorkspaceId;

    /// Returns a repository that can be checked out.
    fn repo(&self) -> RepoRef;

    /// Returns a repository that cannot, where any cannot.
    fn missing(&self) -> Option<RepoRef>;

    /// Returns the processes of workspaces, where they have any.
    fn processes(&self) -> Option<&dyn Processes>;

    /// Returns whether a node that drains refuses what is new.
    fn drains(&self) -> bool;

    /// Waits a little before something is asked again; a fake needs no wait.
    async fn pause(&self);
}

/// The processes of workspaces on the node.
#[async_trait]
pub trait Processes: fmt::Debug + Send + Sync {
    /// Starts a process that ends only when it is ended.
    async fn start(&self, workspace: WorkspaceId) -> Outcome;

    /// Returns how many run.
    async fn count(&self, workspace: WorkspaceId) -> usize;
}

cases! {
    LinkHarness, Scope;
    "NodeLink C1", always {
        preparing_twice_gives_one_checkout,
        preparing_from_several_sides_gives_one_checkout,
        stopping_and_removing_repeat,
        stopping_and_removing_what_was_never_there_succeeds,
    }
    "NodeLink C2", always { a_preparation_ends }
    "NodeLink C2", with_missing { a_preparation_that_fails_can_be_tried_again }
    "NodeLink C3", always { files_are_kept_by_a_stop_and_not_by_a_removal }
    "NodeLink C3", with_processes {
        a_stop_ends_every_process,
        a_removal_ends_every_process,
        the_processes_of_other_workspaces_go_on,
    }
    "NodeLink C4", with_absent { a_node_that_is_not_connected_is_unavailable }
    "NodeLink C5", always { a_connected_node_says_what_it_is }
    "NodeLink C6", drains { a_node_that_drains_takes_nothing_new_and_keeps_what_it_has }
    "NodeLink C7", always { a_workspace_that_nobody_uses_has_no_work }
    "NodeLink C8", always { a_warning_is_told_by_the_activity }
    "NodeLink C9", always { who_was_warned_and_does_nothing_is_stopped }
}

fn with_missing(harness: &dyn LinkHarness) -> bool {
    harness.missing().is_some()
}

fn with_processes(harness: &dyn LinkHarness) -> bool {
    harness.processes().is_some()
}

fn with_absent(harness: &dyn LinkHarness) -> bool {
    harness.absent().is_some()
}

fn drains(harness: &dyn LinkHarness) -> bool {
    harness.drains()
}

/// The link, and the workspaces of the running case.
#[derive(Debug)]
struct Scope<'a> {
    harness: &'a dyn LinkHarness,
    node: NodeId,
    prepared: Mutex<Vec<WorkspaceId>>,
}

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    async fn open(harness: &'a dyn LinkHarness) -> Result<Self, Failure> {
        Ok(Self { harness, node: harness.node(), prepared: Mutex::default() })
    }

    fn link(&self) -> &dyn NodeLink {
        self.harness.link()
    }

    fn request(&self) -> Prepare {
        let workspace = self.harness.workspace();
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        Prepare::new(workspace, self.harness.repo(), Checkout::Default)
    }

    /// Asks as the engine does, until it is not in progress any more.
    async fn until_done(&self, request: &Prepare) -> Result<Preparation, Failure> {
        for _ in 0..ANSWERS_MAX {
            match self.link().prepare(self.node, request).await? {
                Preparation::InProgress { step } => {
                    ensure!(!step.is_empty(), "it goes on, but at no step");
                    self.harness.pause().await;
                }
                done => return Ok(done),
            }
        }
        Err(Failure::new(format!("still in progress after {ANSWERS_MAX} answers")))
    }

    async fn ready(&self, request: &Prepare) -> Result<Preparation, Failure> {
        match self.until_done(request).await? {
            ready @ Preparation::Ready { .. } => Ok(ready),
            other => Err(Failure::new(format!("expected it to be ready, found {other:?}"))),
        }
    }

    fn processes(&self) -> Result<&dyn Processes, Failure> {
        self.harness.processes().ok_or_else(|| Failure::new("workspaces have no processes"))
    }

    /// Prepares a workspace and starts two processes in it.
    async fn busy(&self) -> Result<WorkspaceId, Failure> {
        let request = self.request();
        self.ready(&request).await?;
        for _ in 0..2 {
            self.processes()?.start(request.workspace).await?;
        }
        let running = self.processes()?.count(request.workspace).await;
        ensure!(running >= 2, "the harness started two processes, and {running} run");
        Ok(request.workspace)
    }

    async fn close(&self) -> Outcome {
        let prepared =
            std::mem::take(&mut *self.prepared.lock().unwrap_or_else(PoisonError::into_inner));
        for workspace in prepared {
            self.link().remove(self.node, workspace).await?;
            if let Some(processes) = self.harness.processes() {
                let left = processes.count(workspace).await;
                ensure!(left == 0, "{left} processes are left of {workspace}");
            }
        }
        Ok(())
    }
}

async fn preparing_twice_gives_one_checkout(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    let first = scope.ready(&request).await?;
    let second = scope.link().prepare(scope.node, &request).await?;
    ensure_eq!(second, first, "prepared again");
    Ok(())
}

async fn preparing_from_several_sides_gives_one_checkout(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    let mut found = Vec::new();
    for ready in join_all((0..4).map(|_| scope.ready(&request))).await {
        found.push(ready?);
    }
    found.dedup();
    ensure!(found.len() == 1, "four preparations gave {found:?}");
    Ok(())
}

async fn stopping_and_removing_repeat(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    scope.ready(&request).await?;
    for _ in 0..2 {
        scope.link().stop(scope.node, request.workspace).await?;
    }
    let remove = || scope.link().remove(scope.node, request.workspace);
    remove().await?;
    remove().await?;
    let (one, other) = join(remove(), remove()).await;
    Ok(one.and(other)?)
}

async fn stopping_and_removing_what_was_never_there_succeeds(scope: &Scope<'_>) -> Outcome {
    let never = scope.harness.workspace();
    scope.link().stop(scope.node, never).await?;
    Ok(scope.link().remove(scope.node, never).await?)
}

async fn a_preparation_ends(scope: &Scope<'_>) -> Outcome {
    scope.ready(&scope.request()).await.map(drop)
}

async fn a_preparation_that_fails_can_be_tried_again(scope: &Scope<'_>) -> Outcome {
    let Some(missing) = scope.harness.missing() else { return Ok(()) };
    let good = scope.request();
    let bad = Prepare::new(good.workspace, missing, Checkout::Default);
    for _ in 0..2 {
        let failed = scope.until_done(&bad).await?;
        let told = matches!(&failed, Preparation::Failed { error } if !error.message.is_empty());
        ensure!(told, "a repository that is missing gave {failed:?}");
    }
    scope.ready(&good).await.map(drop)
}

async fn files_are_kept_by_a_stop_and_not_by_a_removal(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    let first = scope.ready(&request).await?;
    scope.link().stop(scope.node, request.workspace).await?;
    ensure_eq!(scope.link().prepare(scope.node, &request).await?, first, "after a stop");
    scope.link().remove(scope.node, request.workspace).await?;
    ensure_eq!(scope.ready(&request).await?, first, "prepared anew after a removal");
    Ok(())
}

async fn a_stop_ends_every_process(scope: &Scope<'_>) -> Outcome {
    let workspace = scope.busy().await?;
    scope.link().stop(scope.node, workspace).await?;
    ensure_eq!(scope.processes()?.count(workspace).await, 0, "processes after a stop");
    Ok(())
}

async fn a_removal_ends_every_process(scope: &Scope<'_>) -> Outcome {
    let workspace = scope.busy().await?;
    scope.link().remove(scope.node, workspace).await?;
    ensure_eq!(scope.processes()?.count(workspace).await, 0, "processes after a removal");
    Ok(())
}

async fn the_processes_of_other_workspaces_go_on(scope: &Scope<'_>) -> Outcome {
    let (one, other) = (scope.busy().await?, scope.busy().await?);
    scope.link().stop(scope.node, one).await?;
    scope.link().remove(scope.node, one).await?;
    ensure_eq!(scope.processes()?.count(other).await, 2, "processes of the other workspace");
    Ok(())
}

async fn a_node_that_is_not_connected_is_unavailable(scope: &Scope<'_>) -> Outcome {
    let Some(absent) = scope.harness.absent() else { return Ok(()) };
    let readiness = scope.link().readiness(absent).await?;
    ensure!(readiness.is_none(), "it is not connected, and says {readiness:?}");
    let request = Prepare::new(scope.harness.workspace(), scope.harness.repo(), Checkout::Default);
    let link = scope.link();
    let answers: [(&str, CoreResult<()>); 4] = [
        ("prepare", link.prepare(absent, &request).await.map(drop)),
        ("stop", link.stop(absent, request.workspace).await),
        ("remove", link.remove(absent, request.workspace).await),
        ("drain", link.drain(absent).await),
    ];
    for (call, answer) in answers {
        match answer {
            Err(error)
                if error.kind() == ErrorKind::Unavailable
                    && error.effect() == Effect::NotApplied => {}
            other => return Err(Failure::new(format!("{call} gave {other:?}"))),
        }
    }
    Ok(())
}

async fn a_connected_node_says_what_it_is(scope: &Scope<'_>) -> Outcome {
    let first = scope.link().readiness(scope.node).await?;
    let first = first.ok_or_else(|| Failure::new("the node is connected, and silent"))?;
    let named = !first.instance.is_empty() && !first.agent_version.is_empty();
    ensure!(named, "it says nothing: {first:?}");
    scope.ready(&scope.request()).await?;
    let second = scope.link().readiness(scope.node).await?;
    ensure_eq!(second, Some(first), "asked again");
    Ok(())
}

async fn a_node_that_drains_takes_nothing_new_and_keeps_what_it_has(scope: &Scope<'_>) -> Outcome {
    let (known, new) = (scope.request(), scope.request());
    let ready = scope.ready(&known).await?;
    for _ in 0..2 {
        scope.link().drain(scope.node).await?;
    }
    match scope.link().prepare(scope.node, &new).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => {}
        other => return Err(Failure::new(format!("a node that drains answered {other:?}"))),
    }
    ensure_eq!(scope.ready(&known).await?, ready, "what was there before");
    scope.link().stop(scope.node, known.workspace).await?;
    Ok(scope.link().remove(scope.node, known.workspace).await?)
}

async fn a_workspace_that_nobody_uses_has_no_work(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    scope.ready(&request).await?;
    let workspace = request.workspace;
    let activity = scope.link().activity(scope.node, workspace).await?;
    ensure!(!activity.is_working(), "work that nobody declared: {activity:?}");
    Ok(())
}

async fn a_warning_is_told_by_the_activity(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    scope.ready(&request).await?;
    let workspace = request.workspace;
    scope.link().warn(scope.node, workspace, "it will be stopped").await?;
    let activity = scope.link().activity(scope.node, workspace).await?;
    ensure!(activity.warned_for.is_some(), "no word of the warning: {activity:?}");
    Ok(())
}

async fn who_was_warned_and_does_nothing_is_stopped(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    scope.ready(&request).await?;
    let workspace = request.workspace;
    scope.link().warn(scope.node, workspace, "it will be stopped").await?;
    let end = scope.link().stop_idle(scope.node, workspace).await?;
    ensure_eq!(end, IdleEnd::Ended, "what became of a workspace that nobody uses");
    Ok(())
}
