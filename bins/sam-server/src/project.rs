//! Records as the API shows them. Nothing is shown that is not named here.

use sam_api::{
    Account, DeletionHold, Delivery, DeliveryOutcome, DeliveryState, GithubBranch,
    GithubInstallation, GithubRepository, NameState, Node, NodeState, OperationSummary, Orphan,
    OrphanReason, OrphanState, PublishedName, Replica, Step, StepState, Sweep, SweepTally,
    Workspace, WorkspaceState, WorkspaceWish,
};
use sam_core::account::AccountRecord;
use sam_core::delivery::{self, DeliveryRecord};
use sam_core::engine::Stamped;
use sam_core::hold::HoldRecord;
use sam_core::node::{self, NodeRecord};
use sam_core::orphan::{self, OrphanRecord};
use sam_core::published_name::{self, NameRecord};
use sam_core::replica::ReplicaRecord;
use sam_core::sweep::{Reason, SweepRecord};
use sam_core::workspace::{self, Checkout, IdleStop, Lifetime, WorkspaceRecord};
use sam_core::{Error, ErrorKind, Result};

/// A state or wish that this server does not know: written by a newer one.
fn newer(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this server does not know {what}"))
        .with_hint("upgrade the server to the newest version that writes to this store")
}

pub(crate) fn account(record: &AccountRecord) -> Account {
    Account {
        id: record.id,
        forge: record.forge.clone(),
        number: record.number,
        handle: record.handle.clone(),
        name: record.name.clone(),
        email: Some(record.email.clone()).filter(|email| !email.is_empty()),
        email_is_verified: record.email_is_verified,
        avatar_url: record.avatar_url.clone(),
        created_at: record.created_at.into(),
        signed_in_at: record.signed_in_at.into(),
    }
}

pub(crate) fn workspace(stamped: &Stamped<WorkspaceRecord>) -> Result<Workspace> {
    let record = &stamped.record;
    let reference = match &record.checkout {
        Checkout::Default => None,
        Checkout::Ref(name) => Some(name.clone()),
        _ => return Err(newer("this checkout")),
    };
    let lease_expires_at = match record.lifetime {
        Lifetime::Leased { until } => Some(until.into()),
        _ => None,
    };
    let under_way =
        record.steps.last().is_some_and(|step| step.state == workspace::StepState::Running);
    Ok(Workspace {
        id: record.id,
        name: record.name.to_string(),
        state: workspace_state(record.state)?,
        wish: wish(record.wish)?,
        repo: record.repo.clone(),
        reference,
        commit: record.commit.clone(),
        branch: record.branch.clone(),
        size: record.size.code().to_owned(),
        provider: record.provider.clone(),
        node_id: record.node,
        steps: record.steps.iter().map(step).collect(),
        operation: if under_way { Some(operation(record.verb)?) } else { None },
        error: record.error.clone(),
        lease_expires_at,
        idle_stop_ms: idle_stop_ms(record.idle_stop)?,
        idle_warned_at: record.idle_warned_at.map(Into::into),
        stopped_by: record.stopped_by.map(|by| by.code().to_owned()),
        host: None,
        host_error: None,
        created_at: record.created_at.into(),
        changed_at: record.state_at.into(),
        version: stamped.version,
    })
}

/// A workspace with the name that it is published under.
pub(crate) fn named(
    stamped: &Stamped<WorkspaceRecord>,
    name: Option<&NameRecord>,
) -> Result<Workspace> {
    let published = name.filter(|name| name.state == published_name::NameState::Published);
    Ok(Workspace {
        host: published.map(|name| name.host.clone()),
        host_error: name.and_then(|name| name.error.clone()),
        ..workspace(stamped)?
    })
}

pub(crate) fn name(stamped: &Stamped<NameRecord>) -> Result<PublishedName> {
    use published_name::NameState as Core;
    let record = &stamped.record;
    Ok(PublishedName {
        workspace: record.workspace,
        host: record.host.clone(),
        state: match record.state {
            Core::Requested => NameState::Requested,
            Core::Putting => NameState::Putting,
            Core::Published => NameState::Published,
            Core::Deleting => NameState::Deleting,
            Core::Deleted => NameState::Deleted,
            _ => return Err(newer("this state of a name")),
        },
        error: record.error.clone(),
        changed_at: record.state_at.into(),
        version: stamped.version,
    })
}

