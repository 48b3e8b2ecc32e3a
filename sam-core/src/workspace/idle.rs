//! When a workspace that nobody uses is stopped. Pure.
//!
//! Three things count: people's input, commands that somebody waits for, and declared work. A
//! workspace where none of them was for [`IdleSettings::stop_after`] is warned, and stopped
//! [`IdleSettings::warning`] after that if still nothing counts. What is not known counts as
//! activity: a node that does not answer keeps its workspaces. All spans come from the node's own
//! monotonic clock, so the wall clock has no say. Between the decision and the stop somebody may
//! come back; then the node ends nothing, and the workspace runs on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::decide::Step;
use super::record::{WorkspaceRecord, WorkspaceState, WorkspaceWish};
use super::resource::{IdleObservation, WorkspaceDecision, WorkspaceEffect, WorkspaceLook};
use crate::engine::{Decision, Transition};
use crate::error::Result;
use crate::id::NodeId;
use crate::node_link::Activity;
use crate::policy::Policy;
use crate::store::Due;

/// Whether a workspace is stopped when nobody uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdleStop {
    /// After a span without activity, cut to [`IdleStop::AFTER_MIN`] and [`IdleStop::AFTER_MAX`].
    After {
        /// The span.
        #[serde(rename = "ms", with = "crate::millis")]
        span: Duration,
    },
    /// As the policy says.
    #[default]
    Default,
    /// Never.
    Never,
}

impl IdleStop {
    /// Shortest span: good for trying it out; the warning comes on top.
    pub const AFTER_MIN: Duration = Duration::from_secs(1);
    /// Longest span.
    pub const AFTER_MAX: Duration = Duration::from_hours(24 * 30);

    pub(super) fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

/// Who or what stopped a workspace, where it was not its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoppedBy {
    /// Nobody used it.
    Idle,
}

impl StoppedBy {
    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Idle => "idle",
        }
    }
}

/// The spans by which a workspace is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdleSettings {
    /// Without activity for this long, people are warned.
    pub stop_after: Duration,
    /// From the warning to the stop.
    pub warning: Duration,
}

impl IdleSettings {
    /// How long after its time a warning still allows a stop. Later, people are warned anew: the
    /// control plane was away, and nobody can be expected to remember.
    pub const WARNING_HOLDS: Duration = Duration::from_mins(10);

    /// Puts both spans together, each cut to its bounds.
    pub fn new(stop_after: Duration, warning: Duration) -> Self {
        Self {
            stop_after: stop_after.clamp(IdleStop::AFTER_MIN, IdleStop::AFTER_MAX),
            warning: warning.clamp(Policy::IDLE_WARNING_MIN, Policy::IDLE_WARNING_MAX),
        }
    }

    /// Returns what holds for a workspace, or `None` when it is never stopped for being idle.
    pub fn of(idle_stop: IdleStop, policy: &Policy) -> Option<Self> {
        let stop_after = match idle_stop {
            IdleStop::After { span } => Some(span),
            IdleStop::Default => policy.idle_stop_after,
            IdleStop::Never => None,
        };
        stop_after.map(|span| Self::new(span, policy.idle_warning))
    }
}

/// What the idle rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdleVerdict {
    /// It is in use, or nobody knows.
    Active {
        /// Before this it cannot become idle; when nobody knows, when to ask again.
        look_again_in: Duration,
    },
    /// People were warned, and nothing has counted since.
    Stop,
    /// People were warned; they still have time.
    WaitAfterWarning {
        /// When to look again, in short steps so that a withdrawn warning is seen.
        look_again_in: Duration,
    },
    /// People must be warned.
    Warn,
}

/// Pause before asking again a node that did not answer.
const UNKNOWN_LOOK: Duration = Duration::from_mins(1);
/// Longest pause between two looks at a workspace that was warned.
const WARNED_LOOK: Duration = Duration::from_secs(10);
/// Shortest pause between two looks, so that rounding never makes a busy loop.
const LOOK_MIN: Duration = Duration::from_millis(100);

/// Judges a workspace by what its node says of it; `None` when the node does not answer.
///
/// ```
/// use std::time::Duration;
/// use sam_core::node_link::Activity;
/// use sam_core::workspace::{IdleSettings, IdleVerdict, decide_idle};
///
/// let settings = IdleSettings::new(Duration::from_hours(2), Duration::from_mins(5));
/// let quiet = Activity::quiet(Duration::from_hours(2));
/// assert_eq!(decide_idle(settings, Some(&quiet)), IdleVerdict::Warn);
/// ```
pub fn decide_idle(settings: IdleSettings, activity: Option<&Activity>) -> IdleVerdict {
    let IdleSettings { stop_after, warning } = settings;
    let active = |span: Duration| IdleVerdict::Active { look_again_in: span.max(LOOK_MIN) };
    let Some(activity) = activity else { return active(UNKNOWN_LOOK.min(stop_after)) };
    if activity.is_working() {
        // If it ended right now, it would be idle after the whole span.
        return active(stop_after);
    }
    if activity.quiet_for < stop_after {
        return active(stop_after.saturating_sub(activity.quiet_for));
    }
    match activity.warned_for {
        Some(warned) if warned < warning => {
            let left = warning.saturating_sub(warned).clamp(LOOK_MIN, WARNED_LOOK);
            IdleVerdict::WaitAfterWarning { look_again_in: left }
        }
        Some(warned) if warned <= warning + IdleSettings::WARNING_HOLDS => IdleVerdict::Stop,
        Some(_) | None => IdleVerdict::Warn,
    }
}

