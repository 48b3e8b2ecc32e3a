//! An owner's ledger, and whether one more node fits under the cap. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::Stored;
use crate::id::NodeId;
use crate::store::{Due, Index, Kind, RecordKey};
use crate::time::{Month, Timestamp};

/// What an owner may spend. Nothing is capped unless set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SpendCap {
    /// Millionths of the account's currency that nodes may cost in a calendar month (UTC). A new
    /// node needs room for its first hour; nodes that run already are not ended by it.
    pub micros_per_month: Option<u64>,
    /// Nodes at once.
    pub nodes: Option<u32>,
}

impl SpendCap {
    /// Caps the cost of a month.
    #[must_use]
    pub const fn with_micros_per_month(mut self, micros: Option<u64>) -> Self {
        self.micros_per_month = micros;
        self
    }

    /// Caps the nodes at once.
    #[must_use]
    pub const fn with_nodes(mut self, nodes: Option<u32>) -> Self {
        self.nodes = nodes;
        self
    }

    /// Returns whether anything is capped.
    pub const fn is_set(&self) -> bool {
        self.micros_per_month.is_some() || self.nodes.is_some()
    }
}

/// A node that costs something now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spending {
    /// What it costs in an hour, in millionths; zero where the provider names no price.
    pub micros_per_hour: u64,
    /// Since when.
    pub since: Timestamp,
}

impl Spending {
    /// Describes what a node costs.
    pub const fn new(micros_per_hour: u64, since: Timestamp) -> Self {
        Self { micros_per_hour, since }
    }

    /// Returns what it cost between two points in time, rounded up to the begun second.
    fn cost(&self, from: Timestamp, until: Timestamp) -> u64 {
        let begin = self.since.max(from);
        let seconds = until.since(begin).as_micros().div_ceil(1_000_000);
        let micros = seconds.saturating_mul(u128::from(self.micros_per_hour)).div_ceil(3_600);
        u64::try_from(micros).unwrap_or(u64::MAX)
    }
}

/// Why a node does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The month's cost would pass the cap.
    Cost {
        /// What was spent this month, in millionths.
        spent_micros: u64,
        /// The cap.
        micros_max: u64,
    },
    /// There are as many nodes as the cap allows.
    Nodes {
        /// The cap.
        nodes_max: u32,
    },
}

/// An owner's ledger; its id is the owner's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpendRecord {
    /// Format of this record.
    pub format: u32,
    /// Whose it is.
    pub owner: String,
    /// The month that `closed_micros` is of.
    pub month: Month,
    /// What nodes cost this month that are gone.
    pub closed_micros: u64,
    /// Nodes that cost something now; at most [`SpendRecord::NODES_MAX`].
    pub nodes: BTreeMap<NodeId, Spending>,
}

impl SpendRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("spend");
    /// Most nodes of one owner while a cap is set.
    pub const NODES_MAX: u32 = 1_000;

    /// Returns the key of an owner's ledger.
    pub fn key_of(owner: &str) -> RecordKey {
        RecordKey::new(Self::KIND, owner)
    }

    /// Opens a ledger with the nodes an owner has.
    pub fn opened(
        owner: String,
        nodes: impl IntoIterator<Item = (NodeId, Spending)>,
        now: Timestamp,
    ) -> Self {
        let nodes = nodes.into_iter().collect();
        Self { format: Self::FORMAT, owner, month: Month::of(now), closed_micros: 0, nodes }
    }

    /// Returns what was spent in the month of `now`, in millionths.
    pub fn spent_micros(&self, now: Timestamp) -> u64 {
        let month = Month::of(now);
        let closed = if month == self.month { self.closed_micros } else { 0 };
        let open = self.nodes.values().map(|node| node.cost(month.start(), now));
        open.fold(closed, u64::saturating_add)
    }

    /// Returns the ledger with one more node.
    ///
    /// # Errors
    /// Why it does not fit under the cap.
    pub fn admitting(
        &self,
        node: NodeId,
        spending: Spending,
        cap: &SpendCap,
    ) -> Result<Self, Refused> {
        let now = spending.since;
        let nodes_max = cap.nodes.unwrap_or(Self::NODES_MAX).min(Self::NODES_MAX);
        if self.nodes.len() >= usize::try_from(nodes_max).unwrap_or(usize::MAX) {
            return Err(Refused::Nodes { nodes_max });
        }
        if let Some(micros_max) = cap.micros_per_month {
            let spent_micros = self.spent_micros(now);
            if spent_micros.saturating_add(spending.micros_per_hour) > micros_max {
                return Err(Refused::Cost { spent_micros, micros_max });
            }
        }
        let mut next = self.turned(now);
        next.nodes.insert(node, spending);
        Ok(next)
    }

    /// Returns the ledger without nodes that are gone, their cost of this month kept.
    #[must_use]
    pub fn closing(&self, gone: &BTreeMap<NodeId, Timestamp>, now: Timestamp) -> Self {
        let mut next = self.turned(now);
        let start = next.month.start();
        for (id, &ended_at) in gone {
            if let Some(node) = next.nodes.remove(id) {
                next.closed_micros = next.closed_micros.saturating_add(node.cost(start, ended_at));
            }
        }
        next
    }

    /// Begins a new month where one has begun. A clock that went back changes nothing.
    fn turned(&self, now: Timestamp) -> Self {
        let month = Month::of(now);
        if month <= self.month {
            return self.clone();
        }
        Self { month, closed_micros: 0, ..self.clone() }
    }

    /// How long a ledger may rest that nobody wakes: nodes wake it when they are gone, so this only
    /// makes good what was missed.
    pub(super) const REST: Duration = Duration::from_hours(1);

    /// Returns when a ledger with nodes is looked at next.
    pub(crate) const fn due() -> Due {
        Due::In(Self::REST)
    }
}

impl Stored for SpendRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(&self.owner)
    }

    fn index(&self) -> Index {
        Index::default()
    }

    fn format(&self) -> u32 {
        self.format
    }
}
