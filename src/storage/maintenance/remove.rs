//! Removal of files that are no longer in the table.

use object_store::path::Path as Location;

use super::orphans::Known;
use super::state::{Maintenance, RETRY_US};
use crate::storage::error::Result;
use crate::storage::owned_table::OwnedTable;

impl Maintenance {
    /// Removes up to `most` replaced files whose grace period has passed; returns how many.
    pub fn remove_expired(&mut self, table: &OwnedTable, most: usize) -> usize {
        let mut removed = 0;
        while removed < most
            && let Some(location) = self.replaced.expired(table.now_us())
        {
            if let Err(error) = self.delete(location) {
                if self.trouble.is_due(table.now_us()) {
                    tracing::warn!(%error, "a replaced file cannot be removed; it is tried again");
                }
                self.not_before_us = table.now_us().saturating_add(RETRY_US);
                break;
            }
            self.replaced.pop();
            removed += 1;
        }
        if removed > 0 {
            table.metrics.removed_files.inc_by(removed as u64);
            self.gauge(table);
        }
        removed
    }

    /// Removes the orphans of the next hour; reports whether there was one to look through.
    pub(super) fn remove_orphans(&mut self, table: &OwnedTable) -> Result<bool> {
        let Some(hour) = self.orphans.pop() else { return Ok(false) };
        let snapshot = table.cell.load();
        let known = Known {
            files: &snapshot.files,
            names: table.lake.names(),
            flushed: table.lake.flushed(),
            before_ms: table.now_us() / 1_000 - self.replaced.grace_ms(),
        };
        let is_pending = |location: &Location| self.replaced.contains(location);
        let orphans = known.orphans(&*self.files.store, hour, is_pending);
        for location in table.runtime.block_on(orphans)? {
            tracing::info!(%location, "removing a data file that the table does not name any more");
            self.delete(&location)?;
        }
        Ok(true)
    }
}