/// Returns what people are told on the terminals of a workspace that is about to be stopped.
pub(super) fn notice(workspace: &WorkspaceRecord, policy: &Policy) -> String {
    let warning = IdleSettings::new(Duration::ZERO, policy.idle_warning).warning;
    let span = match (warning.as_secs() / 60, warning.as_secs()) {
        (0, 1) => "1 second".to_owned(),
        (0, seconds) => format!("{seconds} seconds"),
        (1, _) => "1 minute".to_owned(),
        (minutes, _) => format!("{minutes} minutes"),
    };
    let name = &workspace.name;
    format!("{name} is idle and will be stopped in {span}; type something to keep it running")
}

impl Step<'_> {
    pub(super) fn idle_settings(&self) -> Option<IdleSettings> {
        IdleSettings::of(self.workspace.idle_stop, self.policy)
    }

    /// It runs on a node that can be asked.
    pub(super) fn idle_look(&self, node: NodeId) -> WorkspaceDecision {
        match self.idle_settings() {
            None => self.rest(None),
            Some(_) => Decision::Look(WorkspaceLook::Activity(node)),
        }
    }

    pub(super) fn idle_observed(&self, observed: &IdleObservation) -> WorkspaceDecision {
        let Some((settings, node)) = self.idle_settings().zip(self.workspace.node) else {
            return self.rest(None);
        };
        match observed {
            IdleObservation::Activity(activity) => self.judge(settings, node, activity),
            // Told or not: the node knows whether they were, and says so at the next look.
            IdleObservation::InUse | IdleObservation::Warned(_) => {
                self.rest(Some(settings.warning.min(WARNED_LOOK)))
            }
        }
    }

    /// Somebody came back before anything was ended: it runs on.
    pub(super) fn in_use_after_all(&self) -> WorkspaceDecision {
        let mut next = self.workspace.moved_to(WorkspaceState::Running, self.now);
        next.wish = WorkspaceWish::Running;
        next.stopped_by = None;
        Decision::Write(Box::new(Transition::new(next, "idle_stop_given_up")))
    }

    fn judge(
        &self,
        settings: IdleSettings,
        node: NodeId,
        activity: &Result<Activity>,
    ) -> WorkspaceDecision {
        let known = activity.as_ref().ok();
        match decide_idle(settings, known) {
            IdleVerdict::Active { look_again_in } => {
                if self.workspace.idle_warned_at.is_none() || known.is_none() {
                    return self.rest(Some(look_again_in));
                }
                let next = WorkspaceRecord { idle_warned_at: None, ..self.workspace.clone() };
                let transition = Transition::new(next, "idle_warning_withdrawn");
                Decision::Write(Box::new(transition.with_due(self.due_within(look_again_in))))
            }
            IdleVerdict::WaitAfterWarning { look_again_in } => self.rest(Some(look_again_in)),
            IdleVerdict::Warn => {
                let mut next = self.workspace.clone();
                next.idle_warned_at = Some(self.now);
                let transition = Transition::new(next, "idle_warned").with_due(Due::NOW);
                Decision::Act(Some(Box::new(transition)), WorkspaceEffect::Warn(node))
            }
            IdleVerdict::Stop => {
                let mut next = self.workspace.clone();
                next.wish = WorkspaceWish::Stopped;
                next.stopped_by = Some(StoppedBy::Idle);
                Decision::Write(Box::new(Transition::new(next, "idle_stopped")))
            }
        }
    }
}

