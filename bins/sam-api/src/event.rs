//! The feed over HTTP: `GET /api/events` as server-sent events.
//!
//! Every event carries its cursor as `id:`. Without `after` and without `Last-Event-ID` the stream
//! begins at the head of the feed at the moment the reply's headers are sent, so that a client
//! that opens the stream first and reads the state second misses nothing.

use serde::{Deserialize, Serialize};

use crate::{Node, PublishedName, Time, Workspace};

/// The value of `event:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A record changed.
    Change,
    /// Nothing changed up to this cursor; sent every 15 seconds of silence.
    Checkpoint,
    /// The cursor asked for is no longer kept.
    Stale,
}

impl EventKind {
    /// Returns the word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Checkpoint => "checkpoint",
            Self::Stale => "stale",
        }
    }

    /// Returns the kind that [`EventKind::code`] names.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Change, Self::Checkpoint, Self::Stale].into_iter().find(|kind| kind.code() == code)
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// The published name of a workspace.
    Name,
    /// A node.
    Node,
    /// A workspace.
    Workspace,
}

/// One change: the data of a `change` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its place in the feed.
    pub cursor: String,
    /// What changed.
    pub kind: ResourceKind,
    /// Which one.
    pub id: String,
    /// A past fact, such as `workspace_running`.
    pub event: String,
    /// When.
    pub at: Time,
    /// On whose behalf.
    pub actor: String,
    /// The workspace after the change, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// The node after the change, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
    /// The published name after the change, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PublishedName>,
}

/// One event of the stream, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A record changed.
    Change(Box<Change>),
    /// Nothing else changed up to this cursor.
    Checkpoint {
        /// The place in the feed.
        cursor: String,
    },
    /// Changes were missed: read the state anew. The stream goes on from `cursor`.
    Stale {
        /// The end of the feed.
        cursor: String,
    },
}

impl Event {
    /// Returns the event's place in the feed.
    pub fn cursor(&self) -> &str {
        match self {
            Self::Change(change) => &change.cursor,
            Self::Checkpoint { cursor } | Self::Stale { cursor } => cursor,
        }
    }
}
