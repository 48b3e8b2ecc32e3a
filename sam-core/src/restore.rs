//! How a backup comes back to life: in place of the store it was taken from, or beside it.
//!
//! A backup does not know what was bought, wanted or deleted after it was taken. In place of its
//! store, nothing may therefore be deleted by itself until a person has looked. Beside its store,
//! every machine it names belongs to the original, so the copy must not think it owns one.

use crate::account::{AccountRecord, LoginRecord};
use crate::credential::CredentialRecord;
use crate::delivery::{DeliveryPayload, DeliveryRecord};
use crate::engine::{Stored, decode, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::hold::HoldRecord;
use crate::node::{NodeRecord, NodeState, NodeWish};
use crate::orphan::OrphanRecord;
use crate::published_name::NameRecord;
use crate::replica::{InstallationRecord, LinkRecord, ReplicaRecord};
use crate::request::RequestRecord;
use crate::spend::SpendRecord;
use crate::store::{Expect, Kind, Record, Revise, Write};
use crate::sweep::SweepRecord;
use crate::time::Timestamp;
use crate::workspace::{WorkspaceRecord, WorkspaceState, WorkspaceWish};

/// How a backup is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restore {
    /// As another installation: nodes and workspaces are history, marked deleted without anything
    /// being touched, and what only the original needs is left out, its secrets first of all.
    Copy {
        /// When.
        now: Timestamp,
    },
    /// As the same installation, with automatic deletion held. Replicas, links and the place of local
    /// nodes are found anew.
    Replace {
        /// The hold that is set with it.
        hold: HoldRecord,
    },
}

impl Restore {
    /// Names the change that a restore makes.
    pub const EVENT: &'static str = "restored";

    /// Restores as another installation.
    pub const fn copy(now: Timestamp) -> Self {
        Self::Copy { now }
    }

    /// Restores in place of the store that was backed up.
    pub fn replace(by: impl Into<String>, now: Timestamp) -> Self {
        let reason = "a backup was restored: it does not know what was bought or wanted since";
        Self::Replace { hold: HoldRecord::new(true, reason, by.into(), now) }
    }
}

impl Revise for Restore {
    fn revise(&self, record: &Record) -> Result<Option<Write>> {
        let forget = || Write::delete(record.key.clone(), Expect::Anything, Self::EVENT);
        let kind = &record.key.kind;
        match self {
            Self::Replace { .. } => Ok(FOUND_ANEW.contains(kind).then(forget)),
            Self::Copy { .. } if ORIGINALS.contains(kind) => Ok(Some(forget())),
            // Whose the history is; people sign in to the copy on their own.
            Self::Copy { .. } if *kind == AccountRecord::KIND => Ok(None),
            Self::Copy { now } if *kind == NodeRecord::KIND => {
                let node = decode::<NodeRecord>(record)?.record;
                let gone = node.moved_to(NodeState::Deleted, *now).wished(NodeWish::Gone);
                (!node.state.is_final()).then(|| disowned(&gone)).transpose()
            }
            Self::Copy { now } if *kind == WorkspaceRecord::KIND => {
                let workspace = decode::<WorkspaceRecord>(record)?.record;
                let gone = WorkspaceRecord {
                    wish: WorkspaceWish::Deleted,
                    node: None,
                    ..workspace.moved_to(WorkspaceState::Deleted, *now)
                };
                (!workspace.state.is_final()).then(|| disowned(&gone)).transpose()
            }
            Self::Copy { .. } => {
                // What is not known might own something.
                let message = format!("this program does not know records of the kind {kind}");
                Err(Error::new(ErrorKind::Unsupported, message)
                    .with_operation("restore")
                    .with_hint("restore it with the program that wrote it, or a newer one"))
            }
        }
    }

    fn keeps_claims(&self, kind: &Kind) -> bool {
        match self {
            Self::Replace { .. } => !FOUND_ANEW.contains(kind),
            Self::Copy { .. } => *kind == AccountRecord::KIND,
        }
    }

    fn keeps_secrets(&self) -> bool {
        matches!(self, Self::Replace { .. })
    }

    fn adds(&self) -> Result<Vec<Write>> {
        match self {
            Self::Copy { .. } => Ok(Vec::new()),
            Self::Replace { hold } => {
                let write =
                    Write::put(hold.key(), Expect::Anything, encode(hold)?, "deletion_held");
                Ok(vec![write.with_index(hold.index())])
            }
        }
    }
}

fn disowned<R: Stored>(record: &R) -> Result<Write> {
    let write = Write::put(record.key(), Expect::Anything, encode(record)?, Restore::EVENT);
    Ok(write.with_index(record.index()))
}

/// What says where the control plane runs, and with whom; and logins, of which some may have been
/// ended after the backup was taken: they must not come back to life, so people sign in again.
const FOUND_ANEW: [Kind; 4] =
    [InstallationRecord::KIND, LinkRecord::KIND, LoginRecord::KIND, ReplicaRecord::KIND];
/// What only the installation needs that something was bought by, that its names lead to, or that a
/// forge tells.
const ORIGINALS: [Kind; 13] = [
    CredentialRecord::KIND,
    DeliveryRecord::KIND,
    DeliveryPayload::KIND,
    HoldRecord::KIND,
    InstallationRecord::KIND,
    LinkRecord::KIND,
    NameRecord::KIND,
    LoginRecord::KIND,
    OrphanRecord::KIND,
    ReplicaRecord::KIND,
    RequestRecord::KIND,
    SpendRecord::KIND,
    SweepRecord::KIND,
];