/// Tells whether a record announces that people are warned.
pub(super) fn announces_warning(workspace: &WorkspaceRecord, node: NodeId) -> bool {
    workspace.node == Some(node)
        && workspace.state == WorkspaceState::Running
        && workspace.idle_warned_at.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_link::{Work, WorkSort};

    const HOUR: Duration = Duration::from_hours(1);
    const WARNING: Duration = Duration::from_mins(5);

    fn settings() -> IdleSettings {
        IdleSettings::new(2 * HOUR, WARNING)
    }

    fn quiet(span: Duration) -> Activity {
        Activity::quiet(span)
    }

    fn warned(span: Duration, ago: Duration) -> Activity {
        Activity::quiet(span).with_warned_for(Some(ago))
    }

    fn working(activity: Activity) -> [Activity; 2] {
        let name = "build".parse().unwrap();
        let build = Work::new(name, WorkSort::Background, Duration::from_secs(1));
        [activity.clone().with_commands(1), activity.with_work(vec![build])]
    }

    #[test]
    fn the_idle_rule_by_its_table_of_cases() {
        let active = |look_again_in| IdleVerdict::Active { look_again_in };
        let wait = |look_again_in| IdleVerdict::WaitAfterWarning { look_again_in };
        let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
        let two = 2 * HOUR;
        let late = WARNING + IdleSettings::WARNING_HOLDS;
        let table = [
            ("just used", quiet(Duration::ZERO), active(two)),
            ("quiet for a while", quiet(HOUR), active(HOUR)),
            ("one moment too early", quiet(two.saturating_sub(ms)), active(LOOK_MIN)),
            ("exactly the span", quiet(two), IdleVerdict::Warn),
            ("much longer than the span", quiet(HOUR * 1_000), IdleVerdict::Warn),
            ("just warned", warned(two, Duration::ZERO), wait(WARNED_LOOK)),
            (
                "soon over",
                warned((two + WARNING).saturating_sub(second), WARNING.saturating_sub(second)),
                wait(second),
            ),
            ("one moment left", warned(two + WARNING, WARNING.saturating_sub(ms)), wait(LOOK_MIN)),
            ("warned in time", warned(two + WARNING, WARNING), IdleVerdict::Stop),
            ("a warning that still holds", warned(two + late, late), IdleVerdict::Stop),
            ("a warning long forgotten", warned(two + late, late + ms), IdleVerdict::Warn),
            // The node drops a warning with the first thing that counts, so these two are only to
            // be seen when it is wrong: what counts wins.
            ("used after the warning", warned(second, WARNING), active(two.saturating_sub(second))),
            ("used at the last moment", warned(Duration::ZERO, late), active(two)),
        ];
        for (name, activity, expected) in table {
            assert_eq!(decide_idle(settings(), Some(&activity)), expected, "{name}");
        }
    }

    #[test]
    fn a_node_that_does_not_answer_keeps_its_workspaces() {
        assert_eq!(
            decide_idle(settings(), None),
            IdleVerdict::Active { look_again_in: UNKNOWN_LOOK }
        );
        let short = IdleSettings::new(Duration::from_secs(2), WARNING);
        let verdict = decide_idle(short, None);
        assert_eq!(verdict, IdleVerdict::Active { look_again_in: Duration::from_secs(2) });
    }

    #[test]
    fn work_in_progress_is_never_warned_and_never_stopped() {
        let spans = [Duration::ZERO, HOUR, 2 * HOUR, 2 * HOUR + WARNING, HOUR * 10_000];
        for span in spans {
            for ago in [None, Some(Duration::ZERO), Some(WARNING), Some(HOUR)] {
                for activity in working(quiet(span).with_warned_for(ago)) {
                    let verdict = decide_idle(settings(), Some(&activity));
                    let expected = IdleVerdict::Active { look_again_in: 2 * HOUR };
                    assert_eq!(verdict, expected, "{activity:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_stopped_without_a_warning_that_had_its_time() {
        for limit in [1, 60, 7_200] {
            let settings = IdleSettings::new(Duration::from_secs(limit), WARNING);
            for quiet_s in (0..20_000).step_by(97) {
                for warned_s in [None, Some(0), Some(299), Some(300), Some(900), Some(901)] {
                    let activity = quiet(Duration::from_secs(quiet_s))
                        .with_warned_for(warned_s.map(Duration::from_secs));
                    let stops = decide_idle(settings, Some(&activity)) == IdleVerdict::Stop;
                    let may = quiet_s >= limit && matches!(warned_s, Some(300..=900));
                    assert_eq!(stops, may, "{limit} s: {activity:?}");
                }
            }
        }
    }

    #[test]
    fn spans_are_cut_to_their_bounds_and_a_workspace_outranks_the_policy() {
        let policy = Policy { idle_stop_after: Some(HOUR), ..Policy::default() };
        let off = Policy::default();
        let after = |span| IdleStop::After { span };
        let span = |stop, policy| IdleSettings::of(stop, policy).map(|found| found.stop_after);
        assert_eq!(span(IdleStop::Default, &off), None);
        assert_eq!(span(IdleStop::Default, &policy), Some(HOUR));
        assert_eq!(span(IdleStop::Never, &policy), None);
        assert_eq!(span(after(2 * HOUR), &off), Some(2 * HOUR));
        assert_eq!(span(after(Duration::ZERO), &policy), Some(IdleStop::AFTER_MIN));
        assert_eq!(span(after(Duration::MAX), &policy), Some(IdleStop::AFTER_MAX));
        let hasty = Policy { idle_warning: Duration::ZERO, ..policy };
        let warning = IdleSettings::of(IdleStop::Default, &hasty).unwrap().warning;
        assert_eq!(warning, Policy::IDLE_WARNING_MIN);
    }

    #[test]
    fn a_record_keeps_the_span_in_milliseconds_and_an_older_one_has_the_default() {
        let after = IdleStop::After { span: Duration::from_secs(90) };
        let json = serde_json::to_string(&after).unwrap();
        assert_eq!(json, r#"{"kind":"after","ms":90000}"#);
        assert_eq!(serde_json::from_str::<IdleStop>(&json).unwrap(), after);
        assert!(IdleStop::default().is_default());
    }
}
