//! Steps of a retention.

use std::mem;
use std::sync::Arc;

use super::retention::{first_kept, removal, report};
use super::state::Maintenance;
use crate::hour::Hour;
use crate::storage::error::Result;
use crate::storage::lake::commit::Change;
use crate::storage::owned_table::OwnedTable;
use crate::storage::requests::{Refusal, RetentionReport};

impl Maintenance {
    /// Returns the first hour that is kept, and the change that removes those before; `None` if no
    /// retention is configured.
    pub(super) fn too_old(&self, table: &OwnedTable) -> Option<(Hour, Option<Change>)> {
        let first = first_kept(self.retention_us?, table.now_us());
        Some((first, removal(&table.cell.load().files, first)))
    }

    /// Hides the hours that are too old and prepares their removal; reports whether there are any.
    pub(super) fn remove_old(&mut self, table: &mut OwnedTable) -> Result<bool> {
        let Some((first, Some(change))) = self.too_old(table) else { return Ok(false) };
        // What is planned may be of hours that go.
        self.drop_plans(table)?;
        table.hide_before(first);
        self.commit = Some(change);
        Ok(true)
    }

    /// Answers the requests for a removal that have nothing to wait for, and begins one for the
    /// others.
    pub(super) fn take_retains(&mut self, table: &mut OwnedTable) -> Result<()> {
        let Some((first, change)) = self.too_old(table) else {
            let why: Arc<str> = "no retention is configured: set it with --retention".into();
            for asked in self.retains.drain(..) {
                let _ = asked.waiter.send(Err(Refusal::Failed(why.clone())));
            }
            return Ok(());
        };
        let planned = report(first, change.as_ref());
        let (answered, rest): (Vec<_>, Vec<_>) = mem::take(&mut self.retains)
            .into_iter()
            .partition(|asked| asked.dry_run || change.is_none());
        answered.into_iter().for_each(|asked| _ = asked.waiter.send(Ok(planned.clone())));
        self.retains = rest;
        if !self.retains.is_empty() {
            self.remove_old(table)?;
        }
        Ok(())
    }

    pub(super) fn removed(&mut self, table: &OwnedTable, change: &Change) {
        let kept = change.removes.iter().map(|(hour, _)| *hour).max().expect("files were removed");
        let removed = report(Hour(kept.0 + 1), Some(change));
        let RetentionReport { hours, files, rows, .. } = removed;
        tracing::info!(hours, files, rows, "removed hours that are older than the retention");
        table.metrics.expired_rows.inc_by(rows);
        table.cell.load().sets.clean_later();
        self.retains.drain(..).for_each(|asked| _ = asked.waiter.send(Ok(removed.clone())));
    }
}
