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
    for (index, change) in commit.unique.iter().enumerate() {
        if let UniqueChange::Claim { space, key, holder } = change
            && let Some(current) = holder_then(view, commit.unique.iter().take(index), (space, key))
            && current != *holder
        {
            return Err(Refusal::UniqueTaken { space, key: key.clone(), holder: current });
        }
    }
    Ok(())
}

/// Returns who holds a name once the commit's earlier changes of names are made: a name can be
/// handed over in one commit, and cannot be taken twice by one.
fn holder_then<'a>(
    view: &impl View,
    earlier: impl Iterator<Item = &'a UniqueChange>,
    name: (&str, &str),
) -> Option<RecordKey> {
    let mut current = view.holder(name.0, name.1);
    for change in earlier {
        match change {
            UniqueChange::Claim { space, key, holder } if (*space, key.as_str()) == name => {
                current = Some(holder.clone());
            }
            UniqueChange::Release { space, key, holder }
                if (*space, key.as_str()) == name && current.as_ref() == Some(holder) =>
            {
                current = None;
            }
            UniqueChange::Claim { .. } | UniqueChange::Release { .. } => {}
        }
    }
    current
}
