//! The life of workspaces for coding agents, as a library: records and their decisions, the
//! engine that carries them out, and the traits through which it touches the outside.
//!
//! The core opens no socket, touches no file, reads no environment and no clock: everything is
//! handed in. Start at [`Sam`].

pub mod account;
pub mod auth;
pub mod blob;
pub mod boot;
pub mod compute;
pub mod credential;
pub mod delivery;
pub mod dns;
pub mod engine;
pub mod entropy;
pub mod error;
pub mod forge;
pub mod hold;
pub mod http;
pub mod id;
pub mod keys;
pub mod layer;
pub mod node;
pub mod node_link;
pub mod orphan;
pub mod page;
pub mod policy;
pub mod published_name;
pub mod replica;
pub mod request;
pub mod restore;
pub mod sam;
pub mod secrets;
pub mod spend;
pub mod store;
pub mod sweep;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod volume;
pub mod workspace;

mod millis;
mod permits;
mod secret;

pub use self::error::{Effect, Error, ErrorKind, ErrorRecord, Report, Result, Retry};
pub use self::id::{
    AccountId, CommitId, CredentialId, NodeId, OperationId, ProjectId, SessionId, TerminalId,
    WorkspaceId,
};
pub use self::page::Page;
pub use self::policy::Policy;
pub use self::restore::Restore;
pub use self::sam::{Caller, FeedItem, Sam, SamBuilder};
pub use self::secret::Secret;
