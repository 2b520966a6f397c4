//! Pace of work in the background: how long it rests after a step, so that callers notice little of it.
//!
//! A low priority is not enough. A thread that the scheduler lets run keeps the processor for some
//! milliseconds, whatever its priority, and a busy server leaves it for a moment thousands of times
//! a second. So the busier the callers are, the longer is the rest.

/// Calls a second from which on the rest is the longest.
const BUSY_CALLS: f64 = 1_000.0;

/// The longest rest, in times of the step before it.
const REST: f64 = 15.0;

#[derive(Debug, Default)]
pub struct Pace {
    /// End of the rest.
    until_us: i64,
    /// Calls that had been made at the end of the last step, and when that was.
    calls: u64,
    ended_us: i64,
}

impl Pace {
    /// Returns the end of the rest after the last step, in microseconds since the epoch.
    pub fn until_us(&self) -> i64 {
        self.until_us
    }

    /// Records a step. `calls` is the number of calls that have been made since the start.
    pub fn record(&mut self, began_us: i64, ended_us: i64, calls: u64) {
        let (made, passed_us) = (calls - self.calls, ended_us - self.ended_us);
        (self.calls, self.ended_us) = (calls, ended_us);
        // A clock that is set says nothing.
        let step_us = (ended_us - began_us).max(0);
        let a_second = made as f64 * 1e6 / passed_us.max(1) as f64;
        let rest_us = step_us as f64 * REST * (a_second / BUSY_CALLS).min(1.0);
        self.until_us = ended_us.saturating_add(rest_us as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busier_the_callers_the_longer_the_rest() {
        let rest = |calls: u64| {
            let mut pace = Pace { until_us: 0, calls: 5, ended_us: 0 };
            pace.record(90_000, 100_000, 5 + calls);
            pace.until_us() - 100_000
        };
        assert_eq!([rest(0), rest(1), rest(100), rest(9_000)], [0, 1_500, 150_000, 150_000]);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_it() {
        let mut pace = Pace::default();
        pace.record(1_000, 2_000, 1_000_000);
        pace.record(3_000, 500, 2_000_000);
        assert_eq!(pace.until_us(), 500);
    }
}
