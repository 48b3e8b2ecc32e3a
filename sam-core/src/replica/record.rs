//! What is stored of replicas, links and the installation.

use serde::{Deserialize, Serialize};

use super::Replica;
use crate::engine::Stored;
use crate::id::NodeId;
use crate::store::{Index, Kind, RecordKey};
use crate::time::Timestamp;

/// The installation that a store belongs to; written once, by whoever comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstallationRecord {
    /// Format of this record.
    pub format: u32,
    /// The installation's name.
    pub installation: String,
    /// SHA-256 of its keys, in hex: every replica must have the same.
    pub fingerprint: String,
    /// Names the directory of local nodes, where there is one: every replica must see the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
}

impl InstallationRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("installation");

    /// Describes an installation.
    pub const fn new(
        installation: String,
        fingerprint: String,
        nodes: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self { format: <Self as Stored>::FORMAT, installation, fingerprint, nodes, created_at: now }
    }

    /// Returns the key of the one record.
    pub fn the_key() -> RecordKey {
        RecordKey::new(Self::KIND, "this")
    }
}

/// Which replica holds a node's link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkRecord {
    /// Format of this record.
    pub format: u32,
    /// The node.
    pub node: NodeId,
    /// The replica that holds the link.
    pub replica: Replica,
    /// Rises with every link of the node, on whichever replica: the higher one is the newer.
    pub link_epoch: u64,
    /// Since when.
    pub since: Timestamp,
}

impl LinkRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("link");

    /// Describes a link.
    pub const fn new(node: NodeId, replica: Replica, link_epoch: u64, now: Timestamp) -> Self {
        Self { format: <Self as Stored>::FORMAT, node, replica, link_epoch, since: now }
    }

    /// Returns the key of a node's link.
    pub fn key_of(node: NodeId) -> RecordKey {
        RecordKey::new(Self::KIND, node)
    }
}

/// A replica that serves. There is no heartbeat: one that was killed stays listed until another finds
/// nobody at its address, or takes the address over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplicaRecord {
    /// Format of this record.
    pub format: u32,
    /// The replica.
    pub replica: Replica,
    /// Since when.
    pub since: Timestamp,
}

impl ReplicaRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("replica");

    /// Describes a replica.
    pub const fn new(replica: Replica, now: Timestamp) -> Self {
        Self { format: <Self as Stored>::FORMAT, replica, since: now }
    }

    /// Returns the key of a replica.
    pub fn key_of(replica: &Replica) -> RecordKey {
        RecordKey::new(Self::KIND, &replica.id)
    }
}

macro_rules! stored {
    ($record:ty, $key:expr) => {
        impl Stored for $record {
            const KIND: Kind = Self::KIND;
            const FORMAT: u32 = 1;

            fn key(&self) -> RecordKey {
                let key: fn(&Self) -> RecordKey = $key;
                key(self)
            }

            fn index(&self) -> Index {
                Index::default()
            }

            fn format(&self) -> u32 {
                self.format
            }
        }
    };
}

stored!(InstallationRecord, |_| InstallationRecord::the_key());
stored!(LinkRecord, |link| LinkRecord::key_of(link.node));
stored!(ReplicaRecord, |record| ReplicaRecord::key_of(&record.replica));
