//! Switching machines.

use async_trait::async_trait;
use http::Method;
use sam_core::compute::{MachineKey, Power, PowerControl};
use sam_core::{Effect, Error, ErrorKind, Result};
use serde_json::json;

use super::FlyCompute;
use super::lease::{After, is_busy};
use super::wait::Progress;
use super::wire::Machine;
use crate::api::Call;

const OPERATION: &str = "set_power";

/// How long a machine has to shut itself down, in the notation of Fly: what it has not written by then is
/// lost, as if its plug was pulled.
const STOP_TIMEOUT: &str = "10s";

#[async_trait]
impl PowerControl for FlyCompute {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        let mut looks = self.looks();
        let missing = || {
            Error::new(ErrorKind::NotFound, format!("there is no machine {key}"))
                .with_operation(OPERATION)
        };
        let found = self.machine_of(OPERATION, key).await?;
        let mut machine = found.filter(|machine| !machine.is_going()).ok_or_else(missing)?;
        loop {
            if machine.is_going() {
                return Err(missing());
            }
            let stopping = machine.state == Machine::STOPPING;
            let (verb, wanted) = match power {
                Power::Off if machine.is_off() => return Ok(()),
                Power::Off => ("stop", Machine::STOPPED),
                _ if !machine.is_off() && !stopping => return Ok(()),
                _ => ("start", Machine::STARTED),
            };
            if !stopping {
                let path = self.machine_path(&machine.id, &format!("/{verb}"));
                let mut call = Call::new(OPERATION, Method::POST, path);
                if verb == "stop" {
                    call = call.with_body(&json!({ "signal": "SIGTERM", "timeout": STOP_TIMEOUT }));
                }
                match self.change(&machine.id, call, After::Release).await {
                    Err(error) if is_busy(&error) => {
                        if !looks.pause().await {
                            return Err(error);
                        }
                        machine = self.seen_again(&machine).await?.ok_or_else(missing)?;
                        continue;
                    }
                    done => done.map(drop)?,
                }
            }
            // One that is stopping is waited for in any case: it cannot be started before.
            let awaited = if stopping { Machine::STOPPED } else { wanted };
            let progress = self.wait(OPERATION, &machine, awaited, &mut looks).await?;
            // It is looked at again, also when it is done: another call may want the opposite.
            machine = self.seen_again(&machine).await?.ok_or_else(missing)?;
            let is_so = (power == Power::Off) == machine.is_off();
            match progress {
                _ if is_so && machine.state != Machine::STOPPING => return Ok(()),
                Progress::Done => {}
                Progress::Running => return Err(too_slow(key, power)),
            }
            if !looks.pause().await {
                return Err(too_slow(key, power));
            }
        }
    }
}

impl FlyCompute {
    async fn seen_again(&self, machine: &Machine) -> Result<Option<Machine>> {
        self.machine_by_id(OPERATION, &machine.id).await
    }
}

fn too_slow(key: &MachineKey, power: Power) -> Error {
    let wanted = if power == Power::Off { "off" } else { "on" };
    Error::new(ErrorKind::Timeout, format!("{key} is not {wanted} yet"))
        .with_operation(OPERATION)
        .with_effect(Effect::Unknown)
}
