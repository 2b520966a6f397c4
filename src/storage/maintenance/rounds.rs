//! Rounds of compaction: plans all hours, and merges their files batch by batch.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;

use super::state::Maintenance;
use crate::hour::Hour;
use crate::rollup::SourceSet;
use crate::storage::directory::TABLE_DIR;
use crate::storage::error::{Error, Result};
use crate::storage::file_names::FileNames;
use crate::storage::lake::actions::DataFile;
use crate::storage::lake::commit::{Change, Purpose};
use crate::storage::lake::compaction::{MAX_INPUTS, Plan, Policy};
use crate::storage::lake::index::FileIndex;
use crate::storage::lake::merge::Merge;
use crate::storage::options::CompactionOptions;
use crate::storage::owned_table::OwnedTable;
use crate::storage::requests::CompactionReport;
use crate::storage::store::{failed, is_missing};

/// Rows merged in one step, some ten milliseconds of work.
const STEP_ROWS: usize = 65_536;

/// Part of the time until late files are merged, as a divisor, by which a round takes files early.
const SOON: u64 = 4;

/// Limits of a batch: files written, and bytes read for them.
const BATCH_FILES: usize = 500;
const BATCH_BYTES: u64 = 256 << 20;

impl Maintenance {
    /// Plans a round: for those who ask, or because the time for a look has come.
    pub(super) fn plan(&mut self, table: &mut OwnedTable) -> Result<()> {
        let now_us = table.now_us();
        self.asked = mem::take(&mut self.waiting);
        let all = !self.asked.is_empty();
        if all {
            // Who asks is told again what is damaged; it may have been restored.
            self.refused.clear();
        }
        // A clock that was set back makes it due, too.
        let is_due = self.looked_us.is_none_or(|us| us > now_us) || self.next_look_us() <= now_us;
        if !all && !is_due {
            return Ok(());
        }
        self.looked_us = Some(now_us);
        table.refresh()?;
        self.purge_expired(table)?;
        if self.remove_old(table)? {
            // The hours that are left are looked through after that.
            (self.looked_us, self.waiting) = (None, mem::take(&mut self.asked));
            return Ok(());
        }
        if !all && !self.options.background {
            return Ok(());
        }
        let mut plans = self.plans(table, all, 0);
        if !plans.is_empty() {
            plans = self.plans(table, all, self.options.late_after_ms / SOON);
        }
        let (dry, real): (Vec<_>, Vec<_>) =
            mem::take(&mut self.asked).into_iter().partition(|asked| asked.dry_run);
        if !dry.is_empty() {
            let report = planned(&plans);
            dry.into_iter().for_each(|asked| _ = asked.waiter.send(Ok(report)));
        }
        self.asked = real;
        if all && self.asked.is_empty() {
            return Ok(());
        }
        self.planned = plans.len() as u64;
        self.cut = cut(&plans);
        self.queue = plans.into();
        self.report = CompactionReport::default();
        Ok(())
    }

    /// Returns what to merge now.
    pub(super) fn plans(&self, table: &OwnedTable, all: bool, soon_ms: u64) -> Vec<Plan> {
        let (options, names, now_us) = (&self.options, table.lake.names(), table.now_us());
        let policy = Policy { options, names, now_us, all, soon_ms };
        let snapshot = table.cell.load();
        let plans = snapshot.files.iter().filter_map(|(hour, files)| policy.plan(*hour, files));
        plans.filter(|plan| !self.refused.contains(&sources(&plan.inputs))).collect()
    }

    /// Takes the next batch, and records the files it will write.
    pub(super) fn begin(&mut self, table: &OwnedTable) -> Result<()> {
        let (mut bytes, epoch) = (0, table.lake.epoch());
        while let Some(plan) = self.queue.front()
            && self.batch.plans.len() < BATCH_FILES
            && (bytes == 0 || bytes + plan.bytes() <= BATCH_BYTES)
        {
            bytes += plan.bytes();
            self.number += 1;
            let location = table.lake.merged(epoch, self.number, plan.hour);
            self.batch.plans.extend(self.queue.pop_front().map(|plan| (plan, location)));
        }
        let locations = self.batch.plans.iter().map(|(_, location)| location.clone());
        self.pending.set(locations.collect())
    }

