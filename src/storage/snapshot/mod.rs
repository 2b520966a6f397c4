//! What is visible: memory and files at one moment, and the one place where that moment moves on.

pub mod distinct;
pub mod sources;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use self::distinct::DistinctUsers;
use self::sources::HourSources;
use super::lake::table::FileIndex;
use super::memory::memtable::{HourTable, Memtable};
use super::store::VfsStore;
use super::wal::{self, SegmentInfo};
use crate::error::Result;
use crate::hour::Hour;
use crate::rollup::Rollup;

/// One state of the store: each acknowledged event is in exactly one of its memtables and files. It
/// never changes, and clones in constant time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The generation that events arrive in.
    pub active: Memtable,
    /// Generations being flushed, oldest first.
    pub sealed: Vec<Memtable>,
    pub files: FileIndex,
    /// How many files the index has, over all hours.
    pub file_count: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Where the files are.
    pub store: VfsStore,
    pub(super) distinct: Arc<DistinctUsers>,
}

impl Snapshot {
    /// The segments of the log beside the files.
    pub fn log_segments(&self) -> Result<Vec<SegmentInfo>> {
        let (vfs, root) = self.store.vfs();
        wal::list_segments(&**vfs, &root.join(wal::WAL_DIR))
    }

    /// The generations, oldest first.
    pub fn memtables(&self) -> impl DoubleEndedIterator<Item = &Memtable> {
        self.sealed.iter().chain([&self.active])
    }

    /// What the generations have of an hour, oldest first. One without rows is there for its users.
    fn tables(&self, hour: Hour) -> impl Iterator<Item = &Arc<HourTable>> {
        self.memtables().filter_map(move |memtable| memtable.hours.get(&hour))
    }

    pub fn sources(&self, hour: Hour) -> HourSources {
        let tables = self.tables(hour).filter(|table| table.rows() > 0);
        HourSources { files: self.files.get(&hour).cloned(), tables: tables.cloned().collect() }
    }

    /// Whether the hour has rows in files or in generations before the active one.
    pub(super) fn is_behind_active(&self, hour: Hour) -> bool {
        self.files.contains_key(&hour)
            || self.sealed.iter().any(|sealed| sealed.hours.contains_key(&hour))
    }

    /// What the hour's rows count; its users are known where some claim is about all of its
    /// sources.
    pub fn rollup(&self, hour: Hour) -> Rollup {
        let mut rollup = self.files.get(&hour).map_or(Rollup::EMPTY, |files| files.rollup);
        self.tables(hour).for_each(|table| rollup.merge(&table.rollup));
        rollup
    }

    /// The same with its users, when they are known without reading a file: always, but for an hour
    /// in several places whose users have not been united yet.
    pub fn exact_now(&self, hour: Hour) -> Option<Rollup> {
        let rollup = self.rollup(hour);
        if rollup.unique_users().is_some() {
            return Some(rollup);
        }
        let known = self.distinct.known(hour, &self.sources(hour));
        known.map(|unique_users| rollup.with_users(unique_users))
    }

    /// The same. Reads the users of the hour's files where they must be united first; the union is
    /// kept.
    pub async fn exact(&self, hour: Hour) -> Result<Rollup> {
        if let Some(rollup) = self.exact_now(hour) {
            return Ok(rollup);
        }
        let unique_users = self.distinct.unite(hour, &self.sources(hour), &self.store).await?;
        Ok(self.rollup(hour).with_users(unique_users))
    }

    /// What the rows of the hours `first..=last` count together. The users of several hours are not
    /// known by it.
    pub fn totals(&self, first: Hour, last: Hour) -> Rollup {
        let mut totals = Rollup::EMPTY;
        self.files.range(first..=last).for_each(|(_, files)| totals.merge(&files.rollup));
        let tables = self.memtables().flat_map(|memtable| memtable.hours.range(first..=last));
        tables.for_each(|(_, table)| totals.merge(&table.rollup));
        totals
    }

    /// How many hours have rows.
    pub fn partitions(&self) -> usize {
        let mut in_memory = BTreeSet::new();
        for (hour, table) in self.memtables().flat_map(|memtable| &memtable.hours) {
            if table.rows() > 0 && !self.files.contains_key(hour) {
                in_memory.insert(*hour);
            }
        }
        self.files.len() + in_memory.len()
    }

    /// The hours that have rows, in order.
    pub fn hours(&self) -> Vec<Hour> {
        self.hours_within(Hour::FIRST, Hour::LAST)
    }

    /// The hours of `first..=last` that have rows, in order.
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

/// The current snapshot. Readers load it without a lock; the writer and the flusher move it on, one
/// at a time.
#[derive(Debug)]
pub struct SnapshotCell {
    current: ArcSwap<Snapshot>,
    /// A mutex because an update reads, changes and stores; held for that long only.
    turn: Mutex<()>,
}

impl SnapshotCell {
    pub fn new(snapshot: Snapshot) -> SnapshotCell {
        SnapshotCell { current: ArcSwap::from_pointee(snapshot), turn: Mutex::new(()) }
    }

    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Publishes a changed copy of the current snapshot: the only place where what is visible
    /// changes.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        let _turn = self.turn.lock().expect("no panic under this lock");
        let mut next = Snapshot::clone(&self.current.load());
        change(&mut next);
        self.current.store(Arc::new(next));
    }
}
