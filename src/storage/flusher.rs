//! Flusher: turns sealed generations into data files, one commit each. The committer drives it step
//! by step.
//!
//! A generation takes four steps, and other work may come in between: its files and its idempotency
//! keys are written; they are synced and committed; they are published in place of the memory; the
//! log is released. A generation stays in the snapshot until its files replace it, so a failure
//! loses nothing: the flush is retried from the first step until it succeeds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::commit_queue::CommitQueue;
use super::idempotency::files::KeyFiles;
use super::lake::actions::DataFile;
use super::lake::commit::{Change, CommitFile, Outcome, Purpose};
use super::lake::data_file::{self, Encoded};
use super::lake::table::Lake;
use super::memory::memtable::{HourTable, Memtable};
use super::metrics::since;
use super::owned_table::OwnedTable;
use super::recurring::Recurring;
use super::requests::Refusal;
use super::store::StoreRuntime;
use super::wal::{ClosedSegments, Lsn};
use crate::hour::Hour;
use crate::storage::error::{Error, Result};

/// Progress of the oldest sealed generation.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Sealed,
    Written(Flush),
    Committed(Flush, Outcome),
    Published(Flush),
}

/// One generation being flushed to the table.
#[derive(Debug)]
struct Flush {
    started_us: i64,
    sealed: Memtable,
    change: Change,
}

#[derive(Debug)]
pub struct Flusher {
    pub segments: Arc<ClosedSegments>,
    pub keys: KeyFiles,
    pub queue: Arc<CommitQueue>,
    /// Number of threads that encode the hours of a generation.
    pub encoders: usize,
    pub progress: Progress,
}

/// State of the flusher between two steps.
#[derive(Debug, Default)]
pub struct Progress {
    stage: Stage,
    /// Limits the warnings about failed flushes.
    trouble: Recurring,
    /// Limits the warnings about cleanup that failed after the events were committed.
    tidying: Recurring,
}

impl Flusher {
    /// Runs the next stage of the oldest sealed generation; returns `false` if there is none. After
    /// an error its flush starts over: files that are not in the table yet are written again, over
    /// the existing ones.
    pub fn advance(&mut self, table: &mut OwnedTable) -> Result<bool> {
        self.progress.stage = match std::mem::take(&mut self.progress.stage) {
            Stage::Sealed => {
                let Some(sealed) = table.cell.load().sealed.first().cloned() else {
                    return Ok(false);
                };
                Stage::Written(self.write(table, sealed)?)
            }
            Stage::Written(flush) => {
                let outcome = table.commit(&flush.change)?;
                Stage::Committed(flush, outcome)
            }
            Stage::Committed(flush, outcome) => {
                // The files replace the generation.
                let generation = flush.sealed.generation;
                table.publish(&flush.change, outcome, |snapshot| {
                    snapshot.sealed.retain(|other| other.generation != generation);
                });
                Stage::Published(flush)
            }
            Stage::Published(flush) => {
                self.tidy(flush.sealed.last_lsn, table.now_us());
                count(table, &flush);
                self.queue.nudge();
                Stage::Sealed
            }
        };
        Ok(true)
    }

    /// Counts and logs a failure; returns what to send to the waiters.
    pub fn failed(&self, table: &OwnedTable, error: &Error) -> Refusal {
        table.metrics.flush_failures.inc();
        if self.progress.trouble.is_due(table.now_us()) {
            tracing::warn!(%error, "the flush failed and will be retried (logged at most once a minute)");
        }
        Refusal::from(error)
    }

    /// Logs that flushes that had failed go through again.
    pub fn passed(&self) {
        if self.progress.trouble.has_passed() {
            tracing::info!("the flush goes through again");
        }
    }

    /// Writes the files and the keys of a generation. Nothing refers to them yet.
    fn write(&mut self, table: &OwnedTable, sealed: Memtable) -> Result<Flush> {
        let started_us = table.now_us();
        let adds = self.write_files(table, &sealed)?;
        let last_lsn = sealed.last_lsn;
        let keys = self.keys.write(last_lsn, &sealed.keys, table.now_us())?;
        let purpose = Purpose::Flush { last_lsn, keys };
        Ok(Flush { started_us, sealed, change: Change { purpose, adds, removes: Vec::new() } })
    }

    /// Releases the log segments of the flushed events, and the key files that have expired. The
    /// events are safe in the table: what cannot be removed now is removed by the next flush, or at
    /// the next start.
    fn tidy(&mut self, last_lsn: Lsn, now_us: i64) {
        match self.segments.release_through(last_lsn).and_then(|()| self.keys.expire(now_us)) {
            Ok(()) => _ = self.progress.tidying.has_passed(),
            Err(error) if self.progress.tidying.is_due(now_us) => {
                tracing::warn!(%error, "log segments or key files that are no longer needed cannot be removed; the next flush tries again");
            }
            Err(_) => {}
        }
    }

    /// Encodes and writes the hours of the generation, several in parallel.
    fn write_files(&self, table: &OwnedTable, sealed: &Memtable) -> Result<Vec<CommitFile>> {
        let hours: Vec<(&Hour, &Arc<HourTable>)> =
            sealed.hours.iter().filter(|(_, table)| table.rows() > 0).collect();
        let next = AtomicUsize::new(0);
        let written = Mutex::new(Ok(Vec::with_capacity(hours.len())));
        let (OwnedTable { runtime, lake, .. }, now_us) = (table, table.now_us());
        let work = || {
            while let Some(&(hour, table)) = hours.get(next.fetch_add(1, Ordering::Relaxed)) {
                let file = write_file(runtime, lake, sealed, *hour, table, now_us);
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
        let mut files: Vec<CommitFile> = written.into_inner().expect("no panic under this lock")?;
        files.sort_by_key(|(hour, ..)| *hour);
        Ok(files)
    }
}

fn count(table: &OwnedTable, flush: &Flush) {
    let took = since(&*table.clock, flush.started_us);
    let bytes = flush.change.adds.iter().map(|(_, file, _)| file.bytes).sum();
    let (hours, rows) = (flush.change.adds.len(), flush.sealed.rows);
    table.metrics.flush_duration.observe_duration(took);
    table.metrics.flushed_rows.inc_by(rows);
    table.metrics.flushed_files.inc_by(hours as u64);
    table.metrics.flushed_bytes.inc_by(bytes);
    let ms = took.as_millis() as u64;
    tracing::info!(hours, rows, bytes, ms, "flushed to Parquet");
}

fn write_file(
    runtime: &StoreRuntime,
    lake: &Lake,
    sealed: &Memtable,
    hour: Hour,
    table: &HourTable,
    now_us: i64,
) -> Result<CommitFile> {
    let Encoded { parquet, rollup, hour: claim, min_user, max_user } =
        data_file::encode(lake.schema(), table)?;
    let (bytes, checksum) = (parquet.len() as u64, Some(crc32c::crc32c(&parquet)));
    let location = runtime.block_on(lake.put(sealed.first_lsn, hour, parquet))?;
    let written_ms = now_us / 1_000;
    let file = DataFile { location, bytes, rollup, hour: claim, checksum, written_ms };
    Ok((hour, file, (min_user, max_user)))
}
