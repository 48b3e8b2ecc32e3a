//! The life of workspaces for coding agents, as a library: records and their decisions, the
//! engine that carries them out, and the traits through which it touches the outside.
//!
//! The core opens no socket, touches no file, reads no environment and no clock: everything is
//! handed in.

pub mod auth;
pub mod compute;
pub mod entropy;
pub mod error;
pub mod id;
pub mod keys;
pub mod node_link;
pub mod store;
pub mod time;
pub mod volume;
pub mod workspace;

mod secret;

pub use self::error::{Effect, Error, ErrorKind, ErrorRecord, Report, Result, Retry};
pub use self::id::{
    AccountId, CommitId, CredentialId, NodeId, OperationId, ProjectId, SessionId, TerminalId,
    WorkspaceId,
};
pub use self::secret::Secret;
