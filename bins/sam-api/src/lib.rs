//! SAM's HTTP API: what travels over it, and a typed client for it.
//!
//! The server, the command line and other programs share these types. Field names are
//! `snake_case`, ids and times are text (RFC 3339), spans are milliseconds and say so. Unknown
//! fields of answers are ignored, so that an older client reads a newer server; unknown fields of
//! requests are refused, so that a typing mistake is not a silent default.
//!
//! [`wire`] is the part that node agents speak as well: terminals and commands.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "wire types are spelled out on both sides; a change is a change of the API"
)]

pub mod client;
pub mod deadline;

mod account;
mod credential;
mod daemon;
mod event;
mod github;
mod health;
mod hold;
mod name;
mod node;
mod page;
mod problem;
mod provider;
mod replica;
mod socket_path;
mod span;
mod sweep;
mod time;
mod workspace;

pub use sam_agent::wire;

pub use self::account::{Account, DevicePoll, DevicePolled, DeviceSignIn, LoginsEnded, Me};
pub use self::client::{Client, IdempotencyKey, Target};
pub use self::credential::{AcceptedCredential, CreateCredential, Credential, ReplaceToken};
pub use self::daemon::{DAEMON_READY_LINE, DaemonStatus, DaemonStopping, StartFailure};
pub use self::event::{Change, Event, EventKind, ResourceKind};
pub use self::github::{
    Delivery, DeliveryOutcome, DeliveryReceipt, DeliveryState, GithubBranch, GithubInstallUrl,
    GithubInstallation, GithubRepository,
};
pub use self::health::Health;
pub use self::hold::{DeletionHold, SetDeletionHold};
pub use self::name::{NameState, PublishedName};
pub use self::node::{Node, NodeState};
pub use self::page::Page;
pub use self::problem::{PROBLEM_CONTENT_TYPE, Problem};
pub use self::provider::{Catalog, Provider, ProviderState, SizeOffer};
pub use self::replica::Replica;
pub use self::socket_path::{SOCKET_PATH_BYTES_MAX, SocketPath};
pub use self::span::{ParseSpanError, Span};
pub use self::sweep::{Orphan, OrphanReason, OrphanState, Sweep, SweepTally};
pub use self::time::{ParseTimeError, Time};
pub use self::workspace::{
    CreateWorkspace, IDEMPOTENCY_KEY_HEADER, Lifetime, OperationSummary, Step, StepState,
    Workspace, WorkspaceState, WorkspaceWish,
};
