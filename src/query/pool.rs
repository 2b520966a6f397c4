//! The memory that DataFusion's operators account for, and when those that can spill must.
//!
//! A plan has a dozen operators that can spill to temporary files, most of which never hold much.
//! DataFusion's `FairSpillPool` gives each the same share, so that the one that holds all groups of
//! a statement spills while nine tenths of the pool are free; its `GreedyMemoryPool` leaves nothing
//! to the one that comes last. Here half of the pool is for whoever comes first, and only the other
//! half is divided: an operator spills if it holds more than its share *and* all of them together
//! hold more than half.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// See the [module](self).
#[derive(Debug)]
pub struct HalfSharedPool {
    bytes: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// Number of consumers that can spill.
    spillers: usize,
    /// Bytes reserved by these.
    spillable: usize,
    /// Bytes reserved by all others.
    fixed: usize,
}

impl Used {
    fn of(&mut self, consumer: &MemoryConsumer) -> &mut usize {
        if consumer.can_spill() { &mut self.spillable } else { &mut self.fixed }
    }
}

impl HalfSharedPool {
    /// Makes a pool of `bytes`.
    pub fn new(bytes: usize) -> HalfSharedPool {
        HalfSharedPool { bytes, used: Mutex::default() }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryPool for HalfSharedPool {
    fn name(&self) -> &str {
        "half_shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.used().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.used().spillers -= usize::from(consumer.can_spill());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.used().of(reservation.consumer()) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        *self.used().of(reservation.consumer()) -= shrink;
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut used = self.used();
        let free = if reservation.consumer().can_spill() {
            let half = self.bytes.saturating_sub(used.fixed) / 2;
            let share = half / used.spillers.max(1);
            half.saturating_sub(used.spillable).max(share.saturating_sub(reservation.size()))
        } else {
            self.bytes.saturating_sub(used.fixed + used.spillable)
        };
        if additional > free {
            return Err(resources_datafusion_err!(
                "{} holds {} bytes and needs {additional} more, but {free} are left to it",
                reservation.consumer().name(),
                reservation.size()
            ));
        }
        *used.of(reservation.consumer()) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used();
        used.spillable + used.fixed
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for HalfSharedPool {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}({} bytes)", self.name(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn spiller(pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        MemoryConsumer::new("spiller").with_can_spill(true).register(pool)
    }

    #[test]
    fn one_of_many_has_half_and_each_has_a_share_of_the_rest() {
        let pool: Arc<dyn MemoryPool> = Arc::new(HalfSharedPool::new(1_000));
        let mut all: Vec<_> = (0..10).map(|_| spiller(&pool)).collect();
        all[0].try_grow(500).unwrap();
        assert!(all[0].try_grow(1).is_err(), "it spills");
        for other in &mut all[1..] {
            other.try_grow(50).unwrap();
            assert!(other.try_grow(1).is_err());
        }
        assert_eq!(pool.reserved(), 950);
        all[0].free();
        all[1].try_grow(50).unwrap();
        assert_eq!(pool.reserved(), 500);
        drop(all);
        assert_eq!(pool.reserved(), 0);
        spiller(&pool).try_grow(500).unwrap();
    }

    #[test]
    fn what_cannot_spill_takes_what_is_free_and_lessens_the_shares() {
        let pool: Arc<dyn MemoryPool> = Arc::new(HalfSharedPool::new(1_000));
        let (first, second) = (spiller(&pool), spiller(&pool));
        let fixed = MemoryConsumer::new("fixed").register(&pool);
        first.try_grow(300).unwrap();
        assert!(fixed.try_grow(701).is_err());
        fixed.try_grow(600).unwrap();
        assert!(first.try_grow(1).is_err());
        second.try_grow(100).unwrap();
        assert!(second.try_grow(1).is_err());
        assert!(fixed.try_grow(1).is_err());
        assert_eq!(pool.reserved(), 1_000);
        first.grow(50); // what must not fail is counted all the same
        assert!(second.try_grow(0).is_ok());
        assert_eq!(pool.reserved(), 1_050);
    }
}
