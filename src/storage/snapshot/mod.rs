//! What is visible: memory and files at one moment, and the one place where that moment moves on.

pub mod distinct;
pub mod sources;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use self::distinct::DistinctUsers;
use self::sources::{HourNumbers, HourSources};
use super::lake::table::FileIndex;
use super::memory::memtable::Memtable;
use super::store::VfsStore;
use super::wal::{self, SegmentInfo};
use crate::error::Result;
use crate::hour::Hour;

/// One state of the store: each acknowledged event is in exactly one of its memtables and files. It never changes, and
/// clones in constant time.
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

    pub fn sources(&self, hour: Hour) -> HourSources {
        let table = |memtable: &Memtable| Some((memtable.generation, memtable.hours.get(&hour)?.clone()));
        HourSources { files: self.files.get(&hour).cloned(), tables: self.memtables().filter_map(table).collect() }
    }

    /// Whether the hour has rows in files or in generations before the active one.
    pub(super) fn is_behind_active(&self, hour: Hour) -> bool {
        self.files.contains_key(&hour) || self.sealed.iter().any(|sealed| sealed.hours.contains_key(&hour))
    }

    /// The hour's exact numbers, when they are known without reading a file: always, but for an hour in several places
    /// whose users have not been united yet.
    pub fn numbers_now(&self, hour: Hour) -> Option<HourNumbers> {
        // The usual case, an hour that only the active generation has, without a list of sources.
        if self.sealed.is_empty() && !self.files.contains_key(&hour) {
            return Some(self.active.hours.get(&hour).map_or(HourNumbers::default(), |table| HourNumbers {
                unique_users: table.users.len() as u64,
                clicks: table.clicks,
                impressions: table.impressions,
            }));
        }
        let sources = self.sources(hour);
        let known = sources.unique_users().or_else(|| self.distinct.known(hour, &sources));
        known.map(|unique_users| sources.numbers(unique_users))
    }

    /// The hour's exact numbers. Reads the users of the hour's files where they must be united first; the union is kept.
    pub async fn numbers(&self, hour: Hour) -> Result<HourNumbers> {
        if let Some(numbers) = self.numbers_now(hour) {
            return Ok(numbers);
        }
        let sources = self.sources(hour);
        let unique_users = self.distinct.unite(hour, &sources, &self.store).await?;
        Ok(sources.numbers(unique_users))
    }

    /// Clicks and impressions of the hours `first..=last` together. Their distinct users it leaves at 0: those of several
    /// hours do not add up.
    pub fn counts(&self, first: Hour, last: Hour) -> HourNumbers {
        let mut numbers = HourNumbers::default();
        for (_, files) in self.files.range(first..=last) {
            numbers.clicks += files.clicks;
            numbers.impressions += files.impressions;
        }
        for (_, table) in self.memtables().flat_map(|memtable| memtable.hours.range(first..=last)) {
            numbers.clicks += table.clicks;
            numbers.impressions += table.impressions;
        }
        numbers
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
            let with_rows = memtable.hours.range(first..=last).filter(|(_, table)| table.rows() > 0);
            hours.extend(with_rows.map(|(hour, _)| *hour));
        }
        if hours.len() > in_files {
            hours.sort_unstable();
            hours.dedup();
        }
        hours
    }

    /// The first and last timestamp of an hour, where it has rows.
    pub fn bounds(&self, hour: Hour) -> Option<(i64, i64)> {
        let files = self.files.get(&hour).into_iter().flat_map(|files| &files.files);
        let in_files = files.map(|file| (file.rollup.min_us, file.rollup.max_us));
        let tables = self.memtables().filter_map(|memtable| memtable.hours.get(&hour));
        let in_memory = tables.filter(|table| table.rows() > 0).map(|table| (table.min_us, table.max_us));
        in_files.chain(in_memory).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

/// The current snapshot. Readers load it without a lock; the writer and the flusher move it on, one at a time.
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

    /// Publishes a changed copy of the current snapshot: the only place where what is visible changes.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        let _turn = self.turn.lock().expect("no panic under this lock");
        let mut next = Snapshot::clone(&self.current.load());
        change(&mut next);
        self.current.store(Arc::new(next));
    }
}
