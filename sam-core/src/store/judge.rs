//! The judge: whether a commit may pass, decided purely, so that every store decides alike.

use super::commit::{Commit, Expect, Refusal, UniqueChange};
use super::lease::Lease;
use super::record::RecordKey;

/// What the judge needs to see of the state a commit would meet.
///
/// A batching store answers from an overlay of what it loaded and of what earlier commits of the
/// same batch wrote.
pub trait View {
    /// Returns a record's version, or `None` when there is no such record.
    fn version(&self, key: &RecordKey) -> Option<u64>;

    /// Returns which record holds a name.
    fn holder(&self, space: &str, key: &str) -> Option<RecordKey>;

    /// Returns whether a lease is the current one and has not ended.
    fn holds(&self, lease: &Lease) -> bool;
}

/// Decides whether a commit may pass.
///
/// The lease is judged first: who lost it learns that, and not that somebody else's work changed
/// a version.
///
/// # Errors
/// The first precondition that does not hold.
pub fn judge(view: &impl View, commit: &Commit) -> Result<(), Refusal> {
    if let Some(lease) = commit.lease.as_ref().map(super::LeaseUse::lease)
        && !view.holds(lease)
    {
        return Err(Refusal::LeaseLost { key: lease.key.clone() }); // I3
    }
    let written = commit.writes.iter().map(|write| (&write.key, write.expect));
    let checked = commit.checks.iter().map(|(key, expect)| (key, *expect));
    for (key, expect) in written.chain(checked) {
        let actual = view.version(key);
        let holds = match expect {
            Expect::Absent => actual.is_none(),
            Expect::Anything => true,
            Expect::Version(version) => actual == Some(version),
        };
        if !holds {
            return Err(Refusal::VersionMismatch { key: key.clone(), actual });
        }
    }
    for change in &commit.unique {
        if let UniqueChange::Claim { space, key, holder } = change
            && let Some(current) = view.holder(space, key)
            && current != *holder
        {
            return Err(Refusal::UniqueTaken { space, key: key.clone(), holder: current });
        }
    }
    Ok(())
}
