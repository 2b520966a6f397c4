//! Memory that all sessions share: rows that wait for the end of a transaction, and prepared
//! statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that all sessions together may hold.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    limit: usize,
}

/// Bytes of a budget, until dropped.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget { held: AtomicUsize::new(0), limit })
    }

    /// Takes bytes; `None` if there are not as many left.
    pub fn take(self: &Arc<Budget>, bytes: usize) -> Option<Held> {
        let mut held = Held { budget: self.clone(), bytes: 0 };
        held.grow_to(bytes).then_some(held)
    }
}

impl Held {
    /// Takes more, up to `bytes` in all; false, and as before, if there are not as many left.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let Budget { held, limit } = &*self.budget;
        let more = bytes.saturating_sub(self.bytes);
        let taken = |held: usize| held.checked_add(more).filter(|held| held <= limit);
        let is_taken = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok();
        self.bytes += if is_taken { more } else { 0 };
        is_taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(10);
        let (six, four) = (budget.take(6).unwrap(), budget.take(4).unwrap());
        assert!(budget.take(1).is_none() && budget.take(usize::MAX).is_none());
        drop(six);
        let mut one = budget.take(1).unwrap();
        assert!(!one.grow_to(7) && one.grow_to(6) && one.grow_to(2) && budget.take(1).is_none());
        drop(one);
        assert!(budget.take(7).is_none() && budget.take(6).is_some());
        drop(four);
    }
}
