//! Whose a thing is that a provider lists. Pure: the one rule that decides what may be deleted
//! although no record asks for it.

use serde::{Deserialize, Serialize};

use crate::compute::{Labels, MachineKey, OwnedResource};
use crate::id::{NodeId, WorkspaceId};
use crate::node::NodeRecord;
use crate::published_name::NameRecord;
use crate::store::{Epoch, RecordKey};

/// The record that answers for a thing, as its labels name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Named {
    /// A workspace's published name.
    Name(WorkspaceId),
    /// A node.
    Node(NodeId),
}

impl Named {
    /// Every label that names a record which answers for what carries it.
    pub const LABELS: [&'static str; 2] = [Labels::NODE, Labels::WORKSPACE];

    /// Reads the one such label of a thing; `None` when it has none, several, or one that is garbled.
    pub fn of(labels: &Labels) -> Option<Self> {
        match Self::LABELS.map(|label| labels.value(label)) {
            [Some(node), None] => node.parse().ok().map(Self::Node),
            [None, Some(workspace)] => workspace.parse().ok().map(Self::Name),
            [Some(_), Some(_)] | [None, None] => None,
        }
    }

    /// Returns the key of the record.
    pub fn key(self) -> RecordKey {
        match self {
            Self::Name(workspace) => NameRecord::key_of(workspace),
            Self::Node(node) => NodeRecord::key_of(node),
        }
    }
}

/// What a record says of the things that name it in their labels.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// On whose behalf they were made.
    pub owner: &'a str,
    /// Why nobody can want any of them, where the record says so.
    pub over: Option<Reason>,
    /// The sort of which it calls only one its own.
    pub own_sort: &'a str,
    /// The provider's id of that one, once known.
    pub own_id: Option<&'a str>,
}

impl<'a> Answer<'a> {
    /// Answers for things of every sort.
    pub const fn new(owner: &'a str, over: Option<Reason>) -> Self {
        Self { owner, over, own_sort: "", own_id: None }
    }

    /// Calls one thing of a sort its own.
    #[must_use]
    pub const fn with_own(mut self, sort: &'a str, id: Option<&'a str>) -> Self {
        self.own_sort = sort;
        self.own_id = id;
        self
    }
}

/// What is known around a listed thing.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Facts<'a> {
    /// This installation.
    pub installation: &'a str,
    /// The store's epoch.
    pub epoch: &'a Epoch,
    /// What the record says that its labels name.
    pub answer: Option<Answer<'a>>,
    /// Whether the one that this record calls its own is listed, too.
    pub own_listed: bool,
}

impl<'a> Facts<'a> {
    /// Puts facts together about a thing that no record answers for.
    pub const fn new(installation: &'a str, epoch: &'a Epoch) -> Self {
        Self { installation, epoch, answer: None, own_listed: false }
    }

    /// Adds what the record says that the thing's labels name.
    #[must_use]
    pub const fn with_answer(mut self, answer: Option<Answer<'a>>, own_listed: bool) -> Self {
        self.answer = answer;
        self.own_listed = own_listed;
        self
    }
}

/// Why a thing is an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Its record calls another of its sort its own, and that one is there.
    Duplicate,
    /// The records say that this published name is deleted.
    NameDeleted,
    /// The records say that its node is deleted.
    NodeDeleted,
    /// It was made in another epoch: the records were restored since, and may not know all of it.
    OtherEpoch,
    /// Its labels are incomplete or contradict the records.
    Unclear,
}

impl Reason {
    /// Every reason, for tables.
    pub const ALL: [Self; 5] =
        [Self::Duplicate, Self::NameDeleted, Self::NodeDeleted, Self::OtherEpoch, Self::Unclear];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::NameDeleted => "name_deleted",
            Self::NodeDeleted => "node_deleted",
            Self::OtherEpoch => "other_epoch",
            Self::Unclear => "unclear",
        }
    }

    /// Returns whether the records prove that nobody can want it. What is not proven is left to a
    /// person.
    pub const fn is_proof(self) -> bool {
        match self {
            Self::Duplicate | Self::NameDeleted | Self::NodeDeleted => true,
            Self::OtherEpoch | Self::Unclear => false,
        }
    }
}

/// Whose a listed thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// A record answers for it.
    Known,
    /// Ours, and nobody's.
    Orphan(Reason),
    /// A machine of ours whose node has no record: a person decides on it as a node.
    Recover(NodeId),
    /// Another installation's, or a stranger's: it is never touched.
    Strange,
}

/// Decides whose a listed thing is.
///
/// A missing record proves nothing: only a record that says Deleted, or one that names another
/// machine as its own, does, and only for things made in the present epoch with exactly our labels.
pub fn standing(resource: &OwnedResource, facts: Facts<'_>) -> Standing {
    let labels = &resource.labels;
    if labels.value(Labels::INSTALLATION) != Some(facts.installation) {
        return Standing::Strange;
    }
    let Some(named) = Named::of(labels) else { return Standing::Orphan(Reason::Unclear) };
    let Some(answer) = facts.answer else { return unanswered(resource, named) };
    let alike = resource.sort == answer.own_sort;
    let another = answer.own_id.is_some_and(|own| own != resource.provider_id);
    let second = (alike && another && facts.own_listed).then_some(Reason::Duplicate);
    let Some(reason) = answer.over.or(second) else { return Standing::Known };
    let exact = labels.value(Labels::OWNER) == Some(answer.owner);
    let present = labels.value(Labels::EPOCH) == Some(facts.epoch.as_str());
    Standing::Orphan(match (exact, present) {
        (true, true) => reason,
        (true, false) => Reason::OtherEpoch,
        (false, _) => Reason::Unclear,
    })
}

/// Its labels name a record, and there is none.
fn unanswered(resource: &OwnedResource, named: Named) -> Standing {
    match named {
        Named::Node(id)
            if resource.sort == OwnedResource::MACHINE
                && resource.key.as_deref() == Some(MachineKey::of(id).as_str()) =>
        {
            Standing::Recover(id)
        }
        Named::Node(_) | Named::Name(_) => Standing::Orphan(Reason::Unclear),
    }
}
