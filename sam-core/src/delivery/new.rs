//! A delivery on its way in.

use super::record::{DeliveryOutcome, DeliveryPayload, DeliveryRecord, DeliveryState, sha256_hex};
use crate::engine::{Stored as _, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Record;
use crate::time::Timestamp;

/// A delivery whose signature was checked by the host.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewDelivery {
    /// What the forge calls it: 1 to [`DeliveryRecord::ID_BYTES_MAX`] bytes of `[a-z0-9-]`.
    pub id: String,
    /// Its event: 1 to [`DeliveryRecord::NAME_BYTES_MAX`] bytes.
    pub event: String,
    /// The repository it is about, by the forge's unchanging name.
    pub repository: Option<String>,
    /// The installation it is about.
    pub installation: Option<String>,
    /// The branch or tag, where the newest delivery of the same repository and branch is enough.
    pub branch: Option<String>,
    /// Whether there is something to do.
    pub has_work: bool,
    body_sha256: String,
    body_bytes: u64,
    payload: String,
    is_whole: bool,
}

impl NewDelivery {
    /// Describes a delivery by the bytes that were delivered. Only their hash and length are taken; what
    /// the handler is to be told comes by [`NewDelivery::with_payload`].
    pub fn new(id: impl Into<String>, event: impl Into<String>, body: &[u8]) -> Self {
        Self {
            id: id.into(),
            event: event.into(),
            repository: None,
            installation: None,
            branch: None,
            has_work: true,
            body_sha256: sha256_hex(&[body]),
            body_bytes: body.len() as u64,
            payload: String::new(),
            is_whole: false,
        }
    }

    /// Sets what the handler is told: `whole`, or what `essentials` makes of it for the number of bytes
    /// there is room for, where a record cannot hold it.
    ///
    /// # Errors
    /// `BadInput` when the essentials do not fit either; what `essentials` says.
    pub fn with_payload(
        mut self,
        whole: &str,
        essentials: impl FnOnce(usize) -> Result<String>,
    ) -> Result<Self> {
        self.is_whole = fits(&self.id, whole)?;
        self.payload = if self.is_whole { whole.to_owned() } else { essentials(ROOM)? };
        if self.is_whole || fits(&self.id, &self.payload)? {
            return Ok(self);
        }
        let message = format!("the essentials of a delivery have more than {ROOM} bytes");
        Err(Error::new(ErrorKind::BadInput, message).with_operation("receive_delivery"))
    }

    /// Names the repository, whose deliveries are handled one after the other.
    #[must_use]
    pub fn with_repository(mut self, repository: Option<String>) -> Self {
        self.repository = repository;
        self
    }

    /// Names the installation, whose deliveries are handled one after the other where no repository is
    /// named.
    #[must_use]
    pub fn with_installation(mut self, installation: Option<String>) -> Self {
        self.installation = installation;
        self
    }

    /// Names the branch of the repository, where the newest delivery for it is enough.
    #[must_use]
    pub fn with_branch(mut self, branch: Option<String>) -> Self {
        self.branch = branch;
        self
    }

    /// Says that there is nothing to do: it is remembered, and that is all.
    #[must_use]
    pub fn without_work(mut self) -> Self {
        self.has_work = false;
        self
    }

    /// Checks it and makes the records of it.
    pub(crate) fn into_records(
        self,
        now: Timestamp,
    ) -> Result<(DeliveryRecord, Option<DeliveryPayload>)> {
        self.check()?;
        let payload = DeliveryPayload::new(self.id.clone(), self.payload);
        let record = DeliveryRecord {
            format: DeliveryRecord::FORMAT,
            id: self.id,
            event: self.event,
            repository: self.repository,
            installation: self.installation,
            branch: self.branch,
            body_sha256: self.body_sha256,
            body_bytes: self.body_bytes,
            is_whole: self.is_whole,
            state: DeliveryState::Received,
            received_at: now,
            state_at: now,
            place: None,
            attempts: 0,
            retry_at: None,
            error: None,
            outcome: None,
            superseded_by: None,
        };
        if self.has_work {
            return Ok((record, Some(payload)));
        }
        Ok((record.done(DeliveryOutcome::Nothing, now), None))
    }

    fn check(&self) -> Result<()> {
        let bad = |what: &str| {
            let error = Error::new(ErrorKind::BadInput, format!("a delivery's {what}"));
            Err(error.with_operation("receive_delivery"))
        };
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=DeliveryRecord::ID_BYTES_MAX).contains(&self.id.len())
            || !self.id.bytes().all(legal)
        {
            return bad("id is 1 to 64 lower-case letters, digits and hyphens");
        }
        let names = [Some(&self.event), self.repository.as_ref(), self.installation.as_ref()];
        let name_lengths = 1..=DeliveryRecord::NAME_BYTES_MAX;
        if names.into_iter().flatten().any(|name| !name_lengths.contains(&name.len())) {
            return bad("event, repository and installation have 1 to 128 bytes");
        }
        let branch_lengths = 1..=DeliveryRecord::BRANCH_BYTES_MAX;
        if self.branch.as_ref().is_some_and(|branch| !branch_lengths.contains(&branch.len())) {
            return bad("branch has 1 to 1024 bytes");
        }
        Ok(())
    }
}

/// Payloads hold names and messages of private repositories: only the length is shown.
impl std::fmt::Debug for NewDelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewDelivery")
            .field("id", &self.id)
            .field("event", &self.event)
            .field("body_bytes", &self.body_bytes)
            .finish_non_exhaustive()
    }
}

/// Bytes that essentials may have: as JSON text inside JSON they grow to at most twice as many, unless
/// they hold control characters, which JSON itself does not.
const ROOM: usize = (Record::BODY_BYTES_MAX - 1_024) / 2;

/// Returns whether a record holds a payload.
fn fits(id: &str, text: &str) -> Result<bool> {
    if text.len() > Record::BODY_BYTES_MAX {
        return Ok(false);
    }
    let payload = DeliveryPayload::new(id.to_owned(), text.to_owned());
    Ok(encode(&payload)?.len() <= Record::BODY_BYTES_MAX)
}
