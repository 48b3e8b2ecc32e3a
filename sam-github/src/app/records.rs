//! What GitHub says of an App and its installations. Members that are not named here are passed
//! over, and one that is missing is no error unless nothing can be done without it.

use serde::Deserialize;

use crate::{InstallationId, Permissions, UserId};

/// An App.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct AppInfo {
    /// Its number.
    pub id: u64,
    /// Its name in addresses.
    pub slug: Option<String>,
    /// Its client id.
    pub client_id: Option<String>,
    /// What it asks owners for.
    #[serde(default)]
    pub permissions: Permissions,
    /// The events that are delivered to it.
    #[serde(default)]
    pub events: Vec<String>,
}

/// A user or an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// Its number, which stays.
    pub id: UserId,
    /// Its name, which may change. An enterprise has a `slug` instead.
    #[serde(alias = "slug")]
    pub login: String,
    /// `User`, `Organization` or another word.
    #[serde(rename = "type", default)]
    pub sort: Option<String>,
}

/// An installation of an App.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Installation {
    /// Its number.
    pub id: InstallationId,
    /// Whose it is.
    pub account: Option<Account>,
    /// What its owner granted.
    #[serde(default)]
    pub permissions: Permissions,
    /// `all` or `selected`.
    pub repository_selection: Option<String>,
    /// When its owner suspended it, if so.
    pub suspended_at: Option<String>,
}

impl Installation {
    /// Returns whether its owner suspended it: no token is to be had then.
    pub const fn is_suspended(&self) -> bool {
        self.suspended_at.is_some()
    }
}
