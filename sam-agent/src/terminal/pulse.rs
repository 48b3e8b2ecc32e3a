//! What counts as activity in one workspace: input, commands under way, declared work.
//!
//! It lives in the holder, which sees every byte that is typed and outlives the agent. All spans
//! are monotonic. Invariant: whatever counts ends the warning in the same step, so a warning that
//! stands means that nothing has counted since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sam_core::node_link::{Activity, Work, WorkName, WorkSort};
use sam_core::{Error, ErrorKind, Result};

/// The activity of one workspace.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When something counted last.
    counted_at: Instant,
    input_at: Option<Instant>,
    commands: u32,
    work: BTreeMap<WorkName, Declared>,
    warning: Option<Warning>,
    warnings_ever: u64,
}

#[derive(Debug)]
struct Declared {
    sort: WorkSort,
    until: Instant,
}

#[derive(Debug)]
struct Warning {
    number: u64,
    at: Instant,
    notice: Arc<str>,
}

impl Pulse {
    /// Begins to count.
    pub(super) const fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            counted_at: now,
            input_at: None,
            commands: 0,
            work: BTreeMap::new(),
            warning: None,
            warnings_ever: 0,
        }))
    }

    /// Somebody typed, or opened a terminal.
    pub(super) fn typed(&self, now: Instant) {
        let mut state = self.lock();
        state.count(now);
        state.input_at = Some(now);
    }

    /// A command begins; it is under way until the guard is dropped.
    pub(super) fn command(self: &Arc<Self>, now: Instant) -> Underway {
        let mut state = self.lock();
        state.count(now);
        state.commands = state.commands.saturating_add(1);
        drop(state);
        Underway(Arc::clone(self))
    }

    /// Declares work for a span, cut to [`Work::SPAN_MAX`], or declares it anew.
    ///
    /// # Errors
    /// `QuotaExceeded` when [`Work::COUNT_MAX`] others are declared.
    pub(super) fn declare(
        &self,
        name: WorkName,
        sort: WorkSort,
        span: Duration,
        now: Instant,
    ) -> Result<()> {
        let mut state = self.lock();
        state.forget_ended(now);
        if state.work.len() >= Work::COUNT_MAX && !state.work.contains_key(&name) {
            let message = format!("the workspace has {} pieces of declared work", Work::COUNT_MAX);
            return Err(Error::new(ErrorKind::QuotaExceeded, message)
                .with_hint("end some of them, or declare them under one name"));
        }
        state.count(now);
        state.work.insert(name, Declared { sort, until: now + span.min(Work::SPAN_MAX) });
        Ok(())
    }

    /// Ends declared work; work that is not declared has ended.
    pub(super) fn end(&self, name: &WorkName, now: Instant) {
        let mut state = self.lock();
        state.forget_ended(now);
        if state.work.remove(name).is_some() {
            state.count(now);
        }
    }

    /// Warns people with a notice, unless work is in progress; returns whether it did.
    pub(super) fn warn(&self, notice: &str, now: Instant) -> bool {
        let mut state = self.lock();
        state.forget_ended(now);
        if state.is_working() {
            return false;
        }
        state.warnings_ever += 1;
        let number = state.warnings_ever;
        state.warning = Some(Warning { number, at: now, notice: notice.into() });
        true
    }

    /// Returns whether people were warned and nothing has counted since.
    pub(super) fn is_warned(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.forget_ended(now);
        state.warning.is_some() && !state.is_working()
    }

    /// Returns the notice that stands, with its number, if it is another than the one seen.
    pub(super) fn notice_after(&self, seen: u64) -> Option<(u64, Arc<str>)> {
        let state = self.lock();
        let warning = state.warning.as_ref().filter(|warning| warning.number != seen)?;
        Some((warning.number, Arc::clone(&warning.notice)))
    }

    /// Says what goes on.
    pub(super) fn observe(&self, now: Instant) -> Activity {
        let mut state = self.lock();
        state.forget_ended(now);
        let quiet = if state.is_working() {
            Duration::ZERO
        } else {
            now.saturating_duration_since(state.counted_at)
        };
        let age = |at: Instant| now.saturating_duration_since(at);
        let work = state.work.iter().map(|(name, declared)| {
            Work::new(name.clone(), declared.sort, declared.until.saturating_duration_since(now))
        });
        Activity::quiet(quiet)
            .with_last_input_age(state.input_at.map(age))
            .with_warned_for(state.warning.as_ref().map(|warning| age(warning.at)))
            .with_commands(state.commands)
            .with_work(work.collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, at: Instant) {
        self.counted_at = self.counted_at.max(at);
        self.warning = None;
    }

    fn is_working(&self) -> bool {
        self.commands > 0 || !self.work.is_empty()
    }

    /// Work that was not declared again ended when its span did.
    fn forget_ended(&mut self, now: Instant) {
        let ended = self.work.values().filter(|work| work.until <= now).map(|work| work.until);
        if let Some(last) = ended.max() {
            self.count(last);
            self.work.retain(|_, work| work.until > now);
        }
    }
}

