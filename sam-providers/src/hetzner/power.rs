//! Switching servers.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use sam_core::compute::{MachineKey, Power, PowerControl};
use sam_core::{Effect, Error, ErrorKind, Result};
use serde::de::IgnoredAny;

use super::HetznerCompute;
use super::dialect::LOCKED;
use super::wire::{Server, Started};
use crate::api::{Call, Looks};

const OPERATION: &str = "set_power";

/// How long a machine has to shut itself down: what it has not written by then is lost, as if its plug
/// was pulled.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(10);

#[async_trait]
impl PowerControl for HetznerCompute {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        let mut looks = self.looks();
        let missing = || {
            Error::new(ErrorKind::NotFound, format!("there is no machine {key}"))
                .with_operation(OPERATION)
        };
        let mut server = self.server_of(OPERATION, key).await?.ok_or_else(missing)?;
        let (id, mut asked_to_shut_down) = (server.id, false);
        loop {
            let verb = match (power, &*server.status) {
                (_, Server::DELETING) => return Err(missing()),
                (Power::Off, Server::OFF) => return Ok(()),
                (Power::Off, _) if !asked_to_shut_down => Some("shutdown"),
                (Power::Off, _) if looks.elapsed() < SHUTDOWN_WAIT => None,
                (Power::Off, _) => Some("poweroff"),
                (_, Server::OFF) => Some("poweron"),
                (_, Server::STOPPING) => None,
                _ => return Ok(()),
            };
            let locked = match verb {
                None => None,
                Some(verb) => match self.switch(id, verb, &mut looks).await {
                    // The signal was sent; whether anybody listens is another question.
                    Ok(()) if verb == "shutdown" => {
                        asked_to_shut_down = true;
                        None
                    }
                    Ok(()) => return Ok(()),
                    Err(error) if error.provider_code() == Some(LOCKED) => Some(error),
                    Err(error) => return Err(error),
                },
            };
            if !looks.pause().await {
                return Err(locked.unwrap_or_else(|| too_slow(key, power)));
            }
            server = self.server(OPERATION, id).await?.ok_or_else(missing)?;
        }
    }
}

impl HetznerCompute {
    /// Starts an action of a server and waits for it.
    async fn switch(&self, id: u64, verb: &str, looks: &mut Looks<'_>) -> Result<()> {
        let path = format!("/servers/{id}/actions/{verb}");
        let answer = self.api.send(&Call::new(OPERATION, Method::POST, path)).await?;
        let started: Started<IgnoredAny> = answer.read()?;
        // One that goes on is seen by the state of the server.
        self.finish(OPERATION, started.split().1, looks).await.map(drop)
    }
}

fn too_slow(key: &MachineKey, power: Power) -> Error {
    let wanted = if power == Power::Off { "off" } else { "on" };
    Error::new(ErrorKind::Timeout, format!("{key} is not {wanted} yet"))
        .with_operation(OPERATION)
        .with_effect(Effect::Unknown)
}
