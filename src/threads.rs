//! Who goes first when the processors are busy: the log's writer, whom every POST waits for; then requests; then queries.
//!
//! Priorities are the system's `nice` values of single threads, as Linux has them. Where the system does not allow one, the
//! thread is as eager as the rest and nothing else changes.

/// Lets this thread go before others. Needs root or `CAP_SYS_NICE`.
pub fn go_first() {
    renice(-10);
}

/// Lets other threads go before this one.
pub fn stand_back() {
    renice(10);
}

fn renice(nice: i32) {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
}
