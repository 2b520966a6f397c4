//! Memory accounting of statements.
//!
//! Every statement runs on threads that serve no other statement meanwhile, and these allocate from
//! an arena of the allocator (jemalloc) that is theirs alone. So the bytes allocated in the arena
//! are the bytes that the statement holds until they are freed, on any thread, whether or not an
//! operator accounts for them. A thread adds up the arenas every few milliseconds
//! ([`Ledger::look`]). Above the budget it condemns the statement that holds most: the statement's
//! task then returns status 422, and its operators and functions stop at their next [`check`].
//!
//! In a process with another allocator (the library's tests) the arenas stay empty, and no
//! statement is condemned.

use std::cell::OnceCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use datafusion::common::{DataFusionError, Result};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tikv_jemalloc_ctl::{Access, AsName, Mib, epoch};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::error::Error;

/// How long an arena keeps freed memory for reuse, in milliseconds.
const DECAY_MS: isize = 1_000;

/// Memory freed at the end of a statement is returned to the system at once if it exceeds this.
const KEPT_BYTES: usize = 16 << 20;

/// Memory above the budget that condemned and ended statements may still hold before others are
/// condemned because of it.
const BESIDE_BYTES: usize = 192 << 20;

thread_local! {
    /// The account of the statements that this thread runs.
    static ACCOUNT: OnceCell<Arc<Account>> = const { OnceCell::new() };
}

/// Returns an error if this thread's statement was condemned or has ended. Every operator calls
/// this for each of its batches; long computations between batches call it more often.
pub fn check() -> Result<()> {
    ACCOUNT.with(|account| account.get().map_or(Ok(()), |account| account.check()))
}

/// Condemns this thread's statement unless the budget has room for a copy of what it holds, plus
/// `bytes`.
pub fn check_room_for_copy(bytes: usize) -> Result<()> {
    ACCOUNT
        .with(|account| account.get().map_or(Ok(()), |account| account.check_room_for_copy(bytes)))
}

/// Gives the memory that this thread has freed back to the system at once. For rare work that takes
/// much memory, on a thread that runs no statements.
pub fn give_back() {
    let index: tikv_jemalloc_ctl::Result<u32> = "thread.arena\0".name().read();
    let Ok(index) = index else { return };
    let name = format!("arena.{index}.dirty_decay_ms\0");
    let before: tikv_jemalloc_ctl::Result<isize> = name.as_str().name().read();
    let _ = before.and_then(|before| {
        name.as_str().name().write(0_isize)?;
        name.as_str().name().write(before)
    });
}

/// Returns a quarter of the memory of the machine, or of the container that this runs in, in whole
/// MiB; 1 GiB if that is unknown.
pub fn default_budget() -> u64 {
    let ram = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(ram);
    match system.total_memory() {
        0 => 1 << 30,
        machine => {
            let container = system.cgroup_limits().map_or(machine, |limits| limits.total_memory);
            (container / 4) >> 20 << 20
        }
    }
}

/// An arena of the allocator.
#[derive(Clone, Copy, Debug)]
struct Arena {
    index: u32,
    small: Mib<[usize; 5]>,
    large: Mib<[usize; 5]>,
}

impl Arena {
    fn create() -> tikv_jemalloc_ctl::Result<Arena> {
        let index: u32 = "arenas.create\0".name().read()?;
        let figure = |name: &str| {
            let mut figure: Mib<[usize; 5]> = name.name().mib()?;
            figure[2] = index as usize;
            Ok(figure)
        };
        let small = figure("stats.arenas.0.small.allocated\0")?;
        let arena = Arena { index, small, large: figure("stats.arenas.0.large.allocated\0")? };
        arena.decay(DECAY_MS)?;
        Ok(arena)
    }

    /// Returns the bytes allocated from the arena and not yet freed, as of the last [`refresh`].
    fn bytes(&self) -> usize {
        let figure = |figure: &Mib<[usize; 5]>| Access::<usize>::read(figure).unwrap_or(0);
        figure(&self.small) + figure(&self.large)
    }

