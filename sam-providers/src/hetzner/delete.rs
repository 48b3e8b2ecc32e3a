//! Deleting a machine, with everything that was bought for it. Volumes are not: they have lives of
//! their own, and Hetzner detaches them.

use http::Method;
use sam_core::compute::{Deletion, MachineKey};
use sam_core::{Error, ErrorKind, Result};
use serde::de::IgnoredAny;

use super::HetznerCompute;
use super::actions::{Progress, in_doubt};
use super::dialect::LOCKED;
use super::find::absent;
use super::wire::{Firewall, PrimaryIp, Server, Started};
use crate::api::{Call, Looks, segment};

const OPERATION: &str = "delete_machine";

impl HetznerCompute {
    /// Deletes the machine of a key: the server, then what only goes once it is gone.
    pub(super) async fn delete(&self, key: &MachineKey) -> Result<Deletion> {
        self.delete_within(key, &mut self.looks()).await
    }

    /// The same, in what is left of another call's time.
    pub(super) async fn delete_within(
        &self,
        key: &MachineKey,
        looks: &mut Looks<'_>,
    ) -> Result<Deletion> {
        while let Some(server) = self.server_of(OPERATION, key).await? {
            if server.status != Server::DELETING {
                self.delete_server(server.id, looks).await?;
            }
            // What was deleted may be shown for a while.
            if !looks.pause().await {
                return Ok(Deletion::InProgress);
            }
        }
        self.delete_addresses(key).await?;
        let gone = self.delete_firewalls(OPERATION, key).await?;
        Ok(if gone { Deletion::Gone } else { Deletion::InProgress })
    }

    /// Deletes a server and waits for it; while another action runs on it, waits for that first.
    pub(super) async fn delete_server(&self, id: u64, looks: &mut Looks<'_>) -> Result<Progress> {
        let call = Call::new(OPERATION, Method::DELETE, format!("/servers/{id}"));
        loop {
            match absent(self.api.send(&call).await) {
                Ok(None) => return Ok(Progress::Done),
                Ok(Some(answer)) => {
                    let started: Started<IgnoredAny> = answer.read()?;
                    return self.finish(OPERATION, started.split().1, looks).await;
                }
                Err(error) if error.provider_code() == Some(LOCKED) => {
                    if !looks.pause().await {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes the addresses of a key that did not go with their server. One that is assigned to another
    /// server by now is an error: a person has to say what shall become of it.
    async fn delete_addresses(&self, key: &MachineKey) -> Result<()> {
        let left: Vec<PrimaryIp> = self.made_under(OPERATION, key.as_str()).await?;
        for address in &left {
            self.delete_thing(OPERATION, "/primary_ips", &address.id.to_string()).await?;
        }
        Ok(())
    }

    /// Deletes the firewall of a key; `false` while it is still on a server.
    pub(super) async fn delete_firewalls(
        &self,
        operation: &'static str,
        key: &MachineKey,
    ) -> Result<bool> {
        let left: Vec<Firewall> = self.made_under(operation, key.as_str()).await?;
        for firewall in &left {
            match self.delete_thing(operation, "/firewalls", &firewall.id.to_string()).await {
                Err(error) if error.provider_code() == Some("resource_in_use") => return Ok(false),
                done => done?,
            }
        }
        Ok(true)
    }

    /// Deletes one thing by its id; the absent is deleted already.
    pub(super) async fn delete_thing(
        &self,
        operation: &'static str,
        path: &str,
        id: &str,
    ) -> Result<()> {
        let call = Call::new(operation, Method::DELETE, format!("{path}/{}", segment(id)));
        absent(self.api.send(&call).await).map(drop)
    }

    /// Deletes one server by its id, and is sure of it.
    pub(super) async fn delete_server_for_good(&self, id: u64) -> Result<()> {
        let mut looks = self.looks();
        self.delete_server(id, &mut looks).await?;
        loop {
            match self.server("delete_owned", id).await.map_err(in_doubt)? {
                None => return Ok(()),
                Some(_) if looks.pause().await => {}
                Some(_) => {
                    let message = format!("the server {id} is still being deleted");
                    return Err(Error::new(ErrorKind::Conflict, message)
                        .with_operation("delete_owned")
                        .with_hint("it goes on: ask again"));
                }
            }
        }
    }
}
