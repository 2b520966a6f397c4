//! The flusher: a thread that turns sealed generations into data files, one Delta commit each.
//!
//! encode and write each hour, and the idempotency keys -> sync all -> commit -> publish -> release the log. A generation stays
//! in the snapshot until its files are, so a failure at any step loses nothing: the step is tried again until the cause goes.

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
use super::wal::ClosedSegments;
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

pub struct Flusher {
    pub runtime: LakeRuntime,
    pub lake: Lake,
    pub cell: Arc<SnapshotCell>,
    pub segments: Arc<ClosedSegments>,
    pub keys: KeyFiles,
    pub queue: Arc<CommitQueue>,
    pub clock: Arc<dyn Clock>,
    pub retry: Duration,
    pub metrics: Metrics,
    pub trouble: Recurring,
    /// As [`Flusher::trouble`], of what a flush leaves to do when its events are in the table.
    pub tidying: Recurring,
}

impl Flusher {
    /// Runs until the writer is gone. A generation that could not be flushed by then is still in the log.
    pub fn run(&mut self, jobs: &Receiver<Job>) {
        let mut failed: Option<Refusal> = None;
        loop {
            if let Err(error) = self.segments.prepare_spare() {
                tracing::debug!(%error, "no spare log segment could be prepared");
            }
            let job = match failed {
                Some(_) => jobs.recv_timeout(self.retry),
                None => jobs.recv().map_err(RecvTimeoutError::from),
            };
            let waiters = match job {
                Ok(Job::Flush) | Err(RecvTimeoutError::Timeout) => Vec::new(),
                Ok(Job::Report(waiters)) => waiters,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            failed = self.flush_sealed().err().map(|error| self.failed(&error));
            if failed.is_none() && self.trouble.has_passed() {
                tracing::info!("the flush goes through again");
            }
            for waiter in waiters {
                let _ = waiter.send(failed.clone().map_or(Ok(()), Err));
            }
        }
    }

    /// Counts a failure and tells of it; answers what those are told who wait.
    fn failed(&self, error: &Error) -> Refusal {
        self.metrics.flush_failures.inc();
        if self.trouble.is_due(self.clock.now_us()) {
            let retry_ms = self.retry.as_millis();
            tracing::warn!(%error, retry_ms, "the flush failed and is tried again, and this is said once a minute");
        }
        match vfs::limit_behind(error) {
            Some(bound) => Refusal::Busy(bound),
            None => Refusal::Failed(error.to_string().into()),
        }
    }

    fn flush_sealed(&mut self) -> Result<()> {
        while let Some(sealed) = self.cell.load().sealed.first().cloned() {
            self.flush(&sealed)?;
            self.queue.nudge();
        }
        Ok(())
    }

    fn flush(&mut self, sealed: &Memtable) -> Result<()> {
        let started = self.clock.now_us();
        // Only this thread changes the files, so what they are now they are until it publishes.
        let before = self.cell.load().files.clone();
        let files = self.write_files(sealed)?;
        let keys = self.keys.write(sealed.last_lsn, &sealed.keys, self.clock.now_us())?;
        self.commit(&files, keys.as_ref(), sealed.last_lsn)?;
        let mut index = before;
        let (hours, mut bytes) = (files.len(), 0);
        for (hour, file, _) in files {
            bytes += file.bytes;
            lake::add_to_index(&mut index, hour, Arc::new(file));
        }
        self.cell.update(|snapshot| {
            snapshot.sealed.retain(|other| other.generation != sealed.generation);
            snapshot.files = index;
            snapshot.file_count += hours as u64;
            snapshot.file_bytes += bytes;
        });
        self.tidy(sealed.last_lsn);
        self.runtime.block_on(self.lake.checkpoint_if_due(self.clock.now_us()));
        let took = since(&*self.clock, started);
        self.metrics.flush_duration.observe_duration(took);
        self.metrics.flushed_rows.inc_by(sealed.rows);
        self.metrics.flushed_files.inc_by(hours as u64);
        self.metrics.flushed_bytes.inc_by(bytes);
        let ms = took.as_millis() as u64;
        tracing::info!(hours, rows = sealed.rows, bytes, ms, "flushed to Parquet");
        Ok(())
    }

    /// Lets go of what the table has. The events are there: what cannot be removed now is by the next flush, or the next start.
    fn tidy(&mut self, last_lsn: super::wal::Lsn) {
        let now_us = self.clock.now_us();
        match self.segments.release_through(last_lsn).and_then(|()| self.keys.expire(now_us)) {
            Ok(()) => _ = self.tidying.has_passed(),
            Err(error) if self.tidying.is_due(now_us) => {
                tracing::warn!(%error, "what a flush leaves behind cannot be removed; the next makes up for it");
            }
            Err(_) => {}
        }
    }

    /// An error does not mean that the commit failed: its answer may have been lost. The table knows.
    fn commit(
        &mut self,
        files: &[lake::CommitFile],
        keys: Option<&KeyFileRecord>,
        last_lsn: super::wal::Lsn,
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

    /// Encodes and writes the generation's hours on all cores.
    fn write_files(&self, sealed: &Memtable) -> Result<Vec<lake::CommitFile>> {
        let hours: Vec<(&Hour, &Arc<HourTable>)> = sealed.hours.iter().filter(|(_, table)| table.rows() > 0).collect();
        let next = AtomicUsize::new(0);
        let written = Mutex::new(Ok(Vec::with_capacity(hours.len())));
        let work = || {
            while let Some(&(hour, table)) = hours.get(next.fetch_add(1, Ordering::Relaxed)) {
                let file = self.write_file(sealed, *hour, table);
                let mut written = written.lock().expect("no panic under this lock");
                match (&mut *written, file) {
                    (Ok(files), Ok(file)) => files.push(file),
                    (Ok(_), Err(error)) => *written = Err(error),
                    (Err(_), _) => return,
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(hours.len()).min(8);
        thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let mut files: Vec<lake::CommitFile> = written.into_inner().expect("no panic under this lock")?;
        files.sort_by_key(|(hour, ..)| *hour);
        Ok(files)
    }

    fn write_file(&self, sealed: &Memtable, hour: Hour, table: &HourTable) -> Result<lake::CommitFile> {
        let Encoded { parquet, rollup, hour: claim, min_user, max_user } = data_file::encode(table)?;
        let location = self.lake.put(sealed.first_lsn, hour, &parquet)?;
        let (bytes, checksum) = (parquet.len() as u64, Some(crc32c::crc32c(&parquet)));
        let file = DataFile { location, bytes, rollup, hour: claim, checksum };
        Ok((hour, file, (min_user, max_user)))
    }
}
