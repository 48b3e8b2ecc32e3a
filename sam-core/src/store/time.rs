//! A store's own time: it never goes back, and it never stands still.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::time::{Clock, Timestamp};

/// Tells the time by which a store dates changes, ends leases and makes records due.
///
/// It follows the wall clock when that runs ahead, and the monotonic clock when the wall clock was
/// put back: due times still come then, and no change is dated before an earlier one.
#[derive(Debug)]
pub struct StoreTime {
    clock: Arc<dyn Clock>,
    last: Mutex<(Timestamp, Duration)>,
}

impl StoreTime {
    /// Starts no earlier than `at_least`, the last time that a durable store wrote down.
    pub fn new(clock: Arc<dyn Clock>, at_least: Timestamp) -> Self {
        let last = Mutex::new((clock.now().max(at_least), clock.monotonic()));
        Self { clock, last }
    }

    /// Returns the time now.
    pub fn now(&self) -> Timestamp {
        let (wall, elapsed) = (self.clock.now(), self.clock.monotonic());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let flowed = last.0.plus(elapsed.saturating_sub(last.1));
        *last = (flowed.max(wall), elapsed.max(last.1));
        last.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualClock;

    #[test]
    fn time_flows_on_when_the_wall_clock_is_put_back() {
        let clock = ManualClock::new(Timestamp::from_micros(10_000_000));
        let time = StoreTime::new(Arc::new(clock.clone()), Timestamp::EPOCH);
        assert_eq!(time.now(), Timestamp::from_micros(10_000_000));
        clock.jump_wall(-8_000_000);
        assert_eq!(time.now(), Timestamp::from_micros(10_000_000));
        clock.advance(Duration::from_secs(1));
        assert_eq!(time.now(), Timestamp::from_micros(11_000_000));
        clock.jump_wall(20_000_000);
        assert_eq!(time.now(), Timestamp::from_micros(23_000_000));
    }

    #[test]
    fn time_starts_where_the_store_left_off() {
        let clock = ManualClock::new(Timestamp::from_micros(5));
        let time = StoreTime::new(Arc::new(clock.clone()), Timestamp::from_micros(900));
        clock.advance(Duration::from_micros(10));
        assert_eq!(time.now(), Timestamp::from_micros(910));
    }
}