    fn decay(&self, ms: isize) -> tikv_jemalloc_ctl::Result<()> {
        format!("arena.{}.dirty_decay_ms\0", self.index).as_str().name().write(ms)
    }
}

/// Refreshes the allocator's statistics.
fn refresh() {
    let _ = epoch::advance();
}

const RUNS: u8 = 0;
const CONDEMNED: u8 = 1;
const ENDED: u8 = 2;

/// Memory account of the statements that run, one after another, on the threads of one slot.
pub struct Account {
    arena: Option<Arena>,
    /// Bytes that the arena held before the statement.
    before: AtomicUsize,
    /// The most bytes that it was seen to hold since it last returned memory to the system.
    most: AtomicUsize,
    state: AtomicU8,
    runtime: OnceLock<Handle>,
    condemned: Notify,
    budget: usize,
    ledger: Weak<Ledger>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Account({:?})", self.arena.map(|arena| arena.index))
    }
}

impl Account {
    /// Makes this thread allocate from the account's arena from now on.
    pub fn adopt_thread(self: &Arc<Self>) {
        if let Some(arena) = &self.arena {
            let _ = "thread.arena\0".name().write(arena.index);
        }
        ACCOUNT.with(|account| _ = account.set(self.clone()));
    }

    /// Sets the runtime whose tasks are those of the statements.
    pub fn follow(&self, runtime: &Handle) {
        let _ = self.runtime.set(runtime.clone());
    }

    /// Reports whether nothing of the previous statement still runs.
    pub fn is_idle(&self) -> bool {
        self.is_in(ENDED)
            && self.runtime.get().is_none_or(|runtime| runtime.metrics().num_alive_tasks() == 0)
    }

    pub fn begin(&self) {
        self.state.store(RUNS, Ordering::Release);
    }

    /// Marks the statement as ended: tasks that still work on it stop at their next check.
    pub fn end(&self) {
        self.state.store(ENDED, Ordering::Release);
    }

    /// Takes the memory that is left, such as cached parts of files, as the baseline: it counts for
    /// no statement.
    fn rebase(&self) {
        if self.is_idle() {
            self.before.store(self.arena.map_or(0, |arena| arena.bytes()), Ordering::Relaxed);
        }
    }

    /// Gives the memory that an ended statement has freed back to the system, if it was much.
    fn tidy(&self) {
        if self.is_in(ENDED) && self.most.swap(0, Ordering::Relaxed) > KEPT_BYTES {
            let _ = self.arena.map(|arena| arena.decay(0).and_then(|()| arena.decay(DECAY_MS)));
        }
    }

    /// Returns the bytes that the statement holds, as of the last refresh.
    fn held(&self) -> usize {
        self.arena
            .map_or(0, |arena| arena.bytes().saturating_sub(self.before.load(Ordering::Relaxed)))
    }

    fn is_in(&self, state: u8) -> bool {
        self.state.load(Ordering::Acquire) == state
    }

    fn condemn(&self) {
        // A statement that has just ended stays so.
        let _ = self.state.compare_exchange(RUNS, CONDEMNED, Ordering::AcqRel, Ordering::Acquire);
        self.condemned.notify_waiters();
    }

    /// Waits until the statement is condemned, and returns the reason.
    pub async fn over(&self) -> Error {
        loop {
            let condemned = self.condemned.notified();
            if self.is_in(CONDEMNED) {
                return self.limit();
            }
            condemned.await;
        }
    }

    fn limit(&self) -> Error {
        Error::Limit(format!(
            "the running statements use more memory than query_memory_bytes ({} bytes), and this \
            one uses the most: query fewer hours or columns at once, or raise it",
            self.budget
        ))
    }

    fn check(&self) -> Result<()> {
        match self.state.load(Ordering::Relaxed) {
            RUNS => Ok(()),
            _ => Err(DataFusionError::External(Box::new(self.limit()))),
        }
    }

