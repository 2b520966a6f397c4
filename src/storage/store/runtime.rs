//! Runtime on which the futures of the table are run.

use std::sync::Arc;

use crate::storage::error::{Error, Result};

/// Runtime for the table's futures, usable by threads inside and outside another runtime. It runs
/// on the caller's thread only, so that requests reach the store in the same order each time.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct StoreRuntime(Arc<Inner>);

#[derive(Debug)]
struct Inner(Option<tokio::runtime::Runtime>);

impl StoreRuntime {
    pub fn new() -> Result<StoreRuntime> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.thread_name("hourglass-lake").enable_all().build();
        let runtime = runtime.map_err(Error::io("", "start the runtime of the table"))?;
        Ok(StoreRuntime(Arc::new(Inner(Some(runtime)))))
    }

    /// Runs `future` to completion. If the current thread is inside a runtime, which cannot be
    /// entered twice, runs it on a new thread.
    pub fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let runtime = self.0.0.as_ref().expect("taken on drop only");
        match tokio::runtime::Handle::try_current() {
            Err(_) => runtime.block_on(future),
            Ok(_) => std::thread::scope(|scope| {
                scope
                    .spawn(|| runtime.block_on(future))
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }),
        }
    }
}

impl Drop for Inner {
    /// Shuts down in the background: dropping a runtime waits for its threads, which a thread of
    /// another runtime must not do.
    fn drop(&mut self) {
        self.0.take().expect("taken here only").shutdown_background();
    }
}
