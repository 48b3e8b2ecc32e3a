//! GitHub for SAM.

mod access;
mod app;
mod client;
mod encode;
mod endpoints;
mod flight;
mod git_credential;
mod ids;
mod pages;
mod permissions;
pub mod private_key;
mod repository;
mod rs256;
pub mod sign_in;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod webhook;

pub use self::app::{
    Account, AppInfo, GithubApp, GithubAppBuilder, Installation, InstallationToken, TokenScope,
    mint_app_jwt,
};
pub use self::endpoints::Endpoints;
pub use self::git_credential::{
    GitAccess, GitCredential, GitCredentialAction, GitCredentialRequest,
};
pub use self::ids::{InstallationId, Issuer, RepositoryId, UserId};
pub use self::permissions::{Level, Permissions};
pub use self::private_key::{PrivateKey, PrivateKeyError};
pub use self::repository::{Branch, BranchCommit, Repository};
pub use self::rs256::{Rs256Signer, Rs256Verifier};
pub use self::webhook::{Delivery, DeliveryId, Event, WebhookError, WebhookSecrets};
