//! GitHub for SAM, and for any host that wants it alone: tokens of an App that are always good, keys
//! in whatever wrapping people paste, webhooks, sign-in, repositories, and credentials for git.
//!
//! The crate opens no socket, reads no clock and spawns nothing: the host hands in an
//! [`HttpTransport`](sam_core::http::HttpTransport), a [`Clock`](sam_core::time::Clock) and, for
//! sign-in, random bytes. What it keeps is in memory, bounded, and can be lost.
//!
//! | a host wants to | takes |
//! |---|---|
//! | read the App's key, or convert it | [`PrivateKey::from_setting`], [`private_key::pkcs1_to_pkcs8_der`] |
//! | sign, with the key here or in a key service | [`Rs256Signer`], or its own [`Signer`](sam_core::keys::Signer) |
//! | have tokens | [`GithubApp::installation_token`], or [`GithubApp`] as a [`RepoAccess`](sam_core::forge::RepoAccess) |
//! | let git in a workspace clone, fetch and push | [`GithubApp::git_credential`] |
//! | list and search repositories and branches | [`GithubApp::repositories`], [`GithubApp::branches`], [`sign_in::SignIn::repositories`] |
//! | receive webhooks | [`WebhookSecrets::delivery`], then [`Delivery::event`] |
//! | sign people in | [`sign_in::SignIn`], [`sign_in::Callback`], [`sign_in::install_url`] |
//! | test against a GitHub | `testkit::FakeGithub` (feature `testkit`) |
//!
//! Every error is a [`sam_core::Error`]: its kind says what it is, its retry whether and when trying
//! again helps, its effect whether it may have happened, its provider code which of GitHub's
//! refusals it was, and its hint what to do. None holds a secret.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use sam_core::time::{ManualClock, Timestamp};
//! use sam_github::testkit::{FakeApp, FakeGithub, FakeInstallation, FakeRepository};
//! use sam_github::{
//!     GithubApp, InstallationId, Level, Permissions, PrivateKey, RepositoryId, Rs256Signer, TokenScope,
//! };
//! # let setting = include_str!("../tests/keys/rsa2048.pkcs1.pem");
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! // The key: a PEM, its base64, one line with `\n`, or the path of a file.
//! let signer = Rs256Signer::new(&PrivateKey::from_setting(setting)?)?;
//!
//! // A GitHub to try it on. A real host hands in its transport and its clock instead.
//! let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
//! let github = FakeGithub::new(FakeApp::new(7, signer.public_key()), clock.clone());
//! github.put_repository(FakeRepository::new(1_000, "octo", "hello"));
//! let write = Permissions::new().with("contents", Level::Write);
//! github.put_installation(FakeInstallation::new(42, "octo", write.clone()));
//!
//! let app = GithubApp::builder("7".parse()?, Arc::new(signer))
//!     .endpoints(github.endpoints())
//!     .build(Arc::new(github.clone()), clock);
//!
//! // A token for one repository, by its number, good for half an hour at least.
//! let scope = TokenScope::new(InstallationId::new(42), [RepositoryId::new(1_000)], write)?;
//! let token = app.installation_token(&scope, Duration::from_mins(30)).await?;
//! assert!(github.allows(token.token.expose(), 1_000, "contents", Level::Write));
//!
//! // Asked again, or by sixty-four at once, GitHub is not asked again.
//! app.installation_token(&scope, Duration::from_mins(30)).await?;
//! assert_eq!(github.count("POST /app/installations/42/access_tokens"), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The `rsa` crate is used to read and check keys and for nothing else: nothing is signed or
//! decrypted with it, because its arithmetic does not run in constant time. `clippy.toml` and
//! `deny.toml` hold that line.

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
mod workspace_git;

pub use self::app::{
    Account, AppInfo, GithubApp, GithubAppBuilder, HookConfig, Installation, InstallationToken,
    SentDelivery, TokenScope, mint_app_jwt,
};
pub use self::endpoints::Endpoints;
pub use self::git_credential::{
    GitAccess, GitCredential, GitCredentialAction, GitCredentialRequest,
};
pub use self::ids::{InstallationId, Issuer, RepositoryId, UserId};
pub use self::permissions::{Level, Permissions};
pub use self::private_key::{PrivateKey, PrivateKeyError};
pub use self::repository::{Branch, BranchCommit, Repository, RepositoryRights};
pub use self::rs256::{Rs256Signer, Rs256Verifier};
pub use self::webhook::{Delivery, DeliveryId, Event, WebhookError, WebhookSecrets};
pub use self::workspace_git::KnownRepository;
