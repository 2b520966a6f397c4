//! Checks of event timestamps: distance from the clock, and detection of seconds sent as
//! milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use crate::event::TimestampBounds;
use crate::hour::Clock;

/// Upper limit of suspicious timestamps, in microseconds. Seconds sent as milliseconds are before
/// it (it is April 1970, or as seconds the year 2286), and hardly anything else is. Events after it
/// need no clock read.
const LAST_SUSPECT_US: i64 = 10_000_000_000_000;

const YEAR_US: i64 = 366 * 86_400 * 1_000_000;

/// Checks of the timestamps of events sent over HTTP.
#[derive(Debug)]
pub struct EventTimes {
    max_age: Option<Duration>,
    max_ahead: Option<Duration>,
    clock: Arc<dyn Clock>,
    suspicious: Counter,
    warned: AtomicBool,
}

impl EventTimes {
    pub fn new(
        max_age: Option<Duration>,
        max_ahead: Option<Duration>,
        clock: Arc<dyn Clock>,
        suspicious: Counter,
    ) -> EventTimes {
        EventTimes { max_age, max_ahead, clock, suspicious, warned: AtomicBool::new(false) }
    }

    /// Returns the range of timestamps accepted now.
    pub fn bounds(&self) -> TimestampBounds {
        match (self.max_age, self.max_ahead) {
            (None, None) => TimestampBounds::default(),
            (age, ahead) => TimestampBounds::around(self.clock.now_us(), age, ahead),
        }
    }

    /// Counts timestamps that, read as seconds, are within a year of the clock, and warns about the
    /// first. They are stored as milliseconds nevertheless, as the API specifies.
    pub fn observe(&self, timestamps_us: &[i64]) {
        let suspects = || timestamps_us.iter().filter(|us| **us < LAST_SUSPECT_US);
        if suspects().next().is_none() {
            return;
        }
        let now_us = self.clock.now_us();
        let suspicious = suspects()
            .filter(|us| (**us * 1_000).abs_diff(now_us) <= YEAR_US.unsigned_abs())
            .count();
        self.suspicious.inc_by(suspicious as u64);
        if suspicious > 0 && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the timestamp of an event is in January 1970, but current if read as seconds; timestamps are \
                 milliseconds, and the event was stored as such. Logged once; see hourglass_suspicious_timestamps_total"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(i64);

    impl Clock for At {
        fn now_us(&self) -> i64 {
            self.0
        }
    }

    #[test]
    fn seconds_sent_for_milliseconds_are_counted_and_the_past_is_not() {
        let now_us = 1_763_000_000_000_000;
        let counter = Counter::default();
        let times = EventTimes::new(None, None, Arc::new(At(now_us)), counter.clone());
        let ms = |ms: i64| ms * 1_000;
        times.observe(&[
            ms(10_032_342_000),
            ms(0),
            ms(1_763_000_000_000),
            ms(1_500_000_000),
            ms(1_900_000_000),
        ]);
        assert_eq!(counter.get(), 0);
        times.observe(&[ms(1_763_000_000), ms(1_763_000_000 - 3_600), ms(5)]);
        assert_eq!(counter.get(), 2);
    }

    #[test]
    fn bounds_are_open_unless_they_are_set() {
        let bounds = |age, ahead| {
            EventTimes::new(age, ahead, Arc::new(At(5_000_000)), Counter::default()).bounds()
        };
        assert_eq!(bounds(None, None), TimestampBounds::default());
        let second = Some(Duration::from_secs(1));
        assert!(
            bounds(second, None).check(3_999_999).is_err()
                && bounds(second, None).check(i64::MAX >> 8).is_ok()
        );
        assert!(
            bounds(None, second).check(6_000_001).is_err() && bounds(None, second).check(0).is_ok()
        );
    }
}
