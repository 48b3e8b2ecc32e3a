//! The network that all nodes share. It is made for the first node, and goes with the last one.
//!
//! Engines before 25 let two networks have one name. So after making one we look, and of several
//! that are ours the oldest stays: everybody decides the same.

use std::collections::HashMap;

use bollard::models::{Network, NetworkCreateRequest};
use sam_core::compute::Labels;
use sam_core::{Error, ErrorKind, Result};
use tracing::info;

use super::Local;
use super::client::Done;
use super::wire::{Mark, marked};

/// Drivers' option: containers of the network do not reach each other. Nodes may be of different
/// people.
const NO_NEIGHBOURS: (&str, &str) = ("com.docker.network.bridge.enable_icc", "false");

impl Local {
    /// Makes sure that the network is there.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) async fn ensure_network(&self, labels: &Labels) -> Result<()> {
        if !self.networks_of_name().await?.is_empty() {
            return Ok(());
        }
        let (option, value) = NO_NEIGHBOURS;
        let request = NetworkCreateRequest {
            name: self.config.network.clone(),
            driver: Some("bridge".to_owned()),
            options: Some(HashMap::from([(option.to_owned(), value.to_owned())])),
            labels: Some(Mark::new(None, labels.clone()).labels()),
            ..Default::default()
        };
        let made = self.client.create_network(request).await;
        let mut same = self.networks_of_name().await?;
        if same.is_empty() {
            made?;
        }
        // Where there is one, a refusal was somebody else who made it meanwhile.
        same.sort_by_key(|network| (network.created.clone(), network.id.clone()));
        let ours =
            same.iter().skip(1).filter(|network| Mark::read(network.labels.as_ref()).is_some());
        for network in ours.filter_map(|network| network.id.as_deref()) {
            self.client.remove_network(network).await?;
        }
        info!(network = %self.config.network, "the network of docker nodes was made");
        Ok(())
    }

    async fn networks_of_name(&self) -> Result<Vec<Network>> {
        let name = &self.config.network;
        // The engine's filter also finds names that merely contain it.
        let filters = HashMap::from([("name".to_owned(), vec![name.clone()])]);
        let mut found = self.client.networks(filters).await?;
        found.retain(|network| network.name.as_ref() == Some(name));
        Ok(found)
    }

    /// Lists our networks of the configured name, with their marks.
    pub(super) async fn own_networks(&self) -> Result<Vec<(Network, Mark)>> {
        let found = self.client.networks(marked(&Labels::default())).await?;
        let ours =
            found.into_iter().filter(|network| network.name.as_ref() == Some(&self.config.network));
        let marks = ours.filter_map(|network| {
            let mark = Mark::read(network.labels.as_ref())?;
            Some((network, mark))
        });
        Ok(marks.collect())
    }

    /// Returns whether any container, running or not, is of a network.
    pub(super) async fn is_network_used(&self, id: &str) -> Result<bool> {
        let wanted = vec![id.to_owned(), self.config.network.clone()];
        let filters = HashMap::from([("network".to_owned(), wanted)]);
        Ok(!self.client.containers(filters).await?.is_empty())
    }

    /// Removes our network where nothing is of it any more.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) async fn remove_unused_network(&self) -> Result<()> {
        // Nobody here makes a container between the look and the removal. One of another process that
        // does finds its network gone at its start, and makes it again.
        let _alone = self.network.write().await;
        for (network, _) in self.own_networks().await? {
            let Some(id) = network.id else { continue };
            if !self.is_network_used(&id).await? {
                self.client.remove_network(&id).await?;
            }
        }
        Ok(())
    }

    /// Removes a network of ours, as a person or a sweep wants.
    ///
    /// # Errors
    /// `Conflict` while containers are of it; those of the engine.
    pub(super) async fn delete_network(&self, id: &str) -> Result<()> {
        let _alone = self.network.write().await;
        let mut own = self.own_networks().await?.into_iter();
        if !own.any(|(network, _)| network.id.as_deref() == Some(id)) {
            return Ok(());
        }
        let removed = if self.is_network_used(id).await? {
            Done::Conflict
        } else {
            self.client.remove_network(id).await?
        };
        match removed {
            Done::Absent | Done::Yes => Ok(()),
            Done::Conflict => {
                let message = format!("containers are of the network {}", self.config.network);
                Err(Error::new(ErrorKind::Conflict, message)
                    .with_hint("it goes with the last of them"))
            }
        }
    }
}
