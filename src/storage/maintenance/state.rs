//! State of the maintenance, and its next step.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use object_store::Error as StoreError;
use object_store::path::Path as Location;

use super::batch::Batch;
use super::erasure::{Erasure, HistoryRecord, LOOK};
use super::orphans::OrphanPass;
use super::replaced::ReplacedFiles;
use super::retention::microseconds;
use crate::hour::Hour;
use crate::rollup::SourceSet;
use crate::storage::error::{Error, Result};
use crate::storage::lake::commit::{Change, Outcome, Purpose};
use crate::storage::lake::compaction::Plan;
use crate::storage::lake::merge::Files;
use crate::storage::lake::pending::Pending;
use crate::storage::lake::table::Tombstone;
use crate::storage::options::{CompactionOptions, EngineOptions};
use crate::storage::owned_table::OwnedTable;
use crate::storage::pace::Pace;
use crate::storage::recurring::Recurring;
use crate::storage::requests::{Compact, CompactionReport, Forget, Refusal, Retain};
use crate::storage::store::{self, failed};
use crate::storage::wal::ClosedSegments;

/// Expired files removed in one step.
const REMOVED_FILES: usize = 32;

/// Time after a failure before the next attempt.
pub const RETRY_US: i64 = 10_000_000;

/// Time for which commits stay in the log at least.
const KEEP_LOG_MS: i64 = 2 * 24 * 60 * 60 * 1_000;

#[derive(Debug)]
pub struct Maintenance {
    pub(super) options: CompactionOptions,
    pub(super) files: Files,
    /// Number of the last merged file of this process.
    pub(super) number: u64,
    pub(super) pending: Pending,
    /// Planned, not begun.
    pub(super) queue: VecDeque<Plan>,
    pub(super) batch: Batch,
    /// A commit whose outcome is not known yet.
    pub(super) commit: Option<Change>,
    /// Requests of the current round, and those that wait for the next.
    pub(super) asked: Vec<Compact>,
    pub(super) waiting: Vec<Compact>,
    pub(super) report: CompactionReport,
    pub(super) planned: u64,
    /// Hours of the round that have more files than were merged at a time.
    pub(super) cut: HashSet<Hour>,
    pub(super) replaced: ReplacedFiles,
    /// Age at which whole hours are removed, in microseconds.
    pub(super) retention_us: Option<i64>,
    /// Requests for a removal, until it is committed.
    pub(super) retains: Vec<Retain>,
    pub(super) forgets: VecDeque<Forget>,
    pub(super) erasure: Option<Erasure>,
    pub(super) history: HistoryRecord,
    pub(super) orphans: OrphanPass,
    pub(super) segments: Arc<ClosedSegments>,
    /// Files that could not be merged: they are not tried again.
    pub(super) refused: HashSet<SourceSet>,
    pub(super) looked_us: Option<i64>,
    pub(super) not_before_us: i64,
    pub(super) pace: Pace,
    pub(super) trouble: Recurring,
}

impl Maintenance {
    /// Creates the maintenance. `tombstones` are those of earlier processes; what they left half
    /// written is removed.
    pub fn new(
        options: &EngineOptions,
        table: &OwnedTable,
        pending: Pending,
        history: HistoryRecord,
        segments: Arc<ClosedSegments>,
        tombstones: Vec<Tombstone>,
    ) -> Result<Maintenance> {
        // Strictly shorter, so that no checkpoint forgets a tombstone whose file is still there.
        let most_ms = table.lake.tombstone_retention_ms()? * 9 / 10;
        let files = Files {
            runtime: table.runtime.clone(),
            store: table.lake.store().clone(),
            schema: table.lake.schema().clone(),
        };
        let grace_ms = i64::try_from(options.keep_replaced_ms).unwrap_or(i64::MAX).min(most_ms);
        let idle_ms = table.lake.committed_ms().map(|ms| table.now_us() / 1_000 - ms);
        let orphans = match idle_ms {
            Some(idle_ms) if idle_ms >= most_ms => OrphanPass::new(&table.cell.load().files),
            _ => OrphanPass::default(),
        };
        let retention_us = options.retention_ms.map(microseconds);
        let mut maintenance = Maintenance {
            options: options.compaction,
            files,
            number: 0,
            pending,
            queue: VecDeque::new(),
            batch: Batch::default(),
            commit: None,
            asked: Vec::new(),
            waiting: Vec::new(),
            report: CompactionReport::default(),
            planned: 0,
            cut: HashSet::new(),
            replaced: ReplacedFiles::new(grace_ms, tombstones),
            retention_us,
            retains: Vec::new(),
            forgets: VecDeque::new(),
            erasure: None,
            history,
            orphans,
            segments,
            refused: HashSet::new(),
            looked_us: None,
            not_before_us: i64::MIN,
            pace: Pace::default(),
            trouble: Recurring::default(),
        };
        maintenance.discard(table)?;
        maintenance.gauge(table);
        Ok(maintenance)
    }

