//! Slots: the threads that statements run on.
//!
//! A slot is a small runtime with an [`Account`] of the memory that its threads hold. It is created
//! on first use, kept, and runs one statement at a time; it is free again when every task of its
//! previous statement has ended. While statements run, a thread measures the memory that they hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::AbortHandle;
use tracing::Instrument;

use super::memory::{Account, Ledger};
use crate::error::{Error, Result};
use crate::limit::Limit;

/// Shortest and longest interval at which the memory of statements is measured: every measurement
/// visits all arenas of the allocator, for a millisecond.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(25)];

/// Bytes per millisecond at which statements are taken to fill memory, several times what was
/// measured.
const FILL_BYTES: usize = 32 << 20;

/// How long a statement waits for memory that ended ones are freeing.
const WAIT_FOR_MEMORY: Duration = Duration::from_secs(10);

/// Minimum number of slots in addition to those of running statements: an ended statement computes
/// on until its next check, and a client that sends short statements one after another must not be
/// refused because of its own earlier ones.
const BESIDE_SLOTS: usize = 16;

/// Stack size of a thread: the largest statement that [`limits`](super::limits) allows takes 8 MB
/// in an unoptimised build.
const STACK_BYTES: usize = 32 << 20;

#[derive(Debug)]
pub struct Slots {
    /// Threads of each slot.
    threads: usize,
    /// Maximum number of slots: more than statements that may run, as an ended statement may
    /// compute on until its next check.
    most: usize,
    ledger: Arc<Ledger>,
    /// Locked while a free slot is found or a new one is created.
    all: Mutex<Vec<Arc<Slot>>>,
    watch: Arc<Watch>,
}

#[derive(Debug)]
pub struct Slot {
    pub account: Arc<Account>,
    /// `None` only while the slot is dropped.
    runtime: Option<Runtime>,
    is_taken: AtomicBool,
    watch: Arc<Watch>,
}

/// A slot in use by a statement; dropped at the statement's end.
#[derive(Debug)]
pub struct TakenSlot(Arc<Slot>);

impl Slots {
    pub fn new(statements: usize, threads: usize, budget: usize) -> Result<Slots> {
        let ledger = Ledger::new(budget);
        let watch = Arc::<Watch>::default();
        let looks = (watch.clone(), ledger.clone());
        std::thread::Builder::new()
            .name("query-memory".into())
            .spawn(move || looks.0.run(&looks.1))
            .map_err(|cause| Error::Config(format!("a thread cannot be started: {cause}")))?;
        Ok(Slots {
            threads,
            most: statements.saturating_add(statements.max(BESIDE_SLOTS)),
            ledger,
            all: Mutex::default(),
            watch,
        })
    }

    /// Returns the bytes that all statements hold.
    pub fn held(&self) -> usize {
        self.ledger.measure()
    }

    /// Gives the memory that ended statements have freed back to the system.
    pub fn tidy(&self) {
        self.ledger.tidy();
    }

    /// Takes a slot whose previous statement has no tasks left; [`Slots::begin`] is called on it
    /// before the statement does anything.
    pub fn take(&self) -> Result<TakenSlot> {
        let mut all = self.all.lock().expect("no panic under this lock");
        let slot = if let Some(slot) = all.iter().find(|slot| slot.is_free()) {
            slot.clone()
        } else if all.len() < self.most {
            all.push(Arc::new(self.open()?));
            all[all.len() - 1].clone()
        } else {
            return Err(Error::Busy(Limit::Queries));
        };
        slot.is_taken.store(true, Ordering::Release);
        self.watch.statement_began();
        Ok(TakenSlot(slot))
    }

    /// Begins the statement of a slot with this account. While ended statements still hold so much
    /// memory that this one would be condemned because of it, it waits for them to free it, for a
    /// limited time.
    pub async fn begin(&self, account: &Account) {
        let freed = async {
            while self.ledger.is_crowded() {
                tokio::time::sleep(LOOK_EVERY[0]).await;
            }
        };
        let _ = tokio::time::timeout(WAIT_FOR_MEMORY, freed).await;
        account.begin();
    }

    fn open(&self) -> Result<Slot> {
        let account = self.ledger.open();
        let runtime = threads(self.threads, &account)?;
        account.follow(runtime.handle());
        Ok(Slot {
            account,
            runtime: Some(runtime),
            is_taken: AtomicBool::new(false),
            watch: self.watch.clone(),
        })
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.watch.close();
    }
}

impl Slot {
    /// Runs a task on the threads of the slot. If nobody waits for it any longer, it ends at its
    /// next pause. While they compute without a pause, no timer of theirs goes off.
    ///
    /// # Errors
    /// Those of the task; [`Error::Panicked`] if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let runtime = self.runtime.as_ref().expect("taken on drop only");
        // The log entries of the task name the request that it serves.
        let task = runtime.spawn(task.in_current_span());
        let _guard = AbortOnDrop(task.abort_handle());
        task.await.unwrap_or(Err(Error::Panicked))
    }

    fn is_free(&self) -> bool {
        !self.is_taken.load(Ordering::Acquire) && self.account.is_idle()
    }
}

impl Drop for Slot {
    /// Shuts the runtime down in the background: dropping a runtime waits for its threads, which a
    /// thread of another runtime must not do.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::ops::Deref for TakenSlot {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.0
    }
}

impl Drop for TakenSlot {
    fn drop(&mut self) {
        self.0.account.end();
        self.0.is_taken.store(false, Ordering::Release);
        self.0.watch.statement_ended();
    }
}

/// A task that ends at its next pause when this is dropped.
#[derive(Debug)]
pub struct AbortOnDrop(pub AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the threads of a slot. They give way to requests, so that a heavy statement does not
/// delay them.
fn threads(count: usize, account: &Arc<Account>) -> Result<Runtime> {
    let account = Arc::downgrade(account);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name("query")
        .thread_stack_size(STACK_BYTES)
        .on_thread_start(move || {
            crate::threads::stand_back();
            crate::threads::allow_blocking();
            if let Some(account) = account.upgrade() {
                account.adopt_thread();
            }
        })
        .enable_all()
        .build()
        .map_err(|cause| {
            Error::Config(format!("query_threads: {count} threads cannot be started: {cause}"))
        })
}

/// Wakes the thread that measures memory while statements run.
#[derive(Debug, Default)]
struct Watch {
    /// Number of running statements, and whether the engine is gone. Locked only to compare or
    /// change.
    state: Mutex<(usize, bool)>,
    wake: Condvar,
}

impl Watch {
    fn state(&self) -> std::sync::MutexGuard<'_, (usize, bool)> {
        self.state.lock().expect("no panic under this lock")
    }

    fn statement_began(&self) {
        self.state().0 += 1;
        self.wake.notify_one();
    }

    fn statement_ended(&self) {
        self.state().0 -= 1;
    }

    fn close(&self) {
        self.state().1 = true;
        self.wake.notify_one();
    }

    fn run(&self, ledger: &Ledger) {
        let mut room = 0;
        loop {
            let mut state = self.state();
            if state.0 == 0 {
                drop(state);
                ledger.settle();
                state = self.state();
            }
            let state =
                self.wake.wait_while(state, |(running, is_closed)| *running == 0 && !*is_closed);
            if state.expect("no panic under this lock").1 {
                return;
            }
            std::thread::sleep(pause(room));
            room = ledger.look();
        }
    }
}

/// Returns the interval before the next measurement, where the budget has this much room.
fn pause(room: usize) -> Duration {
    let [shortest, longest] = LOOK_EVERY;
    Duration::from_millis((room / FILL_BYTES) as u64).clamp(shortest, longest)
}
