//! Looking things up, and listing them whole. Fly lists an app's machines, volumes and secrets in one
//! answer each, without pages.

use sam_core::compute::MachineKey;
use sam_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

use super::FlyCompute;
use super::dialect::NOT_FOUND;
use super::wire::{Machine, Secrets, Volume};
use crate::api::{Answer, Call};

/// Things on one page of ours.
pub(super) const PAGE: usize = 50;

impl FlyCompute {
    /// Returns every machine of the app, ours or not, but for those that are gone.
    pub(super) async fn machines(&self, operation: &'static str) -> Result<Vec<Machine>> {
        let mut all: Vec<Machine> = self.listed(operation, "/machines").await?.unwrap_or_default();
        all.retain(|machine| machine.state != Machine::DESTROYED);
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    /// Returns every volume of the app, deleted ones too.
    pub(super) async fn volumes(&self, operation: &'static str) -> Result<Vec<Volume>> {
        let mut all: Vec<Volume> = self.listed(operation, "/volumes").await?.unwrap_or_default();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    /// Returns the names of the app's secrets.
    pub(super) async fn secrets(&self, operation: &'static str) -> Result<Vec<String>> {
        let listed: Option<Secrets> = self.listed(operation, "/secrets").await?;
        let all = listed.and_then(|listed| listed.secrets).unwrap_or_default();
        let mut names: Vec<String> = all.into_iter().map(|secret| secret.name).collect();
        names.sort();
        Ok(names)
    }

    /// Returns a list of the app; `None` when there is no app. A fresh app is known to some of Fly's
    /// nodes before others, so its 404 is believed only where the organisation does not list the app.
    ///
    /// # Errors
    /// `Unavailable` when Fly goes on contradicting itself.
    async fn listed<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        what: &str,
    ) -> Result<Option<T>> {
        let mut looks = self.looks();
        loop {
            let call = Call::get(operation, self.app_path(what));
            match absent(self.send(call).await)? {
                Some(answer) => return answer.read().map(Some),
                None if !self.app_is_listed(operation).await? => return Ok(None),
                None if looks.pause().await => {}
                None => {
                    let message = format!("Fly does not show what is in {} yet", self.config.app);
                    return Err(Error::new(ErrorKind::Unavailable, message)
                        .with_operation(operation)
                        .with_hint("the app is fresh: ask again"));
                }
            }
        }
    }

    /// Returns the machine of a name, whosever it is.
    pub(super) async fn named(
        &self,
        operation: &'static str,
        name: &str,
    ) -> Result<Option<Machine>> {
        let all = self.machines(operation).await?;
        Ok(all.into_iter().find(|machine| machine.name == name))
    }

    /// Returns the machine of a key, if it is ours.
    pub(super) async fn machine_of(
        &self,
        operation: &'static str,
        key: &MachineKey,
    ) -> Result<Option<Machine>> {
        let machine = self.named(operation, key.as_str()).await?;
        Ok(machine.filter(|machine| machine.key().as_ref() == Some(key)))
    }

    /// Returns a machine by its id; `None` when it is gone.
    pub(super) async fn machine_by_id(
        &self,
        operation: &'static str,
        id: &str,
    ) -> Result<Option<Machine>> {
        let answer = self.send(Call::get(operation, self.machine_path(id, ""))).await;
        let machine: Option<Machine> = absent(answer)?.map(|answer| answer.read()).transpose()?;
        Ok(machine.filter(|machine| machine.state != Machine::DESTROYED))
    }
}

/// Takes "there is no such thing" for an answer. The interface's own word is needed for that: a gateway's
/// 404, or that of a wrong address, says nothing of the thing.
pub(super) fn absent(answer: Result<Answer>) -> Result<Option<Answer>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error)
            if error.kind() == ErrorKind::NotFound && error.provider_code() == Some(NOT_FOUND) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
