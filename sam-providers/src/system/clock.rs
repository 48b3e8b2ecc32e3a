//! Time of this computer. All clocks of one program count from the same point, so a deadline made
//! with one can be awaited on another.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sam_core::time::{Clock, Timestamp};

use crate::deadline;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// The clock of this computer; waits on the tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// Makes a clock.
    pub fn new() -> Self {
        ORIGIN.get_or_init(Instant::now);
        Self
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(span) => Timestamp::from_micros(micros(span)),
            Err(before) => Timestamp::from_micros(-micros(before.duration())),
        }
    }

    fn monotonic(&self) -> Duration {
        ORIGIN.get_or_init(Instant::now).elapsed()
    }

    async fn sleep_until(&self, deadline: Duration) {
        match ORIGIN.get_or_init(Instant::now).checked_add(deadline) {
            Some(moment) => deadline::sleep_until(moment).await,
            // Beyond what the computer can represent is never.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_in_this_century() {
        let year_2020 = Timestamp::from_micros(1_577_836_800_000_000);
        assert!(SystemClock::new().now() > year_2020);
    }

    #[tokio::test]
    async fn sleeping_ends_at_the_deadline_even_on_another_clock() {
        let deadline = SystemClock::new().monotonic() + Duration::from_millis(20);
        let other = SystemClock::new();
        other.sleep_until(deadline).await;
        assert!(other.monotonic() >= deadline);
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_completes_at_once_and_one_at_the_end_of_time_waits() {
        use std::task::{Context, Waker};
        let clock = SystemClock::new();
        clock.sleep_until(Duration::ZERO).await;
        let mut far = clock.sleep_until(Duration::MAX);
        assert!(far.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}
