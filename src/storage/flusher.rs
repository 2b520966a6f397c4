//! Flusher: turns sealed generations into data files, one Delta commit each. It is a loop over
//! [`Flusher::step`].
//!
//! A generation takes four steps, and other work may come in between: its files and its idempotency
//! keys are written; they are synced and committed; they are published in place of the memory; the
//! log is released. A generation stays in the snapshot until its files replace it, so a failure
//! loses nothing: the flush is retried from the first step until it succeeds.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::commit_queue::{CommitQueue, Refusal, Waiter};
use super::idempotency::files::{KeyFileRecord, KeyFiles};
use super::lake::actions::DataFile;
use super::lake::data_file::{self, Encoded};
use super::lake::runtime::LakeRuntime;
use super::lake::table::{self as lake, Lake};
use super::memory::memtable::{HourTable, Memtable};
use super::metrics::{Metrics, since};
use super::recurring::Recurring;
use super::snapshot::SnapshotCell;
use super::vfs;
use super::wal::{ClosedSegments, Lsn};
use crate::hour::{Clock, Hour};
use crate::storage::error::{Error, Result};

/// Request from the writer; requests are handled in order.
#[derive(Debug)]
pub enum Job {
    /// A generation has been sealed.
    Flush,
    /// Tell these waiters that everything sealed before is flushed, or why not.
    Report(Vec<Waiter<()>>),
}

/// Progress of the oldest sealed generation.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Sealed,
    Written(Flush),
    Committed(Flush),
    Published(Flush),
}

/// One generation being flushed to the table.
#[derive(Debug)]
struct Flush {
    started_us: i64,
    sealed: Memtable,
    files: Vec<lake::CommitFile>,
    keys: Option<KeyFileRecord>,
}

#[derive(Debug)]
pub struct Flusher {
    pub jobs: Receiver<Job>,
    pub runtime: LakeRuntime,
    pub lake: Lake,
    pub cell: Arc<SnapshotCell>,
    pub segments: Arc<ClosedSegments>,
    pub keys: KeyFiles,
    pub queue: Arc<CommitQueue>,
    pub clock: Arc<dyn Clock>,
    /// Number of threads that encode the hours of a generation.
    pub encoders: usize,
    pub metrics: Metrics,
    pub progress: Progress,
}

/// State of the flusher between two steps.
#[derive(Debug, Default)]
pub struct Progress {
    stage: Stage,
    /// Whether the last job taken is not done yet.
    busy: bool,
    /// Callers waiting for that job.
    waiters: Vec<Waiter<()>>,
    /// Whether the last flush failed.
    failed: bool,
    /// Limits the warnings about failed flushes.
    trouble: Recurring,
    /// Limits the warnings about cleanup that failed after the events were committed.
    tidying: Recurring,
}

impl Flusher {
    /// Runs until the writer is gone. A generation that has not been flushed by then is still in
    /// the log.
    pub fn run(&mut self, retry: Duration) {
        loop {
            let timeout = if self.progress.failed { retry } else { Duration::MAX };
            if self.step(timeout).is_break() {
                return;
            }
        }
    }

    /// Advances the current generation by one stage. If there is none, waits up to `timeout` for a
    /// job and starts it; a failed flush is retried after that time. Returns `Break` when the
    /// writer is gone.
    pub fn step(&mut self, timeout: Duration) -> ControlFlow<()> {
        if !self.progress.busy {
            if let Err(error) = self.segments.prepare_spare() {
                tracing::debug!(%error, "no spare log segment could be prepared");
            }
            match self.jobs.recv_timeout(timeout) {
                Ok(Job::Flush) => {}
                Ok(Job::Report(waiters)) => self.progress.waiters = waiters,
                Err(RecvTimeoutError::Timeout) if self.progress.failed => {}
                Err(RecvTimeoutError::Timeout) => return ControlFlow::Continue(()),
                Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
            }
            self.progress.busy = true;
        }
        match self.advance() {
            Ok(true) => {}
            Ok(false) => {
                if self.progress.trouble.has_passed() {
                    tracing::info!("the flush goes through again");
                }
                self.finish(Ok(()));
            }
            Err(error) => {
                let refusal = self.failed(&error);
                self.finish(Err(refusal));
            }
        }
        ControlFlow::Continue(())
    }

    /// Ends a job and sends its outcome to the waiters.
    fn finish(&mut self, outcome: Result<(), Refusal>) {
        let progress = &mut self.progress;
        (progress.busy, progress.failed) = (false, outcome.is_err());
        for waiter in progress.waiters.drain(..) {
            let _ = waiter.send(outcome.clone());
        }
    }

    /// Counts and logs a failure; returns what to send to the waiters.
    fn failed(&self, error: &Error) -> Refusal {
        self.metrics.flush_failures.inc();
        if self.progress.trouble.is_due(self.clock.now_us()) {
            tracing::warn!(%error, "the flush failed and will be retried (logged at most once a minute)");
        }
        match vfs::limit_behind(error) {
            Some(bound) => Refusal::Busy(bound),
            None => Refusal::Failed(error.to_string().into()),
        }
    }

