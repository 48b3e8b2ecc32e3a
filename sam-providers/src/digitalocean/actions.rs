//! Waiting for what DigitalOcean does in the background.

use sam_core::{Effect, Error, ErrorKind, Result, Retry};

use super::DigitalOceanCompute;
use super::wire::{Action, OneAction};
use crate::api::{Call, Looks};

/// The code of an error that an action ended in; DigitalOcean gives no reason.
pub(super) const ACTION_FAILED: &str = "errored";

/// How far an action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// It goes on, and the call has waited long enough.
    Running,
}

impl DigitalOceanCompute {
    /// Waits for an action. An error on the way that may pass is looked beyond: what was started goes on
    /// without being watched.
    ///
    /// # Errors
    /// `Unavailable` with the code [`ACTION_FAILED`] when it failed; what was looked for and refused for
    /// good.
    pub(super) async fn finish(
        &self,
        operation: &'static str,
        mut action: Action,
        looks: &mut Looks<'_>,
    ) -> Result<Progress> {
        looks.afresh();
        loop {
            match &*action.status {
                Action::COMPLETED => return Ok(Progress::Done),
                Action::ERRORED => return Err(action_failed(operation, &action)),
                _ if !looks.pause().await => return Ok(Progress::Running),
                _ => {}
            }
            let call = Call::get(operation, format!("/v2/actions/{}", action.id));
            match self.api.send(&call).await {
                Ok(answer) => action = answer.read::<OneAction>().map_err(in_doubt)?.action,
                Err(error) if error.retry() == Retry::Never => return Err(in_doubt(error)),
                Err(_) => {}
            }
        }
    }
}

/// Says that something before the error has happened, whatever the error itself did.
pub(super) fn in_doubt(error: Error) -> Error {
    error.with_effect(Effect::Unknown)
}

fn action_failed(operation: &'static str, action: &Action) -> Error {
    let (sort, id) = (&action.sort, action.id);
    let message = format!("the action {sort} ({id}) at DigitalOcean failed");
    Error::new(ErrorKind::Unavailable, message)
        .with_operation(operation)
        .with_provider_code(ACTION_FAILED)
        .with_effect(Effect::Unknown)
        .with_context("action", id)
        .with_context("type", sort)
        .with_hint("DigitalOcean's support can look the action up by its id")
}