    fn check_room_for_copy(&self, bytes: usize) -> Result<()> {
        refresh();
        let more = self.held().saturating_add(bytes);
        let running = self.ledger.upgrade().map_or(0, |ledger| ledger.held_by_running());
        if running.saturating_add(more) > self.budget {
            self.condemn();
        }
        self.check()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        unused_arenas().extend(self.arena);
    }
}

/// Returns the arenas of dropped accounts, for reuse: an arena cannot be destroyed.
fn unused_arenas() -> MutexGuard<'static, Vec<Arena>> {
    static UNUSED: Mutex<Vec<Arena>> = Mutex::new(Vec::new());
    UNUSED.lock().expect("no panic under this lock")
}

/// The accounts of all statements that may run at once, and their common budget.
#[derive(Debug)]
pub struct Ledger {
    budget: usize,
    /// Locked only for a copy or a push.
    accounts: Mutex<Vec<Arc<Account>>>,
    /// Whether ended statements held much when they were last measured.
    is_crowded: AtomicBool,
}

impl Ledger {
    pub fn new(budget: usize) -> Arc<Ledger> {
        Arc::new(Ledger { budget, accounts: Mutex::default(), is_crowded: AtomicBool::new(false) })
    }

    pub fn open(self: &Arc<Self>) -> Arc<Account> {
        let account = Arc::new(Account {
            arena: unused_arenas().pop().or_else(|| Arena::create().ok()),
            before: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            state: AtomicU8::new(ENDED),
            runtime: OnceLock::new(),
            condemned: Notify::new(),
            budget: self.budget,
            ledger: Arc::downgrade(self),
        });
        refresh();
        account.rebase();
        self.accounts().push(account.clone());
        account
    }

    fn accounts(&self) -> MutexGuard<'_, Vec<Arc<Account>>> {
        self.accounts.lock().expect("no panic under this lock")
    }

    /// Returns the bytes that all statements hold, as of the last refresh.
    fn held(&self) -> usize {
        self.accounts().iter().map(|account| account.held()).sum()
    }

    fn held_by_running(&self) -> usize {
        self.accounts()
            .iter()
            .filter(|account| account.is_in(RUNS))
            .map(|account| account.held())
            .sum()
    }

    /// Reports whether condemned and ended statements, when last measured, held so much memory that
    /// others may be condemned because of it.
    pub fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }

    /// Returns the bytes that all statements hold now.
    pub fn measure(&self) -> usize {
        refresh();
        self.held()
    }

    /// Measures all accounts; above the budget, condemns the running statement that holds most.
    /// Memory of condemned statements is about to be freed and counts only if it is much. Returns
    /// the bytes left of the budget.
    pub fn look(&self) -> usize {
        refresh();
        let measured = |account: &Arc<Account>| {
            account.rebase();
            (account.held(), account.clone())
        };
        let held: Vec<_> = self.accounts().iter().map(measured).collect();
        held.iter()
            .for_each(|(bytes, account)| _ = account.most.fetch_max(*bytes, Ordering::Relaxed));
        let all: usize = held.iter().map(|(bytes, _)| bytes).sum();
        let running = held.iter().filter(|(_, account)| account.is_in(RUNS));
        let of_running: usize = running.clone().map(|(bytes, _)| bytes).sum();
        if (of_running > self.budget || all > self.budget.saturating_add(BESIDE_BYTES))
            && let Some((_, largest)) = running.max_by_key(|(bytes, _)| *bytes)
        {
            largest.condemn();
        }
        self.is_crowded.store(all - of_running > BESIDE_BYTES, Ordering::Relaxed);
        self.budget.saturating_sub(all)
    }

    /// Gives the memory that ended statements have freed back to the system.
    pub fn tidy(&self) {
        let accounts = self.accounts().clone();
        accounts.iter().for_each(|account| account.tidy());
    }

    /// Runs [`Ledger::tidy`] when no statement runs, and takes what the arenas still hold as their
    /// baseline.
    pub fn settle(&self) {
        self.tidy();
        self.look();
    }
}
