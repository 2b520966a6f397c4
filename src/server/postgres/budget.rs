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
        let taken = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).ok()?;
        Some(Held { budget: self.clone(), bytes })
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
        assert!(budget.take(7).is_none() && budget.take(6).is_some());
        drop(four);
    }
}