    /// Merges on; when the batch is done, prepares its commit.
    pub(super) fn advance(&mut self, table: &OwnedTable) -> Result<()> {
        if let Some(mut merge) = self.batch.merge.take() {
            let inputs = sources(&merge.plan().inputs);
            let merged = match merge.advance(STEP_ROWS) {
                Ok(true) => {
                    self.batch.merge = Some(merge);
                    return Ok(());
                }
                Ok(false) => merge.finish(),
                Err(error) => Err(error),
            };
            let merged = merged.map(Some).or_else(|error| self.skip(table, inputs, error))?;
            self.batch.merged.extend(merged);
            return Ok(());
        }
        if let Some((plan, location)) = self.batch.plans.pop_front() {
            let inputs = sources(&plan.inputs);
            let forgotten = self.forgotten();
            let begun = Merge::begin(&self.files, plan, location, forgotten).map(Some);
            self.batch.merge = begun.or_else(|error| self.skip(table, inputs, error))?;
            return Ok(());
        }
        if self.batch.merged.is_empty() {
            return Ok(());
        }
        // If this fails, the files are written again: a commit that is tried until its outcome is
        // known must be of durable ones.
        let synced = self.files.runtime.block_on(self.files.store.sync());
        synced.map_err(failed(TABLE_DIR, "sync the merged files"))?;
        let merged = mem::take(&mut self.batch.merged);
        let change = Change {
            purpose: match self.erasure {
                Some(_) => Purpose::Erasure,
                None => Purpose::Compaction,
            },
            removes: merged
                .iter()
                .flat_map(|merged| {
                    merged.plan.inputs.iter().map(|file| (merged.plan.hour, file.clone()))
                })
                .collect(),
            adds: merged.into_iter().filter_map(|merged| merged.file).collect(),
        };
        self.commit = Some(change);
        Ok(())
    }

    /// Leaves files as they are if they are damaged; any other error is returned.
    pub(super) fn skip<T>(
        &mut self,
        table: &OwnedTable,
        inputs: SourceSet,
        error: Error,
    ) -> Result<Option<T>> {
        let is_damage =
            matches!(error, Error::Damaged { .. } | Error::Parquet(_) | Error::Arrow(_))
                || is_missing(&error);
        if !is_damage || self.erasure.is_some() {
            return Err(error);
        }
        table.metrics.compaction_failures.inc();
        tracing::error!(%error, "the files of an hour are left unmerged");
        self.report.skipped += 1;
        self.refused.insert(inputs);
        Ok(None)
    }

    pub(super) fn count(&mut self, table: &OwnedTable, change: &Change) {
        let (adds, removes) = (&change.adds, &change.removes);
        let report = &mut self.report;
        let before: u64 = removes.iter().map(|(_, file)| file.bytes).sum();
        let after: u64 = adds.iter().map(|(_, file, _)| file.bytes).sum();
        report.hours += adds.len() as u64;
        report.files_before += removes.len() as u64;
        report.files_after += adds.len() as u64;
        report.rows += adds.iter().map(|(_, file, _)| file.rollup.rows()).sum::<u64>();
        report.bytes_before += before;
        report.bytes_after += after;
        let metrics = &table.metrics;
        metrics.merged_files.inc_by(removes.len() as u64);
        metrics.compacted_files.inc_by(adds.len() as u64);
        metrics.compacted_bytes.inc_by(after);
        self.asked.iter().for_each(|asked| asked.progress.set(self.report.hours, self.planned));
    }

    /// Ends a round. Those who asked are answered when nothing is left to merge.
    pub(super) fn end(&mut self, table: &OwnedTable) {
        // Not of files that came meanwhile: there may be more of them without end.
        let mut more = if self.cut.is_empty() { Vec::new() } else { self.plans(table, true, 0) };
        more.retain(|plan| self.cut.contains(&plan.hour));
        self.cut = cut(&more);
        if !more.is_empty() {
            self.planned += more.len() as u64;
            self.queue = more.into();
            return;
        }
        if self.trouble.has_passed() {
            tracing::info!("the compaction goes through again");
        }
        let report = mem::take(&mut self.report);
        self.answer(&Ok(report));
        let CompactionReport { hours, files_before, files_after, rows, .. } = report;
        if hours > 0 {
            tracing::info!(hours, files_before, files_after, rows, "merged files");
            // What was merged may leave more to merge.
            self.looked_us = None;
        }
        self.gauge(table);
    }
}

/// Returns what a compaction of all that can be merged would do first.
pub fn planned_compaction(
    files: &FileIndex,
    names: &FileNames,
    options: &CompactionOptions,
    now_us: i64,
) -> CompactionReport {
    let policy = Policy { options, names, now_us, all: true, soon_ms: 0 };
    let plans: Vec<Plan> =
        files.iter().filter_map(|(hour, files)| policy.plan(*hour, files)).collect();
    planned(&plans)
}

/// Returns what a round would do; the sizes afterwards are not known.
fn planned(plans: &[Plan]) -> CompactionReport {
    let inputs = || plans.iter().flat_map(|plan| &plan.inputs);
    CompactionReport {
        hours: plans.len() as u64,
        files_before: inputs().count() as u64,
        files_after: plans.len() as u64,
        rows: inputs().map(|file| file.rollup.rows()).sum(),
        bytes_before: plans.iter().map(Plan::bytes).sum(),
        bytes_after: 0,
        skipped: 0,
    }
}

/// Returns the hours that have more files than are merged at a time.
fn cut(plans: &[Plan]) -> HashSet<Hour> {
    let cut = plans.iter().filter(|plan| plan.inputs.len() == MAX_INPUTS);
    cut.map(|plan| plan.hour).collect()
}

/// Returns the set of these files.
fn sources(files: &[Arc<DataFile>]) -> SourceSet {
    let mut sources = SourceSet::EMPTY;
    files.iter().for_each(|file| sources += file.rollup.sources);
    sources
}
