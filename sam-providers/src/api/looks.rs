//! Looking again until something is done.

use std::time::Duration;

use sam_core::time::Clock;

/// How often something is looked at, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The first pause; it doubles with each look.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) most: Duration,
    /// When to stop looking.
    pub(crate) total: Duration,
}

/// Looks at something that takes a while: pauses that grow, and an end.
///
/// It is one budget for a whole call, however many things are waited for in it, so that the call stays
/// below the deadline of the layer around it.
#[derive(Debug)]
pub(crate) struct Looks<'a> {
    clock: &'a dyn Clock,
    pace: Pace,
    pause: Duration,
    until: Duration,
}

impl<'a> Looks<'a> {
    /// Starts now.
    pub(crate) fn new(clock: &'a dyn Clock, pace: Pace) -> Self {
        let until = clock.monotonic().saturating_add(pace.total);
        Self { clock, pace, pause: pace.first, until }
    }

    /// Waits before another look; `false`, at once, where the time left is shorter than a pause.
    pub(crate) async fn pause(&mut self) -> bool {
        let now = self.clock.monotonic();
        let left = self.until.saturating_sub(now);
        if left < self.pace.first {
            return false;
        }
        self.clock.sleep_until(now + self.pause.min(left)).await;
        self.pause = self.pause.saturating_mul(2).min(self.pace.most);
        true
    }

    /// Begins with the shortest pause again: something else is waited for now.
    pub(crate) fn afresh(&mut self) {
        self.pause = self.pace.first;
    }

    /// Returns how long it has been going on.
    pub(crate) fn elapsed(&self) -> Duration {
        let started = self.until.saturating_sub(self.pace.total);
        self.clock.monotonic().saturating_sub(started)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use sam_core::time::{ManualClock, Timestamp};

    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end() {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let millis = Duration::from_millis;
        let pace = Pace { first: millis(200), most: millis(500), total: millis(2_000) };
        let mut looks = Looks::new(&clock, pace);
        let mut pauses = Vec::new();
        loop {
            let mut pause = Box::pin(looks.pause());
            if let Some(again) = pause.as_mut().now_or_never() {
                assert!(!again, "no pause takes no time");
                break;
            }
            let wait = clock.next_deadline_in().unwrap();
            pauses.push(wait.as_millis());
            clock.advance(wait);
            assert_eq!(pause.as_mut().now_or_never(), Some(true));
        }
        assert_eq!(pauses, [200, 400, 500, 500, 400]);
        assert_eq!(looks.elapsed(), millis(2_000));
    }
}
