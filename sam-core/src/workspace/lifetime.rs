//! When a workspace's life is over without anybody asking for its end. Pure.

use std::time::Duration;

use super::record::{Lifetime, WorkspaceRecord};
use crate::policy::Policy;
use crate::time::Timestamp;

/// Why a life is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifeOver {
    /// The client that holds it by a lease did not renew it.
    LeaseLapsed,
    /// It is as old as the policy lets a workspace become.
    TooOld,
}

impl LifeOver {
    /// Returns the event that tells of it.
    pub const fn event(self) -> &'static str {
        match self {
            Self::LeaseLapsed => "lease_lapsed",
            Self::TooOld => "lifetime_over",
        }
    }
}

/// Returns how long a workspace still lives and what ends it; `None` when nothing does.
pub fn life_left(
    workspace: &WorkspaceRecord,
    now: Timestamp,
    policy: &Policy,
) -> Option<(Duration, LifeOver)> {
    let lease = match workspace.lifetime {
        Lifetime::Kept => None,
        Lifetime::Leased { until } => Some((until.since(now), LifeOver::LeaseLapsed)),
    };
    let age = policy
        .workspace_lifetime_max
        .map(|most| (most.saturating_sub(now.since(workspace.created_at)), LifeOver::TooOld));
    match (lease, age) {
        (Some(lease), Some(age)) => Some(if age.0 < lease.0 { age } else { lease }),
        (lease, age) => lease.or(age),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WorkspaceId;
    use crate::workspace::{NewWorkspace, WorkspaceName};

    #[test]
    fn the_earlier_end_counts() {
        let now = Timestamp::from_micros(1_000_000_000);
        let minute = Duration::from_mins(1);
        let new = NewWorkspace::new("octo/hello".parse().unwrap());
        let name = WorkspaceName::suggested("hello");
        let record = new.into_record(WorkspaceId::from_bits(9), name, "ann".into(), now);
        let leased = |minutes| Lifetime::Leased { until: now.plus(minute * minutes) };
        let (lease, old) = (LifeOver::LeaseLapsed, LifeOver::TooOld);
        // Lifetime, most minutes of the policy, minutes from its creation; minutes left and why.
        let cases = [
            (Lifetime::Kept, None, 1_000, None),
            (Lifetime::Kept, Some(10), 0, Some((10, old))),
            (Lifetime::Kept, Some(10), 10, Some((0, old))),
            (Lifetime::Kept, Some(10), 11, Some((0, old))),
            (leased(5), None, 4, Some((1, lease))),
            (leased(5), None, 6, Some((0, lease))),
            (leased(5), Some(10), 0, Some((5, lease))),
            (leased(20), Some(10), 4, Some((6, old))),
            (leased(10), Some(10), 0, Some((10, lease))),
        ];
        for (lifetime, most, age, expected) in cases {
            let mut workspace = record.clone();
            workspace.lifetime = lifetime;
            let policy = Policy {
                workspace_lifetime_max: most.map(|minutes| minute * minutes),
                ..Policy::default()
            };
            let left = life_left(&workspace, now.plus(minute * age), &policy);
            let expected = expected.map(|(minutes, over)| (minute * minutes, over));
            assert_eq!(left, expected, "{lifetime:?} {most:?} {age}");
        }
    }
}
