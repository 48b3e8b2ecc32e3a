//! What is stored of a delivery, and of those that wait in its stream.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{InvalidTransition, Stored};
use crate::error::{Error, ErrorKind, ErrorRecord, Result};
use crate::store::{Index, IndexField, Kind, RecordKey};
use crate::time::Timestamp;

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryState {
    /// It waits in its stream, or is being handled.
    Queued,
    /// It was handled.
    Done,
    /// It was given up on; it can be queued again.
    Failed,
    /// A newer one replaced it before it was handled.
    Superseded,
}

impl DeliveryState {
    /// Every state, for tables.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Done, Self::Failed, Self::Superseded];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }

    /// Returns the states that may follow, beside the state itself.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Queued => &[Self::Done, Self::Failed, Self::Superseded],
            Self::Failed => &[Self::Queued],
            Self::Done | Self::Superseded => &[],
        }
    }
}

/// A delivery that came in and was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewDelivery {
    /// Whom it is from, such as `github`: letters, digits and `-`, at most 16 bytes.
    pub source: String,
    /// What the sender knows it by; a redelivery repeats it. Letters, digits, `._-`, at most 64 bytes.
    pub id: String,
    /// What it is about, such as `push`; at most 64 bytes.
    pub event: String,
    /// Those with the same are handled in order; others side by side. As `id`; none is a stream, too.
    pub stream: Option<String>,
    /// Within a stream, a newer one with the same replaces one that still waits; at most 256 bytes.
    pub replaces: Option<String>,
    /// What it says, as much as the handler needs. No secret. With the rest of the record at most
    /// 256 KiB as JSON.
    pub body: String,
}

impl NewDelivery {
    /// Describes a delivery of no stream.
    pub fn new(
        source: impl Into<String>,
        id: impl Into<String>,
        event: impl Into<String>,
        body: impl Into<String>,
    ) -> Self {
        let (source, id) = (source.into(), id.into());
        Self { source, id, event: event.into(), stream: None, replaces: None, body: body.into() }
    }

    /// Puts it in a stream.
    #[must_use]
    pub fn with_stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }

    /// Lets it replace one that still waits.
    #[must_use]
    pub fn with_replaces(mut self, replaces: impl Into<String>) -> Self {
        self.replaces = Some(replaces.into());
        self
    }

    /// Checks the bounds.
    pub(super) fn check(&self) -> Result<()> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let word = |text: &str, max: usize| {
            !text.is_empty() && text.len() <= max && text.bytes().all(legal)
        };
        let good = word(&self.source, 16)
            && !self.source.contains('.')
            && word(&self.id, 64)
            && !self.event.is_empty()
            && self.event.len() <= 64
            && self.stream.as_deref().is_none_or(|stream| word(stream, 64))
            && self.replaces.as_ref().is_none_or(|replaces| replaces.len() <= 256);
        if good {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::BadInput,
            "a delivery's source, id, event or stream is malformed",
        )
        .with_operation("receive_delivery"))
    }
}

/// A delivery as it is stored. Indexed by state, source and event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliveryRecord {
    /// Format of this record.
    pub format: u32,
    /// Whom it is from.
    pub source: String,
    /// What the sender knows it by.
    pub id: String,
    /// What it is about.
    pub event: String,
    /// The stream it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What it replaces, and is replaced by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// What it says; empty once it was handled or replaced.
    pub body: String,
    /// Where it is in its life.
    pub state: DeliveryState,
    /// When it was first received.
    pub received_at: Timestamp,
    /// When it got its state.
    pub state_at: Timestamp,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