    /// Takes a request for the next round.
    pub fn request(&mut self, request: Compact) {
        self.waiting.push(request);
        self.not_before_us = i64::MIN;
    }

    /// Takes a request to remove what is too old.
    pub fn retain(&mut self, request: Retain) {
        self.retains.push(request);
        self.not_before_us = i64::MIN;
    }

    /// Takes a request to remove the rows of some users.
    pub fn forget(&mut self, request: Forget) {
        self.forgets.push_back(request);
        self.not_before_us = i64::MIN;
    }

    /// Returns the time for which commits stay in the log, in milliseconds.
    pub fn keep_log_ms(&self) -> i64 {
        self.replaced.grace_ms().max(KEEP_LOG_MS)
    }

    /// Tells the callers of unfinished requests that the engine stops.
    pub fn close(&mut self) {
        self.answer(&Err(Refusal::Closed));
    }

    /// Returns the time until the next step.
    pub fn wait(&self, table: &OwnedTable) -> Duration {
        let now_us = table.now_us();
        let has_work = self.commit.is_some()
            || !self.batch.is_empty()
            || !self.queue.is_empty()
            || !self.asked.is_empty()
            || !self.waiting.is_empty()
            || !self.retains.is_empty()
            || !self.forgets.is_empty()
            || self.erasure.is_some()
            || !self.orphans.is_empty()
            || self.replaced.expired(now_us).is_some();
        if self.erasure.as_ref().is_some_and(|erasure| erasure.cleaning.is_some()) {
            return LOOK;
        }
        let due_us = if has_work { self.not_before_us } else { self.next_look_us() };
        let due_us = due_us.max(self.pace.until_us());
        let wait_us = due_us.saturating_sub(now_us);
        // A clock that is set back must not put off the next look for longer.
        let most_us = self.options.interval_ms.saturating_mul(1_000);
        Duration::from_micros(u64::try_from(wait_us).unwrap_or(0).min(most_us))
    }

    pub(super) fn next_look_us(&self) -> i64 {
        let interval_us =
            i64::try_from(self.options.interval_ms).unwrap_or(i64::MAX / 1_000) * 1_000;
        self.looked_us.map_or(i64::MIN, |us| us.saturating_add(interval_us)).max(self.not_before_us)
    }

    /// Does the next piece of work.
    ///
    /// # Errors
    /// [`Error::Fenced`]. Other errors are logged and given to those who asked; the work is tried
    /// again later.
    pub fn step(&mut self, table: &mut OwnedTable) -> Result<()> {
        if table.now_us() < self.not_before_us {
            return Ok(());
        }
        let began_us = table.now_us();
        let done = self.try_step(table);
        self.pace.record(began_us, table.now_us(), table.metrics.calls.get());
        let Err(error) = done else { return Ok(()) };
        if matches!(error, Error::Fenced) {
            return Err(error);
        }
        table.metrics.compaction_failures.inc();
        let now_us = table.now_us();
        if self.trouble.is_due(now_us) {
            tracing::warn!(%error, "the compaction failed and will be retried (logged at most once a minute)");
        }
        self.not_before_us = now_us.saturating_add(RETRY_US);
        self.answer(&Err(Refusal::from(&error)));
        self.queue.clear();
        self.report = CompactionReport::default();
        if self.commit.is_none() {
            self.batch = Batch::default();
            // If it fails, the record keeps the names for the next attempt.
            let _ = self.discard(table);
        }
        Ok(())
    }