fn idle_stop_ms(idle_stop: IdleStop) -> Result<Option<u64>> {
    Ok(match idle_stop {
        IdleStop::After { span } => Some(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        IdleStop::Default => None,
        IdleStop::Never => Some(0),
        _ => return Err(newer("this idle rule")),
    })
}

fn workspace_state(state: workspace::WorkspaceState) -> Result<WorkspaceState> {
    use workspace::WorkspaceState as Core;
    Ok(match state {
        Core::Requested => WorkspaceState::Requested,
        Core::Placing => WorkspaceState::Placing,
        Core::Preparing => WorkspaceState::Preparing,
        Core::Running => WorkspaceState::Running,
        Core::Stopping => WorkspaceState::Stopping,
        Core::Stopped => WorkspaceState::Stopped,
        Core::Starting => WorkspaceState::Starting,
        Core::Failed => WorkspaceState::Failed,
        Core::Interrupted => WorkspaceState::Interrupted,
        Core::Deleting => WorkspaceState::Deleting,
        Core::Deleted => WorkspaceState::Deleted,
        _ => return Err(newer("this state of a workspace")),
    })
}

fn wish(wish: workspace::WorkspaceWish) -> Result<WorkspaceWish> {
    Ok(match wish {
        workspace::WorkspaceWish::Running => WorkspaceWish::Running,
        workspace::WorkspaceWish::Stopped => WorkspaceWish::Stopped,
        workspace::WorkspaceWish::Deleted => WorkspaceWish::Deleted,
        _ => return Err(newer("this wish for a workspace")),
    })
}

fn operation(verb: workspace::Verb) -> Result<OperationSummary> {
    let verb = match verb {
        workspace::Verb::Create => "create",
        workspace::Verb::Delete => "delete",
        workspace::Verb::Start => "start",
        workspace::Verb::Stop => "stop",
        _ => return Err(newer("this operation")),
    };
    Ok(OperationSummary { verb: verb.to_owned() })
}

fn step(step: &workspace::Step) -> Step {
    Step {
        name: step.name.clone(),
        state: match step.state {
            workspace::StepState::Done => StepState::Done,
            workspace::StepState::Failed => StepState::Failed,
            _ => StepState::Running,
        },
        detail: step.detail.clone(),
        started_at: step.started_at.into(),
        ended_at: step.ended_at.map(Into::into),
    }
}

pub(crate) fn node(stamped: &Stamped<NodeRecord>) -> Result<Node> {
    let record = &stamped.record;
    Ok(Node {
        id: record.id,
        state: node_state(record.state)?,
        owner: record.owner.clone(),
        provider: record.provider.to_string(),
        provider_id: record.provider_id.clone(),
        size: record.size.code().to_owned(),
        region: record.region.clone(),
        workspaces: record.workspaces.iter().copied().collect(),
        boot_phase: boot_phase(record),
        error: record.error.clone(),
        created_at: record.created_at.into(),
        changed_at: record.state_at.into(),
        version: stamped.version,
    })
}

fn boot_phase(record: &NodeRecord) -> Option<String> {
    use node::NodeState as Core;
    let is_told = match record.state {
        Core::Requested | Core::Creating | Core::Booting => true,
        Core::Failed => record.boot.is_some(),
        _ => false,
    };
    is_told.then(|| record.boot_phase().into_owned())
}

fn node_state(state: node::NodeState) -> Result<NodeState> {
    use node::NodeState as Core;
    Ok(match state {
        Core::Requested => NodeState::Requested,
        Core::Creating => NodeState::Creating,
        Core::Booting => NodeState::Booting,
        Core::Ready => NodeState::Ready,
        Core::Unreachable => NodeState::Unreachable,
        Core::Draining => NodeState::Draining,
        Core::Deleting => NodeState::Deleting,
        Core::Deleted => NodeState::Deleted,
        Core::Failed => NodeState::Failed,
        Core::Lost => NodeState::Lost,
        Core::Recovered => NodeState::Recovered,
        _ => return Err(newer("this state of a node")),
    })
}

pub(crate) fn sweep(stamped: &Stamped<SweepRecord>) -> Sweep {
    let record = &stamped.record;
    let tally = record.tally;
    Sweep {
        name: record.scope.clone(),
        swept_at: record.swept_at.map(Into::into),
        tally: SweepTally {
            listed: tally.listed,
            known: tally.known,
            orphans: tally.orphans,
            recovered: tally.recovered,
            vanished: tally.vanished,
            strange: tally.strange,
        },
        attempts: record.attempts,
        error: record.error.clone(),
        version: stamped.version,
    }
}

pub(crate) fn orphan(stamped: &Stamped<OrphanRecord>) -> Result<Orphan> {
    let record = &stamped.record;
    let labels = record.resource.labels.iter();
    Ok(Orphan {
        id: record.id(),
        sweep: record.scope.clone(),
        sort: record.resource.sort.to_string(),
        provider_id: record.resource.provider_id.clone(),
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        reason: match record.reason {
            Reason::Duplicate => OrphanReason::Duplicate,
            Reason::NameDeleted => OrphanReason::NameDeleted,
            Reason::NodeDeleted => OrphanReason::NodeDeleted,
            Reason::OtherEpoch => OrphanReason::OtherEpoch,
            Reason::Unclear => OrphanReason::Unclear,
            _ => return Err(newer("why this is an orphan")),
        },
        state: match record.state {
            orphan::OrphanState::Suspected => OrphanState::Suspected,
            orphan::OrphanState::Held => OrphanState::Held,
            orphan::OrphanState::Deleting => OrphanState::Deleting,
            _ => return Err(newer("this state of an orphan")),
        },
        delete_wished: record.delete_wished,
        error: record.error.clone(),
        found_at: record.found_at.into(),
        changed_at: record.state_at.into(),
        version: stamped.version,
    })
}

pub(crate) fn delivery(stamped: &Stamped<DeliveryRecord>) -> Result<Delivery> {
    let record = &stamped.record;
    Ok(Delivery {
        id: record.id.clone(),
        event: record.event.clone(),
        repository: record.repository.clone(),
        installation: record.installation.clone(),
        branch: record.branch.clone(),
        state: match record.state {
            delivery::DeliveryState::Received => DeliveryState::Received,
            delivery::DeliveryState::Queued => DeliveryState::Queued,
            delivery::DeliveryState::Done => DeliveryState::Done,
            delivery::DeliveryState::Failed => DeliveryState::Failed,
            _ => return Err(newer("this state of a delivery")),
        },
        outcome: record.outcome.map(delivery_outcome).transpose()?,
        superseded_by: record.superseded_by.clone(),
        attempts: record.attempts,
        retry_at: record.retry_at.map(Into::into),
        error: record.error.clone(),
        body_sha256: record.body_sha256.clone(),
        body_bytes: record.body_bytes,
        is_whole: record.is_whole,
        received_at: record.received_at.into(),
        changed_at: record.state_at.into(),
        version: stamped.version,
    })
}

fn delivery_outcome(outcome: delivery::DeliveryOutcome) -> Result<DeliveryOutcome> {
    Ok(match outcome {
        delivery::DeliveryOutcome::Abandoned => DeliveryOutcome::Abandoned,
        delivery::DeliveryOutcome::Handled => DeliveryOutcome::Handled,
        delivery::DeliveryOutcome::Nothing => DeliveryOutcome::Nothing,
        delivery::DeliveryOutcome::Superseded => DeliveryOutcome::Superseded,
        _ => return Err(newer("how this delivery was done")),
    })
}

/// The state that a client asked for.
pub(crate) const fn delivery_state_of(state: DeliveryState) -> delivery::DeliveryState {
    match state {
        DeliveryState::Received => delivery::DeliveryState::Received,
        DeliveryState::Queued => delivery::DeliveryState::Queued,
        DeliveryState::Done => delivery::DeliveryState::Done,
        DeliveryState::Failed => delivery::DeliveryState::Failed,
    }
}

pub(crate) fn github_installation(found: sam_github::Installation) -> GithubInstallation {
    GithubInstallation {
        id: found.id.as_u64(),
        is_suspended: found.is_suspended(),
        account: found.account.map(|account| account.login),
        repository_selection: found.repository_selection,
    }
}

pub(crate) fn github_repository(found: sam_github::Repository) -> GithubRepository {
    GithubRepository {
        id: found.id.as_u64(),
        full_name: found.full_name,
        is_private: found.private,
        is_archived: found.archived,
        is_disabled: found.disabled,
        default_branch: found.default_branch,
    }
}

pub(crate) fn github_branch(found: sam_github::Branch) -> GithubBranch {
    GithubBranch { name: found.name, commit: found.commit.sha, is_protected: found.protected }
}

pub(crate) fn hold(record: Option<&HoldRecord>) -> DeletionHold {
    DeletionHold {
        held: record.is_some_and(|hold| hold.held),
        reason: record.map(|hold| hold.reason.clone()),
        by: record.map(|hold| hold.by.clone()),
        since: record.map(|hold| hold.since.into()),
    }
}

pub(crate) fn replica(record: &ReplicaRecord, answers: &str) -> Replica {
    Replica {
        id: record.replica.id.clone(),
        url: record.replica.url.clone(),
        answers: record.replica.id == answers,
        since: record.since.into(),
        renewed_at: record.renewed_at.map(Into::into),
        missed: record.missed,
    }
}
