//! The app that everything is in. It is made when the first machine is, and costs nothing; it is
//! deleted only by name, never with the last machine: deleting an app would take a machine along that
//! another call is just making.

use http::Method;
use sam_core::{Effect, Error, ErrorKind, Result, Retry};

use super::FlyCompute;
use super::dialect::NAME_TAKEN;
use super::find::absent;
use super::wire::{App, Apps, NewApp};
use crate::api::{Call, segment};

impl FlyCompute {
    /// Returns the path of the app, with what stands behind it.
    pub(super) fn app_path(&self, rest: &str) -> String {
        format!("/apps/{}{rest}", segment(&self.config.app))
    }

    /// Returns the path of a machine of the app, with what stands behind it.
    pub(super) fn machine_path(&self, id: &str, rest: &str) -> String {
        self.app_path(&format!("/machines/{}{rest}", segment(id)))
    }

    /// Makes sure that the app is there, and ours.
    ///
    /// # Errors
    /// `Conflict` when the name is another organisation's.
    pub(super) async fn ensure_app(&self, operation: &'static str) -> Result<()> {
        let answer = absent(self.send(Call::get(operation, self.app_path(""))).await)?;
        if let Some(answer) = answer {
            let app: App = answer.read()?;
            return match app.organization {
                Some(org) if !org.slug.is_empty() && org.slug != self.config.org_slug => {
                    Err(self.foreign_app(operation))
                }
                _ => Ok(()),
            };
        }
        let body = NewApp { name: &self.config.app, org_slug: &self.config.org_slug };
        let call = Call::new(operation, Method::POST, "/apps").with_body(&body);
        match self.send(call).await {
            Ok(_) => Ok(()),
            Err(error) if error.provider_code() == Some(NAME_TAKEN) => {
                // Made by another call, or one whose answer was lost, or by another customer.
                if self.app_is_listed(operation).await? {
                    Ok(())
                } else {
                    Err(self.foreign_app(operation))
                }
            }
            // An app alone is nothing that is paid for: the call may be repeated as if nothing was made.
            Err(error) => Err(error.with_effect(Effect::NotApplied)),
        }
    }

    /// Returns whether the organisation has the app.
    pub(super) async fn app_is_listed(&self, operation: &'static str) -> Result<bool> {
        let call = Call::get(operation, "/apps").with_query("org_slug", &self.config.org_slug);
        let listed: Apps = self.send(call).await?.read()?;
        Ok(listed.apps.into_iter().flatten().any(|app| app.name == self.config.app))
    }

    /// Deletes the app. Fly would take its machines and volumes along, so there must be none.
    pub(super) async fn delete_app(&self, operation: &'static str) -> Result<()> {
        let machines = self.machines(operation).await?;
        let volumes = self.volumes(operation).await?;
        if !machines.is_empty() || volumes.iter().any(super::wire::Volume::is_there) {
            let message = format!("the app {} has machines or volumes", self.config.app);
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_operation(operation)
                .with_retry(Retry::Never)
                .with_hint("delete them first"));
        }
        let call = Call::new(operation, Method::DELETE, self.app_path(""));
        absent(self.send(call).await).map(drop)
    }

    fn foreign_app(&self, operation: &'static str) -> Error {
        let (app, org) = (&self.config.app, &self.config.org_slug);
        let message = format!("there is an app named {app} already, and not in {org}");
        Error::new(ErrorKind::Conflict, message)
            .with_operation(operation)
            .with_provider_code(NAME_TAKEN)
            .with_retry(Retry::Never)
            .with_hint("names of apps are taken from one namespace of all of Fly: choose another")
    }
}