/// A command under way.
#[derive(Debug)]
pub(super) struct Underway(Arc<Pulse>);

impl Drop for Underway {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.commands = state.commands.saturating_sub(1);
        state.count(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    type Case = (&'static str, fn(&Arc<Pulse>, Instant));

    fn name(text: &str) -> WorkName {
        text.parse().unwrap()
    }

    #[test]
    fn input_and_the_end_of_work_begin_the_quiet_time_anew() {
        let begun = Instant::now();
        let pulse = Arc::new(Pulse::new(begun));
        assert_eq!(pulse.observe(begun + MINUTE), Activity::quiet(MINUTE));
        pulse.typed(begun + MINUTE);
        let seen = pulse.observe(begun + 3 * MINUTE);
        assert_eq!(seen, Activity::quiet(2 * MINUTE).with_last_input_age(Some(2 * MINUTE)));

        pulse.declare(name("build"), WorkSort::Background, 10 * MINUTE, begun).unwrap();
        let seen = pulse.observe(begun + 9 * MINUTE);
        assert_eq!((seen.quiet_for, seen.work[0].ends_in), (Duration::ZERO, MINUTE));
        // Not renewed: it ended at minute ten, not when somebody looked.
        let seen = pulse.observe(begun + 14 * MINUTE);
        assert_eq!((seen.quiet_for, seen.is_working()), (4 * MINUTE, false));
        // Renewed, and ended early.
        pulse.declare(name("build"), WorkSort::Background, MINUTE, begun + 15 * MINUTE).unwrap();
        pulse.declare(name("build"), WorkSort::Background, MINUTE, begun + 16 * MINUTE).unwrap();
        assert!(pulse.observe(begun + 16 * MINUTE).is_working());
        pulse.end(&name("build"), begun + 16 * MINUTE);
        pulse.end(&name("build"), begun + 17 * MINUTE);
        assert_eq!(pulse.observe(begun + 18 * MINUTE).quiet_for, 2 * MINUTE);

        let underway = pulse.command(begun + 18 * MINUTE);
        assert_eq!(pulse.observe(begun + 60 * MINUTE).commands, 1);
        drop(underway);
        assert!(!pulse.observe(begun + 60 * MINUTE).is_working());
    }

    #[test]
    fn whatever_counts_ends_a_warning() {
        let begun = Instant::now();
        let later = begun + MINUTE;
        let cases: [Case; 3] = [
            ("input", |pulse, now| pulse.typed(now)),
            ("a command that came and went", |pulse, now| drop(pulse.command(now))),
            ("work that was declared and ended", |pulse, now| {
                pulse.declare(name("a"), WorkSort::Background, MINUTE, now).unwrap();
                pulse.end(&name("a"), now);
            }),
        ];
        for (what, count) in cases {
            let pulse = Arc::new(Pulse::new(begun));
            assert!(!pulse.is_warned(begun));
            assert!(pulse.warn("soon", begun));
            assert!(pulse.is_warned(later));
            assert_eq!(pulse.observe(later).warned_for, Some(MINUTE));
            let (number, notice) = pulse.notice_after(0).unwrap();
            assert_eq!((number, &*notice), (1, "soon"));
            assert!(pulse.notice_after(number).is_none());
            count(&pulse, later);
            assert!(!pulse.is_warned(later), "{what}");
            assert_eq!(pulse.observe(later).warned_for, None, "{what}");
            assert!(pulse.notice_after(0).is_none(), "{what}");
            // Another warning is another notice.
            assert!(pulse.warn("again", later));
            assert_eq!(pulse.notice_after(number).unwrap().0, 2);
        }
    }

    #[test]
    fn nobody_is_warned_while_work_is_in_progress() {
        let begun = Instant::now();
        let pulse = Arc::new(Pulse::new(begun));
        let underway = pulse.command(begun);
        assert!(!pulse.warn("soon", begun + MINUTE));
        drop(underway);
        assert!(pulse.warn("soon", begun + MINUTE));
    }

    #[test]
    fn declared_work_is_bounded_in_number_and_span() {
        let begun = Instant::now();
        let pulse = Arc::new(Pulse::new(begun));
        for number in 0..Work::COUNT_MAX {
            let span = if number == 0 { Duration::MAX } else { MINUTE };
            pulse.declare(name(&format!("w{number}")), WorkSort::Background, span, begun).unwrap();
        }
        let one_more = |now| pulse.declare(name("more"), WorkSort::Background, MINUTE, now);
        assert_eq!(one_more(begun).unwrap_err().kind(), ErrorKind::QuotaExceeded);
        pulse.declare(name("w1"), WorkSort::Background, MINUTE, begun).unwrap();
        // Those that ended make room.
        one_more(begun + MINUTE).unwrap();
        assert_eq!(pulse.observe(begun + Duration::from_hours(23)).work.len(), 1);
        assert!(!pulse.observe(begun + Work::SPAN_MAX).is_working());
    }
}