impl DeliveryRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("delivery");
    /// Indexed by state.
    pub const BY_STATE: IndexField = IndexField::First;
    /// How long a delivery is known after it got its state: ten times as long as GitHub can send it
    /// again.
    pub const KEPT: Duration = Duration::from_hours(30 * 24);

    /// Describes one that was just received.
    pub(super) fn received(new: &NewDelivery, now: Timestamp) -> Self {
        let NewDelivery { source, id, event, stream, replaces, body } = new.clone();
        Self {
            format: <Self as Stored>::FORMAT,
            source,
            id,
            event,
            stream,
            replaces,
            body,
            state: DeliveryState::Queued,
            received_at: now,
            state_at: now,
            error: None,
        }
    }

    /// Returns the key of a delivery's record.
    pub fn key_of(source: &str, id: &str) -> RecordKey {
        RecordKey::new(Self::KIND, format_args!("{source}.{id}"))
    }

    /// Returns the key of the inbox it waits in.
    pub fn inbox(&self) -> RecordKey {
        InboxRecord::key_of(&self.source, self.stream.as_deref())
    }

    /// Returns it in another state. What nobody will handle any more keeps no body.
    #[must_use]
    pub fn moved_to(&self, state: DeliveryState, now: Timestamp) -> Self {
        let body = match state {
            DeliveryState::Queued | DeliveryState::Failed => self.body.clone(),
            DeliveryState::Done | DeliveryState::Superseded => String::new(),
        };
        Self { state, state_at: now, body, error: None, ..self.clone() }
    }

    /// Checks that it may become another; see [`DeliveryState::next`].
    ///
    /// # Errors
    /// When the step is not in the table.
    pub fn check_next(&self, to: &Self) -> Result<(), InvalidTransition> {
        if self.state == to.state || self.state.next().contains(&to.state) {
            Ok(())
        } else {
            Err(InvalidTransition::new("delivery", self.state.code(), to.state.code())) // I5
        }
    }
}

impl Stored for DeliveryRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(&self.source, &self.id)
    }

    fn index(&self) -> Index {
        [Some(self.state.code().to_owned()), Some(self.source.clone()), Some(self.event.clone())]
    }

    fn format(&self) -> u32 {
        self.format
    }
}

/// One delivery in line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingDelivery {
    /// Its id.
    pub id: String,
    /// What it is replaced by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Failures in a row.
    #[serde(default)]
    pub attempts: u32,
    /// Not before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

/// The deliveries of one stream that wait, oldest first. It is there while any does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InboxRecord {
    /// Format of this record.
    pub format: u32,
    /// Whom they are from.
    pub source: String,
    /// The stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Who waits, oldest first.
    pub pending: Vec<PendingDelivery>,
    /// Whether the first one is being handled, or was when a process ended.
    #[serde(default)]
    pub handling: bool,
}

impl InboxRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("inbox");
    /// Most deliveries that wait in a stream; what comes beyond is refused, to be delivered again.
    pub const PENDING_MAX: usize = 256;
    /// Tries before a delivery is failed.
    pub const ATTEMPTS_MAX: u32 = 8;

    /// Makes an empty one.
    pub(super) fn new(delivery: &DeliveryRecord) -> Self {
        Self {
            format: <Self as Stored>::FORMAT,
            source: delivery.source.clone(),
            stream: delivery.stream.clone(),
            pending: Vec::new(),
            handling: false,
        }
    }

    /// Returns the key of an inbox.
    pub fn key_of(source: &str, stream: Option<&str>) -> RecordKey {
        RecordKey::new(Self::KIND, format_args!("{source}.{}", stream.unwrap_or_default()))
    }

    /// Returns the one that is being handled.
    pub fn handled(&self) -> Option<&PendingDelivery> {
        self.pending.first().filter(|_| self.handling)
    }

    /// Returns the place of one that still waits and that another replaces.
    pub(super) fn replaced_by(&self, replaces: Option<&str>) -> Option<usize> {
        let first = usize::from(self.handling);
        let same = |waiting: &PendingDelivery| {
            replaces.is_some() && waiting.replaces.as_deref() == replaces
        };
        self.pending.iter().skip(first).position(same).map(|at| at + first)
    }
}

impl Stored for InboxRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(&self.source, self.stream.as_deref())
    }

    fn index(&self) -> Index {
        [None, Some(self.source.clone()), None]
    }

    fn format(&self) -> u32 {
        self.format
    }
}
