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
        let Some(erasure) = &self.erasure else { return Ok(()) };
        let (mut receipt, now) = (erasure.receipt.clone(), erasure.asked.now);
        let history = History { version: table.lake.version(), at_ms: table.now_us() / 1_000 };
        self.history.set(history)?;
        table.cell.update(|snapshot| snapshot.erased_before = history.version);
        table.cell.load().distinct.clear();
        self.segments.recycle_again(table.lake.flushed())?;
        if now {
            if self.waits_for_statements(table.now_us()) {
                return Ok(());
            }
            self.purge(table)?;
        } else {
            let after_ms = history.at_ms.saturating_add(self.replaced.grace_ms());
            let after = chrono::DateTime::from_timestamp_millis(after_ms);
            receipt.purged_after = after.map(|after| after.to_rfc3339());
        }
        (receipt.version, receipt.purged) = (history.version, now);
        let (files, rows) = (receipt.files_rewritten, receipt.rows_removed);
        tracing::info!(files, rows, purged = now, "removed the rows of users");
        let Some(erasure) = self.erasure.take() else { return Ok(()) };
        let _ = erasure.asked.waiter.send(Ok(receipt));
        Ok(())
    }

    /// Reports whether to let statements end that still read a replaced file, for a while.
    fn waits_for_statements(&mut self, now_us: i64) -> bool {
        let until_us = *self.purge_us.get_or_insert(now_us.saturating_add(PATIENCE_US));
        let waits = self.replaced.is_read() && now_us < until_us;
        if waits {
            self.not_before_us = now_us.saturating_add(PAUSE_US);
        } else {
            self.purge_us = None;
        }
        waits
    }

    /// Removes all replaced files, and the history of the table.
    pub(super) fn purge(&mut self, table: &mut OwnedTable) -> Result<()> {
        while let Some(location) = self.replaced.first() {
            self.delete(location)?;
            self.replaced.pop();
        }
        self.gauge(table);
        let OwnedTable { runtime, lake, .. } = table;
        runtime.block_on(lake.purge_history())?;
        self.history.clear()
    }

    /// Removes the history of an erasure whose grace period has passed with its files.
    pub(super) fn purge_expired(&mut self, table: &mut OwnedTable) -> Result<()> {
        let Some(history) = self.history.get() else { return Ok(()) };
        let age_ms = (table.now_us() / 1_000).saturating_sub(history.at_ms);
        let has_files = self.replaced.oldest_ms().is_some_and(|ms| ms <= history.at_ms);
        if age_ms < self.replaced.grace_ms() || has_files {
            return Ok(());
        }
        let OwnedTable { runtime, lake, .. } = table;
        runtime.block_on(lake.purge_history())?;
        self.history.clear()
    }
}
