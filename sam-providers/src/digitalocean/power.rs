//! Switching droplets.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use sam_core::compute::{MachineKey, Power, PowerControl};
use sam_core::{Effect, Error, ErrorKind, Result};
use serde_json::json;

use super::DigitalOceanCompute;
use super::actions::ACTION_FAILED;
use super::dialect::is_locked;
use super::wire::{Droplet, OneAction};
use crate::api::{Call, Looks};

const OPERATION: &str = "set_power";

const SHUTDOWN: &str = "shutdown";
const POWER_OFF: &str = "power_off";
const POWER_ON: &str = "power_on";

/// How long a machine has to shut itself down: what it has not written by then is lost, as if its plug
/// was pulled.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(10);

#[async_trait]
impl PowerControl for DigitalOceanCompute {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        let mut looks = self.looks();
        let missing = || {
            Error::new(ErrorKind::NotFound, format!("there is no machine {key}"))
                .with_operation(OPERATION)
        };
        let oldest = self.droplets_of(OPERATION, key).await?.into_iter().next();
        let mut droplet = oldest.ok_or_else(missing)?;
        let (id, mut sent) = (droplet.id, None);
        loop {
            // What runs on it may switch it still: another call's shutdown.
            let is_new = droplet.status == Droplet::NEW && power == Power::On;
            if is_new || (droplet.power() == power && !droplet.locked) {
                return Ok(());
            }
            let verb = match (power, sent) {
                _ if droplet.locked => None,
                (Power::Off, None) => Some(SHUTDOWN),
                (Power::Off, Some(SHUTDOWN)) if looks.elapsed() >= SHUTDOWN_WAIT => Some(POWER_OFF),
                (Power::On, None) => Some(POWER_ON),
                // It is done, and may be shown a little later.
                _ => None,
            };
            let mut locked = None;
            if let Some(verb) = verb {
                match self.switch(id, verb, &mut looks).await {
                    Ok(()) => sent = Some(verb),
                    Err(error) if is_locked(&error) => locked = Some(error),
                    Err(error) => return Err(error),
                }
            }
            if !looks.pause().await {
                return Err(locked.unwrap_or_else(|| too_slow(key, power)));
            }
            droplet = self.droplet(OPERATION, id).await?.ok_or_else(missing)?;
        }
    }
}

impl DigitalOceanCompute {
    /// Starts an action of a droplet and waits for it.
    async fn switch(&self, id: u64, verb: &str, looks: &mut Looks<'_>) -> Result<()> {
        let path = format!("/v2/droplets/{id}/actions");
        let call = Call::new(OPERATION, Method::POST, path).with_body(&json!({ "type": verb }));
        let started: OneAction = self.api.send(&call).await?.read()?;
        // One that goes on is seen by the state of the droplet.
        match self.finish(OPERATION, started.action, looks).await {
            // The signal was sent; whether anybody listened is another question.
            Err(error) if verb == SHUTDOWN && error.provider_code() == Some(ACTION_FAILED) => {
                Ok(())
            }
            progress => progress.map(drop),
        }
    }
}

fn too_slow(key: &MachineKey, power: Power) -> Error {
    let wanted = if power == Power::Off { "off" } else { "on" };
    Error::new(ErrorKind::Timeout, format!("{key} is not {wanted} yet"))
        .with_operation(OPERATION)
        .with_effect(Effect::Unknown)
}
