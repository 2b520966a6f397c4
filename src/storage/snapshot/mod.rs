//! Snapshots: consistent states of memory and files, and the cell through which they are published.
//! [`past`] makes those of earlier versions of the table, [`visitors`] unites the users of hours.

pub mod distinct;
pub mod past;
pub mod sources;
pub mod visitors;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use object_store::ObjectStore;

use self::distinct::DistinctUsers;
use self::past::Past;
use self::sources::HourSources;
use super::lake::commits::Commit;
use super::lake::history::AsOf;
use super::lake::index::FileIndex;
use super::memory::memtable::{HourTable, Memtable};
use super::sets::{Figures, VisitorSets};
use super::wal;
use crate::event::{EventSchema, MAX_TIMESTAMP_US};
use crate::hour::Hour;
use crate::rollup::Rollup;
use crate::storage::error::{Error, Result};

/// Immutable state of the store: each acknowledged event is in exactly one of its memtables and
/// files. Clones in constant time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Kinds and dimensions of the events.
    pub schema: EventSchema,
    /// The generation that events arrive in.
    pub active: Memtable,
    /// Generations being flushed, oldest first.
    pub sealed: Vec<Memtable>,
    pub files: FileIndex,
    /// Number of changes of the files in this process.
    pub(super) files_version: u64,
    /// Number of files in the index, over all hours.
    pub file_count: u64,
    /// Total bytes of the files.
    pub file_bytes: u64,
    /// Store that holds the files.
    pub store: Arc<dyn ObjectStore>,
    /// Folder of the log that the generations came from.
    pub log: wal::Folder,
    /// Age at which whole hours are removed, in milliseconds.
    pub retention_ms: Option<u64>,
    /// Version of the table before which users were erased: time travel does not go there.
    pub erased_before: u64,
    /// Users of the hours as bitmaps.
    pub(super) sets: Arc<VisitorSets>,
    pub(super) distinct: Arc<DistinctUsers>,
    pub(super) past: Arc<Past>,
}

impl Snapshot {
    /// Returns a snapshot of the same store without rows.
    pub fn emptied(&self) -> Snapshot {
        let (active, sealed, files) = Default::default();
        Snapshot { active, sealed, files, file_count: 0, file_bytes: 0, ..self.clone() }
    }

    /// Replaces the files.
    pub(super) fn set_files(&mut self, files: FileIndex) {
        (self.file_count, self.file_bytes) = files.values().fold((0, 0), |(count, bytes), hour| {
            (count + hour.files.len() as u64, bytes + hour.bytes())
        });
        self.files = files;
        self.files_version += 1;
    }

    /// Returns the snapshot of an earlier version of the table: the sealed hours as they were then,
    /// and nothing in memory.
    ///
    /// # Errors
    /// [`Error::AsOf`] if there is no such version, or it can no
    /// longer be read.
    pub async fn as_of(&self, as_of: AsOf) -> Result<Arc<Snapshot>> {
        let version = self.past.version(as_of, &self.files).await?;
        if version.number < self.erased_before {
            let (number, oldest) = (version.number, self.erased_before);
            return Err(Error::AsOf(format!(
                "version {number} has rows of users who were erased since; the oldest version that can be read is {oldest}"
            )));
        }
        let mut then = Snapshot { distinct: version.distinct.clone(), ..self.emptied() };
        then.set_files(version.files.clone());
        Ok(Arc::new(then))
    }

    /// Reads what each commit in the table's log changed, oldest first.
    pub async fn commits(&self) -> Result<Vec<Commit>> {
        self.past.commits().await
    }

    /// Returns the generations, oldest first.
    pub fn memtables(&self) -> impl DoubleEndedIterator<Item = &Memtable> {
        self.sealed.iter().chain([&self.active])
    }

    /// Returns the tables of an hour, oldest generation first. A table without rows exists for its
    /// users.
    fn tables(&self, hour: Hour) -> impl Iterator<Item = &Arc<HourTable>> {
        self.memtables().filter_map(move |memtable| memtable.hours.get(&hour))
    }

    pub fn sources(&self, hour: Hour) -> HourSources {
        let tables = self.tables(hour).filter(|table| table.rows() > 0);
        HourSources { files: self.files.get(&hour).cloned(), tables: tables.cloned().collect() }
    }

    /// Reports whether the hour is in files or in generations before the active one.
    pub(super) fn is_behind_active(&self, hour: Hour) -> bool {
        self.files.contains_key(&hour)
            || self.sealed.iter().any(|sealed| sealed.hours.contains_key(&hour))
    }

