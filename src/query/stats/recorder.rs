//! Cost of one statement: the partitions and files it selected, the bytes it read, the time it
//! took.
//!
//! Partitions and files are counted where they are selected, bytes and opened files in the object
//! store, so that the stats are measured and not taken from a plan.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::hour::Hour;
use crate::storage::{DataFile, HourTable, Reads, Snapshot};

/// Counters that are updated while a statement runs; [`StatsRecorder::stats`] reads them at any
/// time.
#[derive(Debug)]
pub struct StatsRecorder {
    started: Instant,
    /// Locked only for an addition; a statement has few scans.
    chosen: Mutex<Chosen>,
    pub reads: Arc<Reads>,
    planning_us: AtomicU64,
    /// Microseconds from start to end; 0 while the statement runs.
    total_us: AtomicU64,
    rows: AtomicU64,
}

#[derive(Debug, Default)]
struct Chosen {
    partitions: u64,
    files: u64,
    partitions_read: BTreeSet<Hour>,
    files_chosen: u64,
    rollup: bool,
}

/// The values of a recorder at one moment. Times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QueryStats {
    /// Number of partitions (hours) of the table, and of those left after pruning.
    pub partitions: u64,
    pub partitions_read: u64,
    /// Number of files of the table, of those left after pruning by hour, and of those opened.
    pub files: u64,
    pub files_chosen: u64,
    pub files_read: u64,
    pub bytes_read: u64,
    /// Whether rollups were used, for all or part of the result.
    pub rollup: bool,
    /// Rows returned so far.
    pub rows: u64,
    pub planning_ms: f64,
    pub running_ms: f64,
}

impl Default for StatsRecorder {
    fn default() -> StatsRecorder {
        let (chosen, reads, planning_us, total_us, rows) = Default::default();
        StatsRecorder { started: Instant::now(), chosen, reads, planning_us, total_us, rows }
    }
}

impl StatsRecorder {
    /// Records what one scan selected.
    pub(in crate::query) fn scanned(
        &self,
        snapshot: &Snapshot,
        tables: &[(Hour, Arc<HourTable>)],
        files: &[(Hour, Arc<DataFile>)],
    ) {
        let mut chosen = self.considered(snapshot);
        chosen.files_chosen += files.len() as u64;
        chosen.partitions_read.extend(files.iter().map(|(hour, _)| *hour));
        chosen.partitions_read.extend(tables.iter().map(|(hour, _)| *hour));
    }

    /// Records the hours that were computed from rollups.
    pub(in crate::query) fn rolled_up(
        &self,
        snapshot: &Snapshot,
        hours: impl IntoIterator<Item = Hour>,
    ) {
        let mut chosen = self.considered(snapshot);
        chosen.rollup = true;
        chosen.partitions_read.extend(hours);
    }

    fn considered(&self, snapshot: &Snapshot) -> std::sync::MutexGuard<'_, Chosen> {
        let mut chosen = self.chosen.lock().expect("no panic under this lock");
        // A statement reads one snapshot, regardless of its number of scans.
        if chosen.partitions == 0 {
            chosen.partitions = snapshot.partitions() as u64;
            chosen.files = snapshot.file_count;
        }
        chosen
    }

    pub(in crate::query) fn planned(&self) {
        self.planning_us.store(micros(self.started.elapsed()), Ordering::Relaxed);
    }

    pub(in crate::query) fn answered(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(in crate::query) fn ended(&self) {
        self.total_us.store(micros(self.started.elapsed()).max(1), Ordering::Relaxed);
    }

    pub fn stats(&self) -> QueryStats {
        let chosen = self.chosen.lock().expect("no panic under this lock");
        let planning_us = self.planning_us.load(Ordering::Relaxed);
        let total_us = match self.total_us.load(Ordering::Relaxed) {
            0 => micros(self.started.elapsed()),
            total_us => total_us,
        };
        QueryStats {
            partitions: chosen.partitions,
            partitions_read: chosen.partitions_read.len() as u64,
            files: chosen.files,
            files_chosen: chosen.files_chosen,
            files_read: self.reads.files(),
            bytes_read: self.reads.bytes(),
            rollup: chosen.rollup,
            rows: self.rows.load(Ordering::Relaxed),
            planning_ms: planning_us as f64 / 1e3,
            running_ms: total_us.saturating_sub(planning_us) as f64 / 1e3,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
