//! Files that are no longer in the table, and stay for a grace period: for statements that read
//! them, for time travel and for other engines.

use std::collections::VecDeque;
use std::sync::Arc;

use object_store::path::Path as Location;

use crate::storage::lake::actions::DataFile;
use crate::storage::lake::table::Tombstone;

/// Removed files, by the time of their removal.
#[derive(Debug)]
pub struct ReplacedFiles {
    grace_ms: i64,
    files: VecDeque<Replaced>,
}

#[derive(Debug)]
struct Replaced {
    tombstone: Tombstone,
    /// Shared with the snapshots that still have the file; `None` if an earlier process removed it.
    file: Option<Arc<DataFile>>,
}

impl ReplacedFiles {
    /// Begins with the tombstones of earlier processes.
    pub fn new(grace_ms: i64, tombstones: Vec<Tombstone>) -> ReplacedFiles {
        let mut files: Vec<Replaced> =
            tombstones.into_iter().map(|tombstone| Replaced { tombstone, file: None }).collect();
        files.sort_by_key(|replaced| replaced.tombstone.removed_ms);
        ReplacedFiles { grace_ms, files: files.into() }
    }

    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn push(&mut self, file: Arc<DataFile>, removed_ms: i64) {
        let tombstone = Tombstone { location: file.location.clone(), removed_ms };
        self.files.push_back(Replaced { tombstone, file: Some(file) });
    }

    /// Returns the next file whose grace period has passed. A statement that began before the file
    /// was replaced may read it however long it takes.
    pub fn expired(&self, now_us: i64) -> Option<&Location> {
        let next = self.files.front()?;
        let age_ms = (now_us / 1_000).saturating_sub(next.tombstone.removed_ms);
        let is_free = next.file.as_ref().is_none_or(|file| Arc::strong_count(file) == 1);
        (age_ms >= self.grace_ms && is_free).then_some(&next.tombstone.location)
    }

    /// Returns the next file, whatever its age.
    pub fn first(&self) -> Option<&Location> {
        self.files.front().map(|replaced| &replaced.tombstone.location)
    }

    /// Reports whether a snapshot still has some of the files.
    pub fn is_read(&self) -> bool {
        let mut files = self.files.iter().filter_map(|replaced| replaced.file.as_ref());
        files.any(|file| Arc::strong_count(file) > 1)
    }

    pub fn contains(&self, location: &Location) -> bool {
        self.files.iter().any(|replaced| replaced.tombstone.location == *location)
    }

    /// Returns the time of the oldest removal, in milliseconds.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.files.front().map(|replaced| replaced.tombstone.removed_ms)
    }

    /// Forgets the next file, which has been removed.
    pub fn pop(&mut self) {
        self.files.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::{Rollup, Users};

    #[test]
    fn a_file_goes_when_its_time_has_passed_and_nobody_has_it() {
        let location = Location::from("events/a");
        let file = Arc::new(DataFile {
            location: location.clone(),
            bytes: 1,
            rollup: Rollup::EMPTY,
            hour: Users::NONE,
            checksum: None,
            written_ms: 0,
        });
        let mut replaced = ReplacedFiles::new(1_000, Vec::new());
        replaced.push(file.clone(), 5_000);
        assert_eq!(replaced.expired(6_000_000), None, "a snapshot has it");
        drop(file);
        assert_eq!(replaced.expired(5_999_999), None);
        assert_eq!(replaced.expired(6_000_000), Some(&location));
        replaced.pop();
        assert_eq!(replaced.len(), 0);
    }
}
