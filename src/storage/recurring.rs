//! Rate limit for warnings about a lasting error: logged at once, then once a minute, and once more
//! when it has passed.

use std::sync::atomic::{AtomicI64, Ordering};

/// Minimum interval between two warnings about the same error, in microseconds.
const INTERVAL_US: i64 = 60_000_000;

const NEVER: i64 = i64::MIN;

/// An error that recurs while its cause lasts: holds the time of its last warning. Shared by all
/// code that may encounter it.
#[derive(Debug)]
pub struct Recurring(AtomicI64);

impl Default for Recurring {
    fn default() -> Recurring {
        Recurring(AtomicI64::new(NEVER))
    }
}

impl Recurring {
    /// Reports whether to log the error now; if so, the caller must log it.
    pub fn is_due(&self, now_us: i64) -> bool {
        let said_us = self.0.load(Ordering::Relaxed);
        // A clock that was set back makes it due, too.
        let is_due = said_us == NEVER || now_us.abs_diff(said_us) >= INTERVAL_US.unsigned_abs();
        is_due
            && self
                .0
                .compare_exchange(said_us, now_us, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Records that the error has passed; reports whether it had been logged, so that its end is to
    /// be logged too.
    pub fn has_passed(&self) -> bool {
        self.0.load(Ordering::Relaxed) != NEVER && self.0.swap(NEVER, Ordering::Relaxed) != NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_said_at_once_then_once_a_minute_and_so_is_its_end() {
        let trouble = Recurring::default();
        assert!(!trouble.has_passed());
        let said = (0..125).filter(|second| trouble.is_due(second * 1_000_000)).collect::<Vec<_>>();
        assert_eq!(said, [0, 60, 120]);
        assert!(trouble.has_passed() && !trouble.has_passed());
        assert!(trouble.is_due(126_000_000), "the next trouble is another");
        assert!(trouble.is_due(0), "a clock that was set back by more than a minute");
    }
}
