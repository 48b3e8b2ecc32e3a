//! What is stored of a delivery: the record that has a life, and beside it what was said.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::engine::{InvalidTransition, Stored};
use crate::error::ErrorRecord;
use crate::store::{Index, IndexField, Kind, RecordKey};
use crate::time::Timestamp;

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryState {
    /// It is stored and was acknowledged; others of its line may be before it.
    Received,
    /// It is its turn: the handler was, or is about to be, asked.
    Queued,
    /// Nothing is left to do.
    Done,
    /// It was given up; a person may have it tried again.
    Failed,
}

impl DeliveryState {
    /// Every state, for tables.
    pub const ALL: [Self; 4] = [Self::Received, Self::Queued, Self::Done, Self::Failed];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Returns the states that may follow, beside the state itself.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Received => &[Self::Queued, Self::Done],
            Self::Queued => &[Self::Done, Self::Failed],
            Self::Done => &[],
            // Tried again by a person's word, or nobody's any more.
            Self::Failed => &[Self::Received, Self::Done],
        }
    }

    /// Returns whether it still waits or is worked on.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Received | Self::Queued => true,
            Self::Done | Self::Failed => false,
        }
    }
}

/// How a delivery came to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryOutcome {
    /// It had failed, and nobody looked at it for long.
    Abandoned,
    /// The handler did what there was to do.
    Handled,
    /// There was nothing to do.
    Nothing,
    /// A newer one says all that it did.
    Superseded,
}

/// A delivery as it is stored. Indexed by state, and while it is open by its line and by what it is
/// superseded by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliveryRecord {
    /// Format of this record.
    pub format: u32,
    /// What the forge calls it.
    pub id: String,
    /// Its event, such as `push`.
    pub event: String,
    /// The repository it is about, by the forge's unchanging name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The installation it is about, where no repository is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<String>,
    /// The branch or tag it is about. Of those with the same repository and branch the newest is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// SHA-256 over the bytes that were delivered, in hex.
    pub body_sha256: String,
    /// How many bytes were delivered.
    pub body_bytes: u64,
    /// Whether the kept payload is all that was delivered.
    pub is_whole: bool,
    /// Where it is in its life.
    pub state: DeliveryState,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it got its state.
    pub state_at: Timestamp,
    /// Its place in its line: the revision it was received with. Absent until the record changes, since
    /// the store knows it so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// How often the handler was, or was about to be, asked since a person last asked for it.
    #[serde(default)]
    pub attempts: u32,
    /// When the handler is asked again after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// How it came to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<DeliveryOutcome>,
    /// The newer delivery that says all that it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
}

impl DeliveryRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("delivery");
    /// Indexed by state.
    pub const BY_STATE: IndexField = IndexField::First;
    /// Indexed by line, while it is open.
    pub const BY_LINE: IndexField = IndexField::Second;
    /// Indexed by repository and branch, while it is open.
    pub const BY_BRANCH: IndexField = IndexField::Third;

    /// Longest id, in bytes.
    pub const ID_BYTES_MAX: usize = 64;
    /// Longest name of an event, a repository or an installation, in bytes.
    pub const NAME_BYTES_MAX: usize = 128;
    /// Longest branch, in bytes.
    pub const BRANCH_BYTES_MAX: usize = 1_024;
    /// How often the handler is asked before a delivery has failed for good: for about 20 minutes
    /// under the usual policy.
    pub const ATTEMPTS_MAX: u32 = 12;
    /// How long one that is done is remembered, so that a replay is known: as long as GitHub keeps
    /// deliveries to send them again.
    pub const DONE_KEPT: Duration = Duration::from_hours(3 * 24);
    /// How long one that failed waits for a person.
    pub const FAILED_KEPT: Duration = Duration::from_hours(30 * 24);

    /// Returns the key of a delivery's record.
    pub fn key_of(id: &str) -> RecordKey {
        RecordKey::new(Self::KIND, id)
    }

    /// Returns the line it waits in: that of its repository, else of its installation. Those without a
    /// line wait for nobody.
    pub fn line(&self) -> Option<String> {
        let of = |sort: &str, name: &String| format!("{sort}/{name}");
        let repository = self.repository.as_ref().map(|name| of("repository", name));
        repository.or_else(|| self.installation.as_ref().map(|name| of("installation", name)))
    }

    /// Returns what those share of which the newest is enough: a digest, since branches may be longer
    /// than an index.
    pub fn coalesced_by(&self) -> Option<String> {
        let (repository, branch) = (self.repository.as_ref()?, self.branch.as_ref()?);
        Some(sha256_hex(&[repository.as_bytes(), b"\0", branch.as_bytes()]))
    }

    /// Returns it in another state.
    #[must_use]
    pub fn moved_to(&self, state: DeliveryState, now: Timestamp) -> Self {
        Self { state, state_at: now, ..self.clone() }
    }

    /// Returns it done.
    #[must_use]
    pub fn done(&self, outcome: DeliveryOutcome, now: Timestamp) -> Self {
        let done = self.moved_to(DeliveryState::Done, now);
        Self { outcome: Some(outcome), retry_at: None, ..done }
    }

    /// Returns it to be tried again by a person's word, or `None` unless it has failed.
    pub fn retried(&self, now: Timestamp) -> Option<Self> {
        let again = self.moved_to(DeliveryState::Received, now);
        let again = Self { attempts: 0, retry_at: None, error: None, ..again };
        (self.state == DeliveryState::Failed).then_some(again)
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
        Self::key_of(&self.id)
    }

    fn index(&self) -> Index {
        let is_open = self.state.is_open();
        let line = self.line().filter(|_| is_open);
        let branch = self.coalesced_by().filter(|_| is_open);
        [Some(self.state.code().to_owned()), line, branch]
    }

    fn format(&self) -> u32 {
        self.format
    }
}

/// What a delivery says, or as much of it as is kept. It is never changed, and goes with the record
/// or before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliveryPayload {
    /// Format of this record.
    pub format: u32,
    /// What the forge calls the delivery.
    pub id: String,
    /// The payload.
    pub text: String,
}

impl DeliveryPayload {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("delivery_payload");

    /// Puts one together.
    pub(super) const fn new(id: String, text: String) -> Self {
        Self { format: <Self as Stored>::FORMAT, id, text }
    }

    /// Returns the key of a delivery's payload.
    pub fn key_of(id: &str) -> RecordKey {
        RecordKey::new(Self::KIND, id)
    }
}

/// Payloads hold names and messages of private repositories: only the length is shown.
impl std::fmt::Debug for DeliveryPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeliveryPayload")
            .field("id", &self.id)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl Stored for DeliveryPayload {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(&self.id)
    }

    fn index(&self) -> Index {
        Index::default()
    }

    fn format(&self) -> u32 {
        self.format
    }
}

pub(super) fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}
