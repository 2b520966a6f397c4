//! The table as its one committer holds it, with the snapshot that its commits change.

use std::sync::Arc;

use super::lake::commit::{Change, Outcome};
use super::lake::index::FileIndex;
use super::lake::table::Lake;
use super::metrics::Metrics;
use super::snapshot::{Snapshot, SnapshotCell};
use super::store::StoreRuntime;
use crate::hour::{Clock, Hour};
use crate::storage::error::Result;

#[derive(Debug)]
pub struct OwnedTable {
    pub runtime: StoreRuntime,
    pub lake: Lake,
    pub cell: Arc<SnapshotCell>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    /// First hour that is visible, if earlier ones are being removed.
    pub hidden_before: Option<Hour>,
}

impl OwnedTable {
    /// Commits a change; see [`Lake::commit`].
    pub fn commit(&mut self, change: &Change) -> Result<Outcome> {
        let now_us = self.clock.now_us();
        let OwnedTable { runtime, lake, .. } = self;
        runtime.block_on(lake.commit(change, now_us))
    }

    /// Makes visible what other writers have committed.
    pub fn refresh(&mut self) -> Result<()> {
        let OwnedTable { runtime, lake, .. } = self;
        if let Some(files) = runtime.block_on(lake.refresh())? {
            let files = self.visible(files);
            self.cell.update(|snapshot| snapshot.set_files(files));
        }
        Ok(())
    }

    /// Makes the outcome of a commit visible, together with `more`.
    pub fn publish(&self, change: &Change, outcome: Outcome, more: impl FnOnce(&mut Snapshot)) {
        let files = match outcome {
            Outcome::Committed => {
                // Only the committer changes the files, so these stay current until published.
                let mut files = self.cell.load().files.clone();
                change.apply(&mut files);
                files
            }
            Outcome::Reloaded(files) | Outcome::Obsolete(files) => files,
        };
        let files = self.visible(files);
        self.cell.update(|snapshot| {
            snapshot.set_files(files);
            more(snapshot);
        });
    }

    /// Hides the hours before `first` for good.
    pub fn hide_before(&mut self, first: Hour) {
        self.hidden_before = self.hidden_before.max(Some(first));
        let files = self.visible(self.cell.load().files.clone());
        self.cell.update(|snapshot| snapshot.set_files(files));
    }

    fn visible(&self, files: FileIndex) -> FileIndex {
        match self.hidden_before {
            Some(first) if files.get_min().is_some_and(|(hour, _)| *hour < first) => {
                files.range(first..).map(|(hour, files)| (*hour, files.clone())).collect()
            }
            _ => files,
        }
    }

    pub fn now_us(&self) -> i64 {
        self.clock.now_us()
    }
}
