//! The flusher turns sealed generations into data files, one Delta commit each. It is a loop over
//! [`Flusher::step`].
//!
//! A generation takes four steps, after each of which other work may come in between: its files and
//! its idempotency keys are written; they are synced and committed; they are published in place of
//! the memory; the log is released. A generation stays in the snapshot until its files are, so a
//! failure loses nothing: the flush begins again at the first step, until the cause goes.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::commit_queue::{CommitQueue, Refusal, Waiter};
use super::idempotency::files::{KeyFileRecord, KeyFiles};
use super::lake::data_file::{self, Encoded};
use super::lake::table::{self as lake, DataFile, Lake, LakeRuntime};
use super::memory::memtable::{HourTable, Memtable};
use super::metrics::{Metrics, since};
use super::recurring::Recurring;
use super::snapshot::SnapshotCell;
use super::vfs;
use super::wal::{ClosedSegments, Lsn};
use crate::error::{Error, Result};
use crate::hour::{Clock, Hour};

/// What the writer asks for, in order.
#[derive(Debug)]
pub enum Job {
    /// A generation has been sealed.
    Flush,
    /// Tell these that everything sealed before is flushed, or why not.
    Report(Vec<Waiter<()>>),
}

/// How far the oldest sealed generation has come.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Sealed,
    Written(Flush),
    Committed(Flush),
    Published(Flush),
}

/// One generation under way into the table.
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
    /// Threads that encode the hours of a generation.
    pub encoders: usize,
    pub metrics: Metrics,
    pub progress: Progress,
}

/// What the flusher is about.
#[derive(Debug, Default)]
pub struct Progress {
    stage: Stage,
    /// The job taken last is not done yet.
    busy: bool,
    /// Those who wait for it.
    waiters: Vec<Waiter<()>>,
    /// Whether the last flush failed.
    failed: bool,
    /// Warns of flushes that fail.
    trouble: Recurring,
    /// As `trouble`, of what a flush leaves to do when its events are in the table.
    tidying: Recurring,
}

impl Flusher {
    /// Runs until the writer is gone. A generation that could not be flushed by then is still in
    /// the log.
    pub fn run(&mut self, retry: Duration) {
        loop {
            let timeout = if self.progress.failed { retry } else { Duration::MAX };
            if self.step(timeout).is_break() {
                return;
            }
        }
    }

    /// Takes the generation under way one stage further. Where none is, waits for a job, up to
    /// `timeout`, and begins it; what failed is begun again after that time. `Break` when the
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

    /// Ends a job and tells those who wait for it.
    fn finish(&mut self, outcome: Result<(), Refusal>) {
        let progress = &mut self.progress;
        (progress.busy, progress.failed) = (false, outcome.is_err());
        for waiter in progress.waiters.drain(..) {
            let _ = waiter.send(outcome.clone());
        }
    }

    /// Counts a failure and tells of it; answers what those are told who wait.
    fn failed(&self, error: &Error) -> Refusal {
        self.metrics.flush_failures.inc();
        if self.progress.trouble.is_due(self.clock.now_us()) {
            tracing::warn!(%error, "the flush failed and is tried again, and this is said once a minute");
        }
        match vfs::limit_behind(error) {
            Some(bound) => Refusal::Busy(bound),
            None => Refusal::Failed(error.to_string().into()),
        }
    }

    /// Does the next stage of the oldest sealed generation; answers whether there was one. After an
    /// error its flush begins anew: files that are not in the table yet are written once more, over
    /// those that are there.
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

    /// Writes the files of a generation and its keys. Nothing refers to them yet.
    fn write(&mut self, sealed: Memtable) -> Result<Flush> {
        let started_us = self.clock.now_us();
        let files = self.write_files(&sealed)?;
        let keys = self.keys.write(sealed.last_lsn, &sealed.keys, self.clock.now_us())?;
        Ok(Flush { started_us, sealed, files, keys })
    }

    /// Puts the files in the place of the generation.
    fn publish(&self, flush: &Flush) {
        // Only the flusher changes the files, so what they are now they are until it publishes.
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

    /// Lets go of what the table has. The events are there: what cannot be removed now is by the
    /// next flush, or the next start.
    fn tidy(&mut self, last_lsn: Lsn) {
        let now_us = self.clock.now_us();
        match self.segments.release_through(last_lsn).and_then(|()| self.keys.expire(now_us)) {
            Ok(()) => _ = self.progress.tidying.has_passed(),
            Err(error) if self.progress.tidying.is_due(now_us) => {
                tracing::warn!(%error, "what a flush leaves behind cannot be removed; the next makes up for it");
            }
            Err(_) => {}
        }
    }

    /// An error does not mean that the commit failed: its answer may have been lost. The table
    /// knows.
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

    /// Encodes and writes the generation's hours, several at once.
    fn write_files(&self, sealed: &Memtable) -> Result<Vec<lake::CommitFile>> {
        let hours: Vec<(&Hour, &Arc<HourTable>)> =
            sealed.hours.iter().filter(|(_, table)| table.rows() > 0).collect();
        let next = AtomicUsize::new(0);
        let written = Mutex::new(Ok(Vec::with_capacity(hours.len())));
        let lake = &self.lake;
        let work = || {
            while let Some(&(hour, table)) = hours.get(next.fetch_add(1, Ordering::Relaxed)) {
                let file = write_file(lake, sealed, *hour, table);
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
    lake: &Lake,
    sealed: &Memtable,
    hour: Hour,
    table: &HourTable,
) -> Result<lake::CommitFile> {
    let Encoded { parquet, rollup, hour: claim, min_user, max_user } = data_file::encode(table)?;
    let location = lake.put(sealed.first_lsn, hour, &parquet)?;
    let (bytes, checksum) = (parquet.len() as u64, Some(crc32c::crc32c(&parquet)));
    let file = DataFile { location, bytes, rollup, hour: claim, checksum };
    Ok((hour, file, (min_user, max_user)))
}

impl Flush {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, file, _)| file.bytes).sum()
    }
}