    /// Runs the next stage of the oldest sealed generation; returns `false` if there is none. After
    /// an error its flush starts over: files that are not in the table yet are written again, over
    /// the existing ones.
    fn advance(&mut self) -> Result<bool> {
        self.progress.stage = match std::mem::take(&mut self.progress.stage) {
            Stage::Sealed => {
                let Some(sealed) = self.cell.load().sealed.first().cloned() else {
                    return Ok(false);
                };
                Stage::Written(self.write(sealed)?)
            }
            Stage::Written(flush) => {
                self.commit(&flush.files, flush.keys.as_ref(), flush.sealed.last_lsn)?;
                Stage::Committed(flush)
            }
            Stage::Committed(flush) => {
                self.publish(&flush);
                Stage::Published(flush)
            }
            Stage::Published(flush) => {
                self.tidy(flush.sealed.last_lsn);
                self.runtime.block_on(self.lake.checkpoint_if_due(self.clock.now_us()));
                self.count(&flush);
                self.queue.nudge();
                Stage::Sealed
            }
        };
        Ok(true)
    }

    /// Writes the files and the keys of a generation. Nothing refers to them yet.
    fn write(&mut self, sealed: Memtable) -> Result<Flush> {
        let started_us = self.clock.now_us();
        let files = self.write_files(&sealed)?;
        let keys = self.keys.write(sealed.last_lsn, &sealed.keys, self.clock.now_us())?;
        Ok(Flush { started_us, sealed, files, keys })
    }

    /// Replaces the generation by its files in the snapshot.
    fn publish(&self, flush: &Flush) {
        // Only the flusher changes the files, so this index stays current until it is published.
        let mut index = self.cell.load().files.clone();
        for (hour, file, _) in &flush.files {
            lake::add_to_index(&mut index, *hour, Arc::new(file.clone()));
        }
        self.cell.update(|snapshot| {
            snapshot.sealed.retain(|other| other.generation != flush.sealed.generation);
            snapshot.files = index;
            snapshot.file_count += flush.files.len() as u64;
            snapshot.file_bytes += flush.bytes();
        });
    }

    fn count(&self, flush: &Flush) {
        let took = since(&*self.clock, flush.started_us);
        let (hours, rows, bytes) = (flush.files.len(), flush.sealed.rows, flush.bytes());
        self.metrics.flush_duration.observe_duration(took);
        self.metrics.flushed_rows.inc_by(rows);
        self.metrics.flushed_files.inc_by(hours as u64);
        self.metrics.flushed_bytes.inc_by(bytes);
        let ms = took.as_millis() as u64;
        tracing::info!(hours, rows, bytes, ms, "flushed to Parquet");
    }

    /// Releases the log segments of the flushed events, and the key files that have expired. The
    /// events are safe in the table: what cannot be removed now is removed by the next flush, or at
    /// the next start.
    fn tidy(&mut self, last_lsn: Lsn) {
        let now_us = self.clock.now_us();
        match self.segments.release_through(last_lsn).and_then(|()| self.keys.expire(now_us)) {
            Ok(()) => _ = self.progress.tidying.has_passed(),
            Err(error) if self.progress.tidying.is_due(now_us) => {
                tracing::warn!(%error, "log segments or key files that are no longer needed cannot be removed; the next flush tries again");
            }
            Err(_) => {}
        }
    }

    /// Commits the files of a generation. An error does not mean that the commit failed: its reply
    /// may have been lost, so the table is asked.
    fn commit(
        &mut self,
        files: &[lake::CommitFile],
        keys: Option<&KeyFileRecord>,
        last_lsn: Lsn,
    ) -> Result<()> {
        let now_us = self.clock.now_us();
        let Flusher { runtime, lake, .. } = self;
        runtime.block_on(async {
            match lake.commit(files, keys, last_lsn, now_us).await {
                Ok(()) => Ok(()),
                Err(error) => match lake.refresh().await {
                    Ok(flushed) if flushed >= last_lsn => Ok(()),
                    _ => Err(error),
                },
            }
        })
    }

    /// Encodes and writes the hours of the generation, several in parallel.
    fn write_files(&self, sealed: &Memtable) -> Result<Vec<lake::CommitFile>> {
        let hours: Vec<(&Hour, &Arc<HourTable>)> =
            sealed.hours.iter().filter(|(_, table)| table.rows() > 0).collect();
        let next = AtomicUsize::new(0);
        let written = Mutex::new(Ok(Vec::with_capacity(hours.len())));
        let Flusher { runtime, lake, .. } = self;
        let work = || {
            while let Some(&(hour, table)) = hours.get(next.fetch_add(1, Ordering::Relaxed)) {
                let file = write_file(runtime, lake, sealed, *hour, table);
                let mut written = written.lock().expect("no panic under this lock");
                match (&mut *written, file) {
                    (Ok(files), Ok(file)) => files.push(file),
                    (Ok(_), Err(error)) => *written = Err(error),
                    (Err(_), _) => return,
                }
            }
        };
        let threads = self.encoders.min(hours.len());
        thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let mut files: Vec<lake::CommitFile> =
            written.into_inner().expect("no panic under this lock")?;
        files.sort_by_key(|(hour, ..)| *hour);
        Ok(files)
    }
}

fn write_file(
    runtime: &LakeRuntime,
    lake: &Lake,
    sealed: &Memtable,
    hour: Hour,
    table: &HourTable,
) -> Result<lake::CommitFile> {
    let Encoded { parquet, rollup, hour: claim, min_user, max_user } =
        data_file::encode(lake.schema(), table)?;
    let (bytes, checksum) = (parquet.len() as u64, Some(crc32c::crc32c(&parquet)));
    let location = runtime.block_on(lake.put(sealed.first_lsn, hour, parquet))?;
    let file = DataFile { location, bytes, rollup, hour: claim, checksum };
    Ok((hour, file, (min_user, max_user)))
}

impl Flush {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, file, _)| file.bytes).sum()
    }
}