    fn try_step(&mut self, table: &mut OwnedTable) -> Result<()> {
        if self.commit.is_some() {
            return self.commit(table);
        }
        if !self.retains.is_empty() {
            return self.take_retains(table);
        }
        if self.erasure.is_none() && !self.forgets.is_empty() {
            return self.begin_erasure(table);
        }
        if self.erasure.as_ref().is_some_and(|erasure| !erasure.planned) {
            return self.examine(table);
        }
        if !self.batch.is_empty() {
            return self.advance(table);
        }
        if !self.queue.is_empty() {
            return self.begin(table);
        }
        if self.erasure.is_some() {
            return self.end_erasure(table);
        }
        if !self.asked.is_empty() || self.report.hours > 0 {
            self.end(table);
            return Ok(());
        }
        if self.remove_expired(table, REMOVED_FILES) > 0 || self.remove_orphans(table)? {
            return Ok(());
        }
        self.plan(table)
    }

    fn commit(&mut self, table: &mut OwnedTable) -> Result<()> {
        let change = self.commit.clone().expect("the caller has seen it");
        let outcome = table.commit(&change)?;
        self.commit = None;
        let is_obsolete = matches!(outcome, Outcome::Obsolete(_));
        table.publish(&change, outcome, |_| ());
        if is_obsolete {
            tracing::info!("another engine has replaced files that were being merged");
            if let Some(erasure) = self.erasure.take() {
                self.forgets.push_front(erasure.asked);
            }
            return self.discard(table);
        }
        match change.purpose {
            Purpose::Retention => self.removed(table, &change),
            Purpose::Erasure => self.erased(&change),
            _ => self.count(table, &change),
        }
        let added: HashSet<Location> =
            change.adds.iter().map(|(_, file, _)| file.location.clone()).collect();
        let removed_ms = table.now_us() / 1_000;
        for (_, file) in change.removes {
            self.replaced.push(file, removed_ms);
        }
        self.gauge(table);
        self.settle(|file| added.contains(file))
    }

    /// Answers those who asked for a compaction; after an error also those who ask for anything.
    pub(super) fn answer(&mut self, outcome: &Result<CompactionReport, Refusal>) {
        let waiting = if outcome.is_err() { mem::take(&mut self.waiting) } else { Vec::new() };
        for asked in self.asked.drain(..).chain(waiting) {
            let _ = asked.waiter.send(outcome.clone());
        }
        if let Err(refusal) = outcome {
            let erasure = self.erasure.take().map(|erasure| erasure.asked);
            for asked in erasure.into_iter().chain(self.forgets.drain(..)) {
                let _ = asked.waiter.send(Err(refusal.clone()));
            }
            for asked in self.retains.drain(..) {
                let _ = asked.waiter.send(Err(refusal.clone()));
            }
        }
    }

    /// Removes the recorded files that are not in the table, for good.
    pub(super) fn discard(&mut self, table: &OwnedTable) -> Result<()> {
        if self.pending.files().is_empty() {
            return Ok(());
        }
        let snapshot = table.cell.load();
        let files = snapshot.files.values().flat_map(|hour| &hour.files);
        let kept: HashSet<&Location> = files.map(|file| &file.location).collect();
        self.settle(|file| kept.contains(file))
    }

    /// Forgets the recorded files, and removes those that are not kept. A removal that is not
    /// durable could bring a file back that nothing names any more, or a temporary file beside it.
    fn settle(&mut self, is_kept: impl Fn(&Location) -> bool) -> Result<()> {
        let mut folders = BTreeSet::new();
        for location in self.pending.files().iter().filter(|file| !is_kept(file)) {
            self.delete(location)?;
            let folder = location.as_ref().rsplit_once('/').map_or("", |(folder, _)| folder);
            folders.insert(Location::from(folder));
        }
        for folder in folders {
            match self.files.runtime.block_on(self.files.store.sync_names(&folder)) {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(failed(folder.as_ref(), "sync")(error)),
            }
        }
        self.pending.set(Vec::new())
    }

    pub(super) fn delete(&self, location: &Location) -> Result<()> {
        self.files.runtime.block_on(store::remove(&*self.files.store, location))
    }

    /// Abandons what is planned or begun.
    pub(super) fn drop_plans(&mut self, table: &OwnedTable) -> Result<()> {
        self.queue.clear();
        self.batch = Batch::default();
        self.discard(table)
    }

    pub(super) fn gauge(&self, table: &OwnedTable) {
        table.metrics.replaced_files.set(self.replaced.len() as i64);
    }
}
