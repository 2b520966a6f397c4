//! Thread priorities: the write-ahead log's writer first, because every POST waits for it; then
//! requests; then queries.
//!
//! Priorities are Linux `nice` values of single threads. Where the system refuses a change, the
//! thread keeps its priority and nothing else changes.
//!
//! Threads that serve nobody but one statement may wait for a disk themselves ([`may_block`]).
//!
//! A library that panics over damaged data is called by [`catch_panic`].

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
    static EXPECTS_PANIC: Cell<bool> = const { Cell::new(false) };
}

/// Calls a library that panics over damaged data; returns `None` if it has. Such a panic is no bug
/// of this program, and is not logged.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = EXPECTS_PANIC.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    EXPECTS_PANIC.set(before);
    done.ok()
}

/// Reports whether a panic of the calling thread is caught by [`catch_panic`].
pub fn expects_panic() -> bool {
    EXPECTS_PANIC.get()
}

/// Lets the calling thread, which belongs to a runtime, wait for short reads itself.
pub fn allow_blocking() {
    MAY_BLOCK.set(true);
}

/// Reports whether the calling thread may wait for short reads itself.
pub fn may_block() -> bool {
    MAY_BLOCK.get()
}

/// Raises the priority of the calling thread. Needs root or `CAP_SYS_NICE`.
pub fn go_first() {
    renice(-10);
}

/// Lowers the priority of the calling thread.
pub fn stand_back() {
    renice(10);
}

fn renice(nice: i32) {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
}
