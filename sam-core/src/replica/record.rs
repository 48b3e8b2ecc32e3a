//! What is stored of replicas, links and the installation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Replica;
use crate::engine::Stored;
use crate::id::NodeId;
use crate::store::{Due, Index, IndexField, Kind, RecordKey};
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
    /// Indexed by the id of the replica.
    pub const BY_REPLICA: IndexField = IndexField::First;

    /// Describes a link.
    pub const fn new(node: NodeId, replica: Replica, link_epoch: u64, now: Timestamp) -> Self {
        Self { format: <Self as Stored>::FORMAT, node, replica, link_epoch, since: now }
    }

    /// Returns the key of a node's link.
    pub fn key_of(node: NodeId) -> RecordKey {
        RecordKey::new(Self::KIND, node)
    }
}

/// A replica that serves. It renews its record; one that does not is looked at by the engine of any
/// other, and forgotten with its links. Until then it also goes when another finds nobody at its
/// address, or takes the address over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplicaRecord {
    /// Format of this record.
    pub format: u32,
    /// The replica.
    pub replica: Replica,
    /// Since when.
    pub since: Timestamp,
    /// When it last said that it lives; absent before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Timestamp>,
    /// How often it was looked for since and had not renewed it.
    #[serde(default)]
    pub missed: u32,
}

impl ReplicaRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("replica");
    /// How often a replica says that it lives. Each is a change of the feed, so not more often than
    /// what follows from it is worth: agents and requests find a dead replica by themselves.
    pub const RENEW_EVERY: Duration = Duration::from_mins(1);
    /// From a renewal until the replica is missed.
    pub const LAPSES_AFTER: Duration = Duration::from_mins(2);
    /// Between two looks at one that is missed.
    pub const LOOK_AGAIN: Duration = Duration::from_secs(30);
    /// Looks that must find nothing before it is forgotten.
    pub const MISSED_MAX: u32 = 2;

    /// Describes a replica.
    pub const fn new(replica: Replica, now: Timestamp) -> Self {
        let format = <Self as Stored>::FORMAT;
        Self { format, replica, since: now, renewed_at: None, missed: 0 }
    }

    /// Returns it as one that lives.
    #[must_use]
    pub fn renewed(&self, now: Timestamp) -> Self {
        Self { renewed_at: Some(now), missed: 0, ..self.clone() }
    }

    /// Returns when it is missed unless it is renewed: never where nobody else could look for it.
    pub fn due(&self) -> Due {
        if self.replica.url.is_empty() { Due::Never } else { Due::In(Self::LAPSES_AFTER) }
    }

    /// Returns the key of a replica.
    pub fn key_of(replica: &Replica) -> RecordKey {
        RecordKey::new(Self::KIND, &replica.id)
    }
}

macro_rules! stored {
    ($record:ty, $key:expr, $index:expr) => {
        impl Stored for $record {
            const KIND: Kind = Self::KIND;
            const FORMAT: u32 = 1;

            fn key(&self) -> RecordKey {
                let key: fn(&Self) -> RecordKey = $key;
                key(self)
            }

            fn index(&self) -> Index {
                let index: fn(&Self) -> Index = $index;
                index(self)
            }

            fn format(&self) -> u32 {
                self.format
            }
        }
    };
}

stored!(InstallationRecord, |_| InstallationRecord::the_key(), |_| Index::default());
stored!(LinkRecord, |link| LinkRecord::key_of(link.node), |link| {
    [Some(link.replica.id.clone()), None, None]
});
stored!(ReplicaRecord, |record| ReplicaRecord::key_of(&record.replica), |_| Index::default());
