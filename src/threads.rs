//! Thread priorities: the write-ahead log's writer first, because every POST waits for it; then
//! requests; then queries.
//!
//! Priorities are Linux `nice` values of single threads. Where the system refuses a change, the
//! thread keeps its priority and nothing else changes.

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
