//! Orphans: data files of this node that neither the table nor a tombstone names.
//!
//! A checkpoint forgets tombstones after a week. If nothing was committed here for that long,
//! another engine may have written one meanwhile, and nobody knows any more which files were to be
//! removed. The folders of all hours are then looked through once, a few in each step.

use std::collections::HashSet;

use object_store::path::Path as Location;
use object_store::{ObjectMeta, ObjectStore};

use crate::hour::Hour;
use crate::storage::directory::TABLE_DIR;
use crate::storage::error::Result;
use crate::storage::file_names::FileNames;
use crate::storage::lake::index::FileIndex;
use crate::storage::wal::Lsn;

/// Hours that are left to look through.
#[derive(Debug, Default)]
pub struct OrphanPass(Vec<Hour>);

impl OrphanPass {
    pub fn new(files: &FileIndex) -> OrphanPass {
        OrphanPass(files.keys().rev().copied().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the next hour.
    pub fn pop(&mut self) -> Option<Hour> {
        self.0.pop()
    }
}

/// What is known of the files of an hour.
pub struct Known<'a> {
    pub files: &'a FileIndex,
    pub names: &'a FileNames,
    pub flushed: Lsn,
    /// Files older than this, in milliseconds since the epoch, may be removed.
    pub before_ms: i64,
}

impl Known<'_> {
    /// Lists the orphans in the folder of an hour; `is_pending` says which files are accounted for
    /// otherwise.
    pub async fn orphans(
        &self,
        store: &dyn ObjectStore,
        hour: Hour,
        is_pending: impl Fn(&Location) -> bool,
    ) -> Result<Vec<Location>> {
        let folder = Location::from(format!("{TABLE_DIR}/{}", hour.partition_path()));
        let listed = store.list_with_delimiter(Some(&folder)).await?;
        let table = self.files.get(&hour).into_iter().flat_map(|files| &files.files);
        let table: HashSet<&Location> = table.map(|file| &file.location).collect();
        let is_orphan = |object: &ObjectMeta| {
            let location = &object.location;
            self.is_ours(location)
                && !table.contains(location)
                && !is_pending(location)
                && object.last_modified.timestamp_millis() < self.before_ms
        };
        let orphans = listed.objects.into_iter().filter(|object| is_orphan(object));
        Ok(orphans.map(|object| object.location).collect())
    }

    /// Reports whether a file is one that this node has finished with. One of a generation that is
    /// not flushed yet will be written again.
    fn is_ours(&self, location: &Location) -> bool {
        self.names.is_merged(location)
            || self.names.first_lsn(location).is_some_and(|lsn| lsn <= self.flushed)
    }
}
