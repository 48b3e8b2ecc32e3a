//! Waiting for what Hetzner does in the background.

use sam_core::{Effect, Error, ErrorKind, Result, Retry};

use super::HetznerCompute;
use super::wire::{Action, Listing};
use crate::api::{Call, Looks};

/// The code of an error that an action ended in; its own code is beside it.
pub(super) const ACTION_FAILED: &str = "action_failed";

/// How far actions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// They go on, and the call has waited long enough.
    Running,
}

impl HetznerCompute {
    /// Waits for actions, all of them. An error on the way that may pass is looked beyond: what was
    /// started goes on without being watched.
    ///
    /// # Errors
    /// What the first of them that failed says, with the code [`ACTION_FAILED`]; what was looked for and
    /// refused for good.
    pub(super) async fn finish(
        &self,
        operation: &'static str,
        mut actions: Vec<Action>,
        looks: &mut Looks<'_>,
    ) -> Result<Progress> {
        looks.afresh();
        loop {
            if let Some(failed) = actions.iter().find(|action| action.status == "error") {
                return Err(action_failed(operation, failed));
            }
            actions.retain(|action| action.status != "success");
            if actions.is_empty() {
                return Ok(Progress::Done);
            }
            if !looks.pause().await {
                return Ok(Progress::Running);
            }
            let call = actions.iter().fold(Call::get(operation, "/actions"), |call, action| {
                call.with_query("id", &action.id.to_string())
            });
            let answer = match self.api.send(&call).await {
                Ok(answer) => answer,
                Err(error) if error.retry() == Retry::Never => {
                    return Err(error.with_effect(Effect::Unknown));
                }
                Err(_) => continue,
            };
            let listing: Listing<Action> = answer.read().map_err(in_doubt)?;
            // One that is not named is asked for again.
            for action in &mut actions {
                if let Some(news) = listing.items.iter().find(|news| news.id == action.id) {
                    *action = news.clone();
                }
            }
        }
    }
}

/// Says that something before the error has happened, whatever the error itself did.
pub(super) fn in_doubt(error: Error) -> Error {
    error.with_effect(Effect::Unknown)
}

fn action_failed(operation: &'static str, action: &Action) -> Error {
    let (command, id) = (&action.command, action.id);
    let said = action.error.as_ref();
    let code = said.map_or("unknown_error", |error| &*error.code);
    let text = said.map_or("", |error| &*error.message);
    let kind = match code {
        "resource_unavailable" | "placement_error" | "no_space_left_in_location" => {
            ErrorKind::CapacityUnavailable
        }
        _ => ErrorKind::Unavailable,
    };
    let clean: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    Error::new(kind, format!("the action {command} ({id}) at Hetzner failed: {code}: {clean}"))
        .with_operation(operation)
        .with_provider_code(ACTION_FAILED)
        .with_effect(Effect::Unknown)
        .with_context("action", id)
        .with_context("command", command)
        .with_context("action_code", code)
        .with_hint("Hetzner's support can look the action up by its id")
}
