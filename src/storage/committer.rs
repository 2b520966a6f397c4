//! Committer: the one thread that writes to the table. It flushes sealed generations first, then
//! maintains the files, and is a loop over [`Committer::step`].

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::flusher::Flusher;
use super::maintenance::Maintenance;
use super::owned_table::OwnedTable;
use super::requests::{Request, Waiter};
use crate::storage::error::Error;

/// Message from the writer; messages are handled in order.
#[derive(Debug)]
pub enum Job {
    /// A generation has been sealed.
    Flush,
    /// Carry out these requests once everything sealed before is flushed.
    Requests(Vec<Request>),
}

#[derive(Debug)]
pub struct Committer {
    pub jobs: Receiver<Job>,
    pub table: OwnedTable,
    pub flusher: Flusher,
    pub maintenance: Maintenance,
    /// Whether the last job taken is not done yet.
    pub busy: bool,
    /// Requests that came with that job.
    pub requests: Vec<Request>,
    /// Whether the last flush failed.
    pub failed: bool,
}

impl Committer {
    /// Runs until the writer is gone. A generation that has not been flushed by then is still in
    /// the log.
    pub fn run(&mut self, retry: Duration) {
        loop {
            let timeout = if self.failed { retry } else { Duration::MAX };
            if self.step(timeout).is_break() {
                return;
            }
        }
    }

    /// Advances the current generation by one stage, or the maintenance if there is none. If there
    /// is nothing to do, waits up to `timeout` for a job; a failed flush is retried after that
    /// time. Returns `Break` when the writer is gone, or when another process owns the table.
    pub fn step(&mut self, timeout: Duration) -> ControlFlow<()> {
        if !self.busy {
            if let Err(error) = self.flusher.segments.prepare_spare() {
                tracing::debug!(%error, "no spare log segment could be prepared");
            }
            // A disk that refuses flushes has no room for merged files either.
            let idle = if self.failed { timeout } else { self.maintenance.wait(&self.table) };
            match self.jobs.recv_timeout(timeout.min(idle)) {
                Ok(Job::Flush) => {}
                Ok(Job::Requests(requests)) => self.requests = requests,
                Err(RecvTimeoutError::Timeout) if self.failed => {}
                Err(RecvTimeoutError::Timeout) => return self.maintain(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.maintenance.close();
                    return ControlFlow::Break(());
                }
            }
            self.busy = true;
        }
        match self.flusher.advance(&mut self.table) {
            Ok(true) => self.checkpoint(),
            Ok(false) => {
                self.flusher.passed();
                self.finish();
            }
            Err(error) => {
                let refusal = self.flusher.failed(&self.table, &error);
                (self.busy, self.failed) = (false, true);
                self.requests.drain(..).for_each(|request| request.refuse(refusal.clone()));
                return self.unless_fenced(&error);
            }
        }
        ControlFlow::Continue(())
    }

    /// Ends a job: answers its flushes, and hands its other requests on.
    fn finish(&mut self) {
        (self.busy, self.failed) = (false, false);
        let answer = |waiter: Waiter<()>| _ = waiter.send(Ok(()));
        for request in self.requests.drain(..) {
            match request {
                Request::Flush(waiter) => answer(waiter),
                Request::Compact(compact) => self.maintenance.request(compact),
                Request::Retain(retain) => self.maintenance.retain(retain),
                Request::Forget(forget) => self.maintenance.forget(forget),
            }
        }
    }

    fn maintain(&mut self) -> ControlFlow<()> {
        let done = self.maintenance.step(&mut self.table);
        self.checkpoint();
        match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.unless_fenced(&error),
        }
    }

    /// Writes a checkpoint if one is due. Files whose time has come are removed before, as it
    /// forgets old tombstones.
    fn checkpoint(&mut self) {
        if self.table.lake.checkpoint_is_due() {
            self.maintenance.remove_expired(&self.table, usize::MAX);
            let (keep_ms, now_us) = (self.maintenance.keep_log_ms(), self.table.now_us());
            let OwnedTable { runtime, lake, .. } = &mut self.table;
            runtime.block_on(lake.checkpoint(keep_ms, now_us));
        }
    }

    /// Stops for good if another process has taken over the table.
    fn unless_fenced(&mut self, error: &Error) -> ControlFlow<()> {
        if !matches!(error, Error::Fenced) {
            return ControlFlow::Continue(());
        }
        self.flusher.queue.die(&error.to_string());
        self.maintenance.close();
        ControlFlow::Break(())
    }
}
