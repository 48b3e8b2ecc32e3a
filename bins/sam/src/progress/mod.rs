//! Waiting until a workspace is what was asked for, and telling how far it is.

mod printer;
mod tracker;

use futures_util::StreamExt as _;

use sam_api::client::{EventStream, EventsFrom};
use sam_api::{Client, Event, Workspace, WorkspaceState, WorkspaceWish};
use sam_core::{Error, ErrorKind, Result};

use crate::connect::Context;
use crate::deadline;
use crate::failure::Failure;
use crate::signals::Signals;

pub(crate) use self::printer::Printer;

/// How often in a row the stream of events may end for good before waiting is given up.
const STREAMS_MAX: u32 = 3;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Deleted,
    Running,
    Stopped,
}

/// How waiting ended.
#[derive(Debug)]
pub(crate) enum Waited {
    /// By this signal; the work goes on without us.
    Interrupted(u8),
    /// The goal is reached.
    Reached(Box<Workspace>),
}

/// Waits for a workspace and prints its steps.
pub(crate) struct Wait<'a> {
    pub(crate) context: &'a Context,
    pub(crate) client: &'a Client,
    pub(crate) goal: Goal,
    /// The workspace as it was when the work was asked for.
    pub(crate) since: &'a Workspace,
    pub(crate) printer: &'a mut Printer,
}

impl Wait<'_> {
    /// Waits, at most [`deadline::WORKSPACE`].
    pub(crate) async fn run(mut self, signals: &mut Signals) -> Result<Waited, Failure> {
        self.printer.begin(self.since);
        let outcome = tokio::select! {
            biased;
            signal = signals.next() => Ok(Waited::Interrupted(signal)),
            outcome = deadline::within(deadline::WORKSPACE, self.follow()) => {
                outcome.unwrap_or_else(|| Err(late())).map(|w| Waited::Reached(Box::new(w)))
            }
        };
        self.printer.end();
        outcome
    }

    async fn follow(&mut self) -> Result<Workspace, Failure> {
        let mut client = self.client.clone();
        let mut streams = 0;
        loop {
            let error = match self.follow_stream(&client).await {
                Ok(verdict) => return Ok(verdict?),
                Err(Failure::Sam(error)) if is_passing(&error) => error,
                Err(failure) => return Err(failure),
            };
            streams += 1;
            if streams == STREAMS_MAX {
                return Err(error.into());
            }
            // The daemon may have ended: this starts it again.
            client = self.context.reconnect().await?;
        }
    }

    /// Follows one stream to the verdict; a failure is one of the stream.
    async fn follow_stream(&mut self, client: &Client) -> Result<Result<Workspace>, Failure> {
        let id = self.since.id.to_string();
        let from = EventsFrom { workspace: Some(id.clone()), after: None };
        // First the stream, then the state: whatever happens between the two is in the stream.
        let mut events = match client.events(from).await {
            Err(error) if error.kind() == ErrorKind::NotFound && self.goal == Goal::Deleted => {
                return Ok(Ok(self.gone()));
            }
            other => other?,
        };
        let mut current = client.workspace(&id).await;
        loop {
            let workspace = match current {
                Err(error) if error.kind() == ErrorKind::NotFound && self.goal == Goal::Deleted => {
                    return Ok(Ok(self.gone()));
                }
                other => other?,
            };
            self.printer.show(&workspace)?;
            match judge(self.goal, self.since, &workspace) {
                Ok(true) => return Ok(Ok(workspace)),
                Ok(false) => {}
                Err(error) => return Ok(Err(error)),
            }
            current = match next(&mut events, &id).await? {
                Some(workspace) => Ok(workspace),
                None => client.workspace(&id).await,
            };
        }
    }

    /// Returns the workspace as it is when even its tombstone is gone.
    fn gone(&self) -> Workspace {
        Workspace { state: WorkspaceState::Deleted, ..self.since.clone() }
    }
}

