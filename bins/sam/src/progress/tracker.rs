//! Which steps are new: from snapshots of a workspace to changes of its steps.

use std::collections::BTreeMap;

use sam_api::{Step, StepState, Workspace};

/// Remembers the steps seen.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    version: u64,
    seen: BTreeMap<String, Step>,
}

/// A step that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepChange {
    /// The step now.
    pub(crate) step: Step,
    /// It is in another state than before, not only at another detail.
    pub(crate) is_new_state: bool,
}

impl Tracker {
    /// Takes the steps that have ended for told: they belong to work that was asked for before.
    pub(crate) fn pass_over_ended(&mut self, workspace: &Workspace) {
        let ended = workspace.steps.iter().filter(|step| step.state != StepState::Running);
        self.seen.extend(ended.map(|step| (step.name.clone(), step.clone())));
    }

    /// Takes a snapshot and returns what changed, in the order of the steps. One that is older
    /// than the last is passed over.
    pub(crate) fn update(&mut self, workspace: &Workspace) -> Vec<StepChange> {
        if workspace.version < self.version {
            return Vec::new();
        }
        self.version = workspace.version;
        let mut changes = Vec::new();
        for step in &workspace.steps {
            let old = self.seen.get(&step.name);
            if old == Some(step) {
                continue;
            }
            let is_new_state =
                old.is_none_or(|old| old.state != step.state || old.started_at != step.started_at);
            self.seen.insert(step.name.clone(), step.clone());
            changes.push(StepChange { step: step.clone(), is_new_state });
        }
        changes
    }
}

/// Returns how long a finished step took.
pub(crate) fn took(step: &Step) -> Option<std::time::Duration> {
    step.ended_at.map(|ended_at| ended_at.0.since(step.started_at.0))
}

/// Returns the word for a step's state.
pub(crate) const fn word(state: StepState) -> &'static str {
    match state {
        StepState::Done => "done",
        StepState::Failed => "failed",
        StepState::Running => "running",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::tests::workspace;
    use sam_core::time::Timestamp;

    fn step(name: &str, state: StepState, detail: Option<&str>) -> Step {
        let started_at = Timestamp::from_micros(1_000_000).into();
        let ended = Timestamp::from_micros(3_500_000).into();
        Step {
            name: name.to_owned(),
            state,
            detail: detail.map(str::to_owned),
            started_at,
            ended_at: (state != StepState::Running).then_some(ended),
        }
    }

    #[test]
    fn steps_that_ended_before_are_not_told_and_come_again_when_they_begin_again() {
        let mut tracker = Tracker::default();
        let mut before = workspace("stopped", "running", 5);
        before.steps = vec![step("stop", StepState::Done, None)];
        tracker.pass_over_ended(&before);
        assert_eq!(tracker.update(&before), []);
        let mut again = workspace("stopping", "stopped", 9);
        let started_at = Timestamp::from_micros(9_000_000).into();
        again.steps = vec![Step { started_at, ..step("stop", StepState::Running, None) }];
        assert_eq!(tracker.update(&again).len(), 1);
    }

    #[test]
    fn each_change_is_told_once_and_old_snapshots_are_passed_over() {
        let mut tracker = Tracker::default();
        let mut seen = |version, steps: Vec<Step>| {
            let mut snapshot = workspace("placing", "running", version);
            snapshot.steps = steps;
            let changes = tracker.update(&snapshot);
            changes
                .into_iter()
                .map(|change| (change.step.name, word(change.step.state), change.is_new_state))
                .collect::<Vec<_>>()
        };
        let placing = |detail| step("placing", StepState::Running, detail);
        assert_eq!(seen(1, vec![placing(None)]), [("placing".into(), "running", true)]);
        assert_eq!(seen(1, vec![placing(None)]), []);
        assert_eq!(seen(2, vec![placing(Some("x"))]), [("placing".into(), "running", false)]);
        let done = step("placing", StepState::Done, None);
        let next = step("preparing", StepState::Running, None);
        assert_eq!(
            seen(4, vec![done.clone(), next]),
            [("placing".into(), "done", true), ("preparing".into(), "running", true)]
        );
        assert_eq!(seen(3, vec![placing(None)]), []);
        assert_eq!(took(&done), Some(std::time::Duration::from_millis(2_500)));
    }
}
