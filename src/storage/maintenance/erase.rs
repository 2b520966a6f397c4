//! Steps of an erasure.

use super::erasure::{Erasure, History};
use super::state::Maintenance;
use crate::hour::Hour;
use crate::storage::error::Result;
use crate::storage::lake::commit::Change;
use crate::storage::lake::merge::Forgotten;
use crate::storage::owned_table::OwnedTable;

/// Files searched for users in one step.
const EXAMINED_FILES: usize = 16;

/// Time for which a purge waits for statements that read what it removes, and between two looks.
const PATIENCE_US: i64 = 60_000_000;
const PAUSE_US: i64 = 50_000;

impl Maintenance {
    pub(super) fn begin_erasure(&mut self, table: &OwnedTable) -> Result<()> {
        self.drop_plans(table)?;
        let files = &table.cell.load().files;
        self.erasure = self.forgets.pop_front().map(|asked| Erasure::new(asked, files));
        Ok(())
    }

    pub(super) fn examine(&mut self, table: &OwnedTable) -> Result<()> {
        let Some(erasure) = &mut self.erasure else { return Ok(()) };
        if !erasure.examine(&self.files, EXAMINED_FILES)? {
            self.queue = erasure.plans(&table.cell.load().files).into();
        }
        Ok(())
    }

    pub(super) fn forgotten(&self) -> Forgotten {
        self.erasure.as_ref().map_or_else(Forgotten::default, |erasure| erasure.asked.users.clone())
    }

    pub(super) fn erased(&mut self, change: &Change) {
        let Some(erasure) = &mut self.erasure else { return };
        let mut hours: Vec<Hour> = change.removes.iter().map(|(hour, _)| *hour).collect();
        hours.dedup();
        erasure.receipt.hours += hours.len() as u64;
        erasure.receipt.files_rewritten += change.removes.len() as u64;
        erasure.receipt.rows_removed += change.removed_rows();
    }

    /// Ends an erasure: the users are in no answer any more.
    pub(super) fn end_erasure(&mut self, table: &mut OwnedTable) -> Result<()> {
        let Some(mut erasure) = self.erasure.take() else { return Ok(()) };
        let ended = self.try_end(table, &mut erasure);
        if !matches!(ended, Ok(true)) {
            self.erasure = Some(erasure);
            return ended.map(drop);
        }
        let receipt = erasure.receipt;
        let (files, rows, purged) = (receipt.files_rewritten, receipt.rows_removed, receipt.purged);
        tracing::info!(files, rows, purged, "removed the rows of users");
        let _ = erasure.asked.waiter.send(Ok(receipt));
        Ok(())
    }

    /// Records the history that is to go, and removes it if asked to; returns whether that is done.
    fn try_end(&mut self, table: &mut OwnedTable, erasure: &mut Erasure) -> Result<bool> {
        let history = match erasure.history {
            Some(history) => history,
            None => *erasure.history.insert(self.record(table)?),
        };
        let receipt = &mut erasure.receipt;
        (receipt.version, receipt.purged) = (history.version, erasure.asked.now);
        if erasure.asked.now {
            let until_us = history.at_ms.saturating_mul(1_000).saturating_add(PATIENCE_US);
            if self.replaced.is_read() && table.now_us() < until_us {
                self.not_before_us = table.now_us().saturating_add(PAUSE_US);
                return Ok(false);
            }
            let sets = table.cell.load().sets.clone();
            let cleaning = *erasure.cleaning.get_or_insert_with(|| sets.clean_now());
            if !sets.is_cleaned(cleaning)? {
                return Ok(false);
            }
            self.purge(table)?;
        } else {
            let after_ms = history.at_ms.saturating_add(self.replaced.grace_ms());
            let after = chrono::DateTime::from_timestamp_millis(after_ms);
            receipt.purged_after = after.map(|after| after.to_rfc3339());
        }
        Ok(true)
    }

    /// Records the history of an erasure, and forgets the users wherever they are cached.
    fn record(&mut self, table: &OwnedTable) -> Result<History> {
        let history = History { version: table.lake.version(), at_ms: table.now_us() / 1_000 };
        self.history.set(history)?;
        table.cell.update(|snapshot| snapshot.erased_before = history.version);
        table.cell.load().distinct.clear();
        self.segments.recycle_again(table.lake.flushed())?;
        Ok(history)
    }

    /// Removes all replaced files, and the history of the table.
    pub(super) fn purge(&mut self, table: &mut OwnedTable) -> Result<()> {
        while let Some(location) = self.replaced.first() {
            self.delete(location)?;
            self.replaced.pop();
        }
        self.gauge(table);
        self.purge_history(table)
    }

    /// Removes the history of an erasure whose grace period has passed with its files.
    pub(super) fn purge_expired(&mut self, table: &mut OwnedTable) -> Result<()> {
        let Some(history) = self.history.get() else { return Ok(()) };
        let age_ms = (table.now_us() / 1_000).saturating_sub(history.at_ms);
        let has_files = self.replaced.oldest_ms().is_some_and(|ms| ms <= history.at_ms);
        if age_ms < self.replaced.grace_ms() || has_files {
            return Ok(());
        }
        table.cell.load().sets.clean_now();
        self.purge_history(table)
    }

    fn purge_history(&mut self, table: &mut OwnedTable) -> Result<()> {
        let OwnedTable { runtime, lake, .. } = table;
        runtime.block_on(lake.purge_history())?;
        self.history.clear()
    }
}