    /// Returns the rollup of the hour; its users are known if some claim covers exactly its
    /// sources.
    pub fn rollup(&self, hour: Hour) -> Rollup {
        let mut rollup = self.files.get(&hour).map_or(Rollup::EMPTY, |files| files.rollup.clone());
        self.tables(hour).for_each(|table| rollup.merge(&table.rollup));
        rollup
    }

    /// Returns the rollup of the hour with its users; `None` if a file must be read for them, which
    /// is only the case for an hour in several places whose users have not been united yet.
    pub fn exact_now(&self, hour: Hour) -> Option<Rollup> {
        let rollup = self.rollup(hour);
        if rollup.unique_users().is_some() {
            return Some(rollup);
        }
        let known = self.distinct.known(hour, &self.sources(hour));
        known.map(|unique_users| rollup.with_users(unique_users))
    }

    /// Returns the rollup of the hour with its users. Reads the users of the hour's files if they
    /// must be united first; the union is cached.
    pub async fn exact(&self, hour: Hour) -> Result<Rollup> {
        if let Some(rollup) = self.exact_now(hour) {
            return Ok(rollup);
        }
        let unique_users = self.distinct.unite(hour, &self.sources(hour), &*self.store).await?;
        Ok(self.rollup(hour).with_users(unique_users))
    }

    /// Returns the merged rollup of the hours `first..=last`. It does not know the users of several
    /// hours.
    pub fn totals(&self, first: Hour, last: Hour) -> Rollup {
        let mut totals = Rollup::EMPTY;
        self.files.range(first..=last).for_each(|(_, files)| totals.merge(&files.rollup));
        let tables = self.memtables().flat_map(|memtable| memtable.hours.range(first..=last));
        tables.for_each(|(_, table)| totals.merge(&table.rollup));
        totals
    }

    /// Returns the time from which on the hour is removed; `None` if no retention is configured.
    pub fn removed_after_us(&self, hour: Hour) -> Option<i64> {
        let retention_us = i64::try_from(self.retention_ms?).ok()?.checked_mul(1_000)?;
        hour.end_us().checked_add(retention_us).filter(|us| *us <= MAX_TIMESTAMP_US)
    }

    /// Returns figures of the visitor sets.
    pub fn set_figures(&self) -> Figures {
        self.sets.figures()
    }

    /// Returns the number of hours that have rows.
    pub fn partitions(&self) -> usize {
        let mut in_memory = BTreeSet::new();
        for (hour, table) in self.memtables().flat_map(|memtable| &memtable.hours) {
            if table.rows() > 0 && !self.files.contains_key(hour) {
                in_memory.insert(*hour);
            }
        }
        self.files.len() + in_memory.len()
    }

    /// Returns the hours that have rows, in order.
    pub fn hours(&self) -> Vec<Hour> {
        self.hours_within(Hour::FIRST, Hour::LAST)
    }

    /// Returns the hours of `first..=last` that have rows, in order.
    pub fn hours_within(&self, first: Hour, last: Hour) -> Vec<Hour> {
        let mut hours: Vec<Hour> = self.files.range(first..=last).map(|(hour, _)| *hour).collect();
        let in_files = hours.len();
        for memtable in self.memtables() {
            let with_rows =
                memtable.hours.range(first..=last).filter(|(_, table)| table.rows() > 0);
            hours.extend(with_rows.map(|(hour, _)| *hour));
        }
        if hours.len() > in_files {
            hours.sort_unstable();
            hours.dedup();
        }
        hours
    }
}

/// Cell that holds the current snapshot. Readers load it without a lock; the writer and the
/// committer update it, one at a time.
#[derive(Debug)]
pub struct SnapshotCell {
    current: ArcSwap<Snapshot>,
    /// A mutex because an update reads, changes and stores; held only for that time.
    turn: Mutex<()>,
}

impl SnapshotCell {
    pub fn new(snapshot: Snapshot) -> SnapshotCell {
        SnapshotCell { current: ArcSwap::from_pointee(snapshot), turn: Mutex::new(()) }
    }

    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Publishes a changed copy of the current snapshot. This is the only place where what is
    /// visible changes.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        let _turn = self.turn.lock().expect("no panic under this lock");
        let mut next = Snapshot::clone(&self.current.load());
        change(&mut next);
        self.current.store(Arc::new(next));
    }
}
