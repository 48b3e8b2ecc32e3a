//! The bounds of a commit, checked alike before every store looks at it.

use super::commit::{Actor, Commit, UniqueChange, WriteOp};
use super::record::{Record, RecordKey};
use crate::error::{Error, ErrorKind};

impl Commit {
    /// Checks the bounds that hold for every store.
    ///
    /// # Errors
    /// `BadInput` naming the bound that is exceeded.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |message: String| Err(Error::new(ErrorKind::BadInput, message));
        let parts = [self.checks.len(), self.writes.len(), self.unique.len(), self.wakes.len()];
        if parts.into_iter().any(|count| count > Self::PARTS_MAX) {
            return bad(format!("a commit has at most {} parts of a sort", Self::PARTS_MAX));
        }
        if self.actor.as_str().len() > Actor::BYTES_MAX {
            return bad(format!("the actor's name is longer than {} bytes", Actor::BYTES_MAX));
        }
        if self.request_id.as_ref().is_some_and(|id| id.len() > Self::REQUEST_ID_BYTES_MAX) {
            let most = Self::REQUEST_ID_BYTES_MAX;
            return bad(format!("the request id is longer than {most} bytes"));
        }
        for key in self.keys() {
            if key.id.is_empty() || key.id.len() > RecordKey::ID_BYTES_MAX {
                return bad(format!("record id of {} bytes", key.id.len()));
            }
        }
        for change in &self.unique {
            let (UniqueChange::Claim { space, key, .. } | UniqueChange::Release { space, key, .. }) =
                change;
            if key.len() > Self::UNIQUE_BYTES_MAX {
                return bad(format!("a {space} of {} bytes", key.len()));
            }
        }
        self.validate_writes()
    }

    /// Returns every record it names, some more than once.
    fn keys(&self) -> impl Iterator<Item = &RecordKey> {
        let holders = self.unique.iter().map(|change| match change {
            UniqueChange::Claim { holder, .. } | UniqueChange::Release { holder, .. } => holder,
        });
        let written = self.writes.iter().map(|write| &write.key);
        let checked = self.checks.iter().map(|(key, _)| key);
        written.chain(checked).chain(&self.wakes).chain(holders)
    }

    fn validate_writes(&self) -> Result<(), Error> {
        let bad = |message: String| Err(Error::new(ErrorKind::BadInput, message));
        let mut bytes = 0_usize;
        for (position, write) in self.writes.iter().enumerate() {
            if self.writes.iter().take(position).any(|other| other.key == write.key) {
                return bad(format!("{} is written twice in one commit", write.key));
            }
            let WriteOp::Put { index, body, .. } = &write.op else { continue };
            if body.len() > Record::BODY_BYTES_MAX {
                let (found, most) = (body.len(), Record::BODY_BYTES_MAX);
                let key = &write.key;
                return bad(format!("the body of {key} has {found} bytes, the most is {most}"));
            }
            if index.iter().flatten().any(|value| value.len() > Record::INDEX_BYTES_MAX) {
                let most = Record::INDEX_BYTES_MAX;
                return bad(format!("an indexed value of {} is over {most} bytes", write.key));
            }
            bytes += body.len();
        }
        if bytes > Self::BODY_BYTES_MAX {
            let most = Self::BODY_BYTES_MAX;
            return bad(format!("the bodies of a commit have {bytes} bytes, the most is {most}"));
        }
        Ok(())
    }
}