/// Returns the workspace after its next change, or `None` when it is better read.
async fn next(events: &mut EventStream, id: &str) -> Result<Option<Workspace>, Failure> {
    let looking = async {
        loop {
            match events.next().await {
                Some(Ok(Event::Change(change))) if change.id == id => return Ok(change.workspace),
                // A server that does not filter is no reason to fail.
                Some(Ok(Event::Change(_) | Event::Checkpoint { .. })) => {}
                Some(Ok(Event::Stale { .. })) | None => return Ok(None),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    };
    // Reading now and then heals whatever an intermediary does to the stream.
    deadline::within(deadline::LOOK_AGAIN, looking).await.unwrap_or(Ok(None))
}

/// Returns whether the goal is reached.
///
/// # Errors
/// When it cannot be any more.
fn judge(goal: Goal, since: &Workspace, now: &Workspace) -> Result<bool> {
    let reached = match goal {
        Goal::Deleted => WorkspaceState::Deleted,
        Goal::Running => WorkspaceState::Running,
        Goal::Stopped => WorkspaceState::Stopped,
    };
    let wish = match goal {
        Goal::Deleted => WorkspaceWish::Deleted,
        Goal::Running => WorkspaceWish::Running,
        Goal::Stopped => WorkspaceWish::Stopped,
    };
    // A stop that follows a start must not be taken for the start's end, and the reverse.
    if now.state == reached && now.wish == wish {
        return Ok(true);
    }
    if now.wish != wish && now.version >= since.version {
        let message = format!("somebody else wants the workspace {} now", wanted(now.wish));
        return Err(Error::new(ErrorKind::Conflict, message).with_context("workspace", &now.name));
    }
    // A workspace that had failed before is still so until the work on it begins.
    let is_new = now.version > since.version || since.state != WorkspaceState::Failed;
    if now.state == WorkspaceState::Failed && now.operation.is_none() && is_new {
        let error = now.error.as_ref().map_or_else(
            || Error::new(ErrorKind::Unavailable, "the workspace failed"),
            sam_core::ErrorRecord::to_error,
        );
        return Err(error.with_context("workspace", &now.name));
    }
    Ok(false)
}

const fn wanted(wish: WorkspaceWish) -> &'static str {
    match wish {
        WorkspaceWish::Deleted => "deleted",
        WorkspaceWish::Running => "running",
        WorkspaceWish::Stopped => "stopped",
    }
}

fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

fn late() -> Failure {
    Error::new(ErrorKind::Timeout, "it is not done after 30 minutes; it goes on without us")
        .with_hint("`sam show` tells how far it is")
        .into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A workspace in some state, as a server would show it.
    pub(crate) fn workspace(state: &str, wish: &str, version: u64) -> Workspace {
        serde_json::from_value(serde_json::json!({
            "id": "ws-00000000000000000000000001", "name": "hello", "state": state, "wish": wish,
            "repo": "/srv/hello", "size": "small", "created_at": "2026-01-01T00:00:00Z",
            "changed_at": "2026-01-01T00:00:01Z", "version": version,
        }))
        .unwrap()
    }

    #[test]
    fn a_goal_is_reached_only_when_it_is_still_wanted() {
        let since = workspace("requested", "running", 1);
        let judged = |state, wish, version| {
            judge(Goal::Running, &since, &workspace(state, wish, version))
                .map_err(|error| error.kind())
        };
        assert_eq!(judged("placing", "running", 2), Ok(false));
        assert_eq!(judged("running", "running", 3), Ok(true));
        assert_eq!(judged("running", "deleted", 3), Err(ErrorKind::Conflict));
        assert_eq!(judged("failed", "running", 3), Err(ErrorKind::Unavailable));
        assert_eq!(judged("interrupted", "running", 3), Ok(false));
    }

    #[test]
    fn an_old_failure_is_not_taken_for_a_new_one() {
        let since = workspace("failed", "running", 7);
        assert!(!judge(Goal::Running, &since, &since).unwrap());
        let mut again = workspace("failed", "running", 9);
        again.error = Some(
            sam_core::ErrorRecord::new(ErrorKind::CapacityUnavailable, "placing", "none left")
                .with_hint("another size"),
        );
        let error = judge(Goal::Running, &since, &again).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CapacityUnavailable);
        assert_eq!(error.hint(), Some("another size"));
    }
}
