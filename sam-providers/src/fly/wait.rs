//! Waiting until a machine is in a state.

use sam_core::{Effect, Error, ErrorKind, Result, Retry};

use super::wire::Machine;
use super::{FlyCompute, PATIENCE};
use crate::api::{Call, Looks};

/// Fly waits no longer, whatever is asked for.
const WAIT_SECONDS_MAX: u64 = 60;

/// How far a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// It goes on, and the call has waited long enough.
    Running,
}

impl FlyCompute {
    /// Lets Fly wait for a state of this version of a machine. Fly answers 408 when that took too long,
    /// which is no failure: it is asked again while there is time.
    ///
    /// # Errors
    /// `Unavailable` with the code `failed` when the machine could not be started; what is refused for
    /// good.
    pub(super) async fn wait(
        &self,
        operation: &'static str,
        machine: &Machine,
        state: &'static str,
        looks: &mut Looks<'_>,
    ) -> Result<Progress> {
        looks.afresh();
        loop {
            let left = PATIENCE.saturating_sub(looks.elapsed()).as_secs();
            let timeout = left.clamp(1, WAIT_SECONDS_MAX);
            let mut call = Call::get(operation, self.machine_path(&machine.id, "/wait"))
                .with_query("state", state)
                .with_query("timeout", &timeout.to_string());
            // Without it, the stop of an earlier version would count.
            if let Some(instance) = &machine.instance_id {
                call = call.with_query("instance_id", instance);
            }
            match self.send(call).await {
                Ok(_) => return Ok(Progress::Done),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if state == Machine::DESTROYED {
                        return Ok(Progress::Done);
                    }
                    return Err(error.with_effect(Effect::Unknown));
                }
                Err(error) if error.retry() == Retry::Never => {
                    return Err(error.with_effect(Effect::Unknown));
                }
                Err(_) => {}
            }
            if state == Machine::STARTED {
                let seen = self.machine_by_id(operation, &machine.id).await;
                if let Ok(Some(seen)) = seen
                    && seen.state == Machine::FAILED
                {
                    return Err(failed(operation, &seen));
                }
            }
            if !looks.pause().await {
                return Ok(Progress::Running);
            }
        }
    }
}

/// Says that a machine could not be started.
pub(super) fn failed(operation: &'static str, machine: &Machine) -> Error {
    let message = format!("the machine {} at Fly could not be started", machine.id);
    Error::new(ErrorKind::Unavailable, message)
        .with_operation(operation)
        .with_provider_code(Machine::FAILED)
        .with_effect(Effect::Unknown)
        .with_context("machine", &machine.id)
        .with_hint("look at the image and the command: the app's logs say what failed")
}
