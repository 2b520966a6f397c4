//! Memtable: the hours in memory, with columns by hour, interned users, and counters updated as
//! events arrive.
//!
//! [`MemtableWriter`] belongs to the writer thread. A [`Memtable`] is its state after one group
//! commit: it never changes and clones in constant time, so a reader takes one in nanoseconds and
//! keeps it as long as it likes.
//!
//! The rows of an hour are chunks of columns. Each group commit adds one chunk; neighbours of
//! similar size are merged, so a row is copied a logarithmic number of times and an hour of any
//! size has few chunks. Chunks of [`FROZEN_ROWS`] are not merged further.
//!
//! Which rows are durable is known by the log, and which are flushed by the lake.

use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use hashbrown::HashMap;

use super::dictionary::{Dictionary, Interner, NAME_OVERHEAD};
use crate::event::{EventBatch, Values};
use crate::hour::Hour;
use crate::rollup::{Rollup, SourceSet};
use crate::storage::file_names::FileNames;
use crate::storage::idempotency::window::StoredKey;
use crate::storage::wal::Lsn;

/// Chunks with at least this many rows are not merged further.
const FROZEN_ROWS: usize = 65_536;

/// Bytes per row in the columns: timestamp, user code, kind.
const ROW_BYTES: u64 = 8 + 4 + 1;

/// Bytes of a value's code in the column of its dimension.
const CODE_BYTES: u64 = 4;

/// Estimated bytes per hour in addition to its rows and users.
const HOUR_BYTES: u64 = 512;

/// Rows of one hour as columns, in arrival order.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub timestamps_us: ScalarBuffer<i64>,
    /// Codes of the hour's [`Dictionary`].
    pub users: ScalarBuffer<u32>,
    /// Codes of the kinds.
    pub kinds: ScalarBuffer<u8>,
    /// For each dimension, codes of the hour's dictionary of its values, or [`ABSENT`]; none if no
    /// row has a value. Dimensions past the end have none either.
    pub values: Vec<Option<ScalarBuffer<u32>>>,
}

/// Code of a value that is absent.
pub const ABSENT: u32 = u32::MAX;

impl Chunk {
    pub fn rows(&self) -> usize {
        self.kinds.len()
    }

    fn concat(&self, next: &Chunk) -> Chunk {
        fn join<T: arrow::datatypes::ArrowNativeType>(a: &[T], b: &[T]) -> ScalarBuffer<T> {
            [a, b].concat().into()
        }
        let codes = |dimension| match (self.values(dimension), next.values(dimension)) {
            (None, None) => None,
            (a, b) => {
                let codes = |chunk: &Chunk, codes: Option<&ScalarBuffer<u32>>| {
                    codes.map_or_else(|| vec![ABSENT; chunk.rows()], |codes| codes.to_vec())
                };
                Some([codes(self, a), codes(next, b)].concat().into())
            }
        };
        Chunk {
            timestamps_us: join(&self.timestamps_us, &next.timestamps_us),
            users: join(&self.users, &next.users),
            kinds: join(&self.kinds, &next.kinds),
            values: (0..self.values.len().max(next.values.len())).map(codes).collect(),
        }
    }

    /// Returns the codes of a dimension's values; `None` if no row has one.
    pub fn values(&self, dimension: usize) -> Option<&ScalarBuffer<u32>> {
        self.values.get(dimension)?.as_ref()
    }
}

/// Immutable state of one hour in memory.
#[derive(Clone, Debug)]
pub struct HourTable {
    /// Rollup of the rows. Its claim about users covers all of `users`.
    pub rollup: Rollup,
    /// The file that the rows will be flushed to, by which claims identify them.
    pub source: SourceSet,
    /// Every user of the rows. Users carried over from an earlier generation have the first codes.
    pub users: Dictionary,
    /// The values of each dimension; dimensions past the end have none.
    pub values: Vec<Dictionary>,
    frozen: imbl::Vector<Arc<Chunk>>,
    recent: Vec<Arc<Chunk>>,
}

impl HourTable {
    fn new(source: SourceSet) -> HourTable {
        let (rollup, users, values, frozen, recent) = Default::default();
        HourTable { rollup, source, users, values, frozen, recent }
    }

    pub fn rows(&self) -> u64 {
        self.rollup.rows()
    }

    pub fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.frozen.iter().chain(&self.recent)
    }

    fn push(&mut self, chunk: Chunk) {
        let mut chunk = Arc::new(chunk);
        while self.recent.last().is_some_and(|last| last.rows() <= 2 * chunk.rows()) {
            chunk = Arc::new(self.recent.pop().expect("just seen").concat(&chunk));
        }
        // Recent chunks are smaller than FROZEN_ROWS, so a chunk this large has absorbed all of
        // them.
        if chunk.rows() >= FROZEN_ROWS {
            self.frozen.push_back(chunk)
        } else {
            self.recent.push(chunk)
        }
    }
}

/// Immutable state of one generation of hours.
#[derive(Clone, Debug, Default)]
pub struct Memtable {
    /// Number of the generation, counted within this process.
    pub generation: u64,
    pub hours: imbl::OrdMap<Hour, Arc<HourTable>>,
    /// LSNs of the events, `first_lsn..=last_lsn`; empty if `last_lsn < first_lsn`.
    pub first_lsn: Lsn,
    pub last_lsn: Lsn,
    pub rows: u64,
    pub bytes: u64,
    /// Idempotency keys of the requests; filled in when the generation is sealed.
    pub keys: Arc<[StoredKey]>,
    /// Time of arrival of the first event, in microseconds since the epoch; after recovery, the
    /// time of the last write to the oldest log segment with its events.
    pub since_us: i64,
}

impl Memtable {
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

/// Mutable state of the values of one dimension in one hour.
#[derive(Debug, Default)]
struct ValueWriter {
    names: Interner,
    /// Column of the batch being applied; rows past the end have no value.
    codes: Vec<u32>,
}

impl ValueWriter {
    /// Sets the value of a row past the end; returns the bytes that it adds to the dictionary.
    fn set(&mut self, row: usize, value: &str) -> u64 {
        let (code, is_new) = self.names.intern(value);
        self.codes.resize(row, ABSENT);
        self.codes.push(code);
        if is_new { value.len() as u64 + NAME_OVERHEAD } else { 0 }
    }

    /// Ends the batch and returns the column of its `rows` rows; `None` if none has a value.
    fn take(&mut self, rows: usize) -> Option<ScalarBuffer<u32>> {
        if self.codes.is_empty() {
            return None;
        }
        self.codes.resize(rows, ABSENT);
        Some(std::mem::take(&mut self.codes).into())
    }
}

/// Mutable state of one hour.
#[derive(Debug)]
struct HourWriter {
    table: HourTable,
    users: Interner,
    /// Whether `users` holds every user of the hour, including those in data files and older
    /// generations.
    complete: bool,
    /// Columns of the batch being applied.
    timestamps_us: Vec<i64>,
    codes: Vec<u32>,
    kinds: Vec<u8>,
    /// Values of each dimension, up to the last one that has any.
    values: Vec<ValueWriter>,
}

impl HourWriter {
    fn new(source: SourceSet, complete: bool) -> HourWriter {
        let (users, timestamps_us, codes, kinds, values) = Default::default();
        let table = HourTable::new(source);
        HourWriter { table, users, complete, timestamps_us, codes, kinds, values }
    }

    /// Sets the values of the row that was pushed last; returns the bytes that they add.
    fn set_values(&mut self, values: Values<'_>) -> u64 {
        let row = self.kinds.len() - 1;
        let mut bytes = 0;
        for (dimension, value) in values.iter() {
            let dimension = usize::from(dimension);
            if self.values.len() <= dimension {
                self.values.resize_with(dimension + 1, ValueWriter::default);
            }
            bytes += CODE_BYTES + self.values[dimension].set(row, value);
        }
        bytes
    }

    /// Turns the batch's rows into a chunk and returns the hour's new state.
    fn publish(&mut self) -> Arc<HourTable> {
        let rollup = &mut self.table.rollup;
        if rollup.sources.is_empty() {
            // The first rows of this generation.
            rollup.sources = self.table.source;
            rollup.users.of += self.table.source;
        }
        rollup.users.n = self.users.len() as u64;
        self.table.users = self.users.dict();
        self.table.values = self.values.iter_mut().map(|values| values.names.dict()).collect();
        let rows = self.kinds.len();
        self.table.push(Chunk {
            timestamps_us: std::mem::take(&mut self.timestamps_us).into(),
            users: std::mem::take(&mut self.codes).into(),
            kinds: std::mem::take(&mut self.kinds).into(),
            values: self.values.iter_mut().map(|values| values.take(rows)).collect(),
        });
        Arc::new(self.table.clone())
    }
}

/// Mutable state of the current generation, used by the writer.
#[derive(Debug)]
pub struct MemtableWriter {
    hours: HashMap<Hour, HourWriter>,
    keys: Vec<StoredKey>,
    view: Memtable,
    names: FileNames,
}

impl MemtableWriter {
    /// Creates the first generation, empty; its first event will have `next_lsn`. `names` gives the
    /// data file of each of its hours.
    pub fn new(next_lsn: Lsn, names: FileNames) -> MemtableWriter {
        MemtableWriter::of_generation(1, next_lsn, names)
    }

    fn of_generation(generation: u64, next_lsn: Lsn, names: FileNames) -> MemtableWriter {
        let view = Memtable {
            generation,
            first_lsn: next_lsn,
            last_lsn: next_lsn - 1,
            ..Memtable::default()
        };
        MemtableWriter { hours: HashMap::new(), keys: Vec::new(), view, names }
    }

    /// Returns the next generation, empty, without carrying over users.
    pub fn next(&self, next_lsn: Lsn) -> MemtableWriter {
        MemtableWriter::of_generation(self.view.generation + 1, next_lsn, self.names.clone())
    }

    /// Records when the generation's first event arrived.
    pub fn begin(&mut self, now_us: i64) {
        self.view.since_us = now_us;
    }

    /// Applies a batch whose last event has `last_lsn`. `is_elsewhere` reports whether an hour has
    /// rows outside this generation, in which case its users here are incomplete.
    pub fn apply(
        &mut self,
        batch: &EventBatch,
        last_lsn: Lsn,
        is_elsewhere: impl Fn(Hour) -> bool,
    ) {
        let mut touched: Vec<Hour> = Vec::new();
        let mut new_names = 0;
        let mut events = batch.iter().peekable();
        while let Some(first) = events.peek().copied() {
            let hour = Hour::of_us(first.timestamp_us);
            let writer = self.hours.entry(hour).or_insert_with(|| {
                self.view.bytes += HOUR_BYTES;
                HourWriter::new(self.names.source(self.view.first_lsn, hour), !is_elsewhere(hour))
            });
            if writer.kinds.is_empty() {
                touched.push(hour);
            }
            let range = hour.start_us()..hour.end_us();
            while let Some(event) = events.next_if(|event| range.contains(&event.timestamp_us)) {
                let (code, is_new) = writer.users.intern(event.user);
                if is_new {
                    new_names += event.user.len() as u64 + NAME_OVERHEAD;
                }
                writer.table.rollup.add(event.kind, event.timestamp_us);
                writer.timestamps_us.push(event.timestamp_us);
                writer.codes.push(code);
                writer.kinds.push(event.kind.code());
                new_names += writer.set_values(event.values);
            }
        }
        for hour in touched {
            let table = self.hours.get_mut(&hour).expect("touched above").publish();
            self.view.hours.insert(hour, table);
        }
        self.view.rows += batch.len() as u64;
        self.view.bytes += batch.len() as u64 * ROW_BYTES + new_names;
        self.keys.extend(batch.keyed().iter().map(StoredKey::from));
        self.view.last_lsn = last_lsn;
    }

    /// Returns the state that readers see.
    pub fn view(&self) -> &Memtable {
        &self.view
    }

    /// Ends the generation and begins the next; returns the ended one. The users of `current` are
    /// carried over, so that an hour flushed while events still arrive keeps its exact distinct
    /// count without reading its files. They are not carried over if they exceed `carry_bytes`, as
    /// they would fill the new generation.
    pub fn seal(&mut self, current: Hour, carry_bytes: u64) -> Memtable {
        let next = self.next(self.view.last_lsn + 1);
        let mut sealed = std::mem::replace(self, next);
        sealed.view.keys = sealed.keys.into();
        for (hour, mut writer) in sealed.hours {
            if hour == current && writer.complete && writer.users.bytes() <= carry_bytes {
                let source = self.names.source(self.view.first_lsn, hour);
                let rollup = Rollup { users: writer.table.rollup.users, ..Rollup::EMPTY };
                writer.values.clear();
                writer.table =
                    HourTable { rollup, users: writer.users.dict(), ..HourTable::new(source) };
                self.view.bytes += HOUR_BYTES + writer.users.bytes();
                self.view.hours.insert(hour, Arc::new(writer.table.clone()));
                self.hours.insert(hour, writer);
            }
        }
        sealed.view
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::hour::HOUR_US;

    fn writer() -> MemtableWriter {
        MemtableWriter::new(1, FileNames::new("a node"))
    }

    fn batch(events: &[(i64, &str, EventKind)]) -> EventBatch {
        let mut batch = EventBatch::new();
        events.iter().for_each(|&(us, user, kind)| batch.push(us, user, kind));
        batch
    }

    #[test]
    fn a_view_keeps_its_numbers_while_the_hour_grows() {
        let mut writer = writer();
        let mut views = Vec::new();
        for i in 0..500 {
            writer.apply(
                &batch(&[(i, &format!("u{}", i % 100), EventKind::CLICK)]),
                i as u64 + 1,
                |_| false,
            );
            views.push(writer.view().clone());
        }
        for (i, view) in views.iter().enumerate() {
            let table = &view.hours[&Hour(0)];
            assert_eq!((table.rollup.rows(), table.users.len()), (i as u64 + 1, (i + 1).min(100)));
            assert_eq!(table.rollup.unique_users(), Some(table.users.len() as u64));
            assert_eq!(table.rollup.bounds(), Some((0, i as i64)));
            let rows: Vec<i64> =
                table.chunks().flat_map(|chunk| chunk.timestamps_us.to_vec()).collect();
            assert_eq!(rows, (0..=i as i64).collect::<Vec<_>>());
            assert!(table.recent.len() <= 10, "{} chunks", table.recent.len());
        }
    }

    #[test]
    fn a_sealed_generation_leaves_the_current_hours_users_behind() {
        let mut writer = writer();
        writer.apply(
            &batch(&[(0, "a", EventKind::CLICK), (HOUR_US, "b", EventKind::CLICK)]),
            2,
            |_| false,
        );
        let sealed = writer.seal(Hour(1), 1 << 20);
        assert_eq!((sealed.rows, sealed.first_lsn, sealed.last_lsn), (2, 1, 2));
        assert!(writer.view().is_empty());
        writer.apply(
            &batch(&[(HOUR_US, "c", EventKind::CLICK), (0, "d", EventKind::CLICK)]),
            4,
            |_| true,
        );
        let (current, late) = (&writer.view().hours[&Hour(1)], &writer.view().hours[&Hour(0)]);
        assert_eq!(
            (current.rows(), current.users.len(), current.rollup.unique_users()),
            (1, 2, None)
        );
        assert_eq!((late.rows(), late.users.len(), late.rollup.unique_users()), (1, 1, Some(1)));
        let whole = |hour| {
            let mut rollup = sealed.hours[&hour].rollup.clone();
            rollup.merge(&writer.view().hours[&hour].rollup);
            rollup.unique_users()
        };
        assert_eq!(
            (whole(Hour(1)), whole(Hour(0))),
            (Some(2), None),
            "who is in both is known where they went on"
        );
    }

    #[test]
    fn users_go_on_through_a_generation_without_rows() {
        let mut writer = writer();
        writer.apply(&batch(&[(0, "a", EventKind::CLICK)]), 1, |_| false);
        let first = writer.seal(Hour(0), 1 << 20);
        assert_eq!(writer.view().hours[&Hour(0)].rollup.sources, SourceSet::EMPTY);
        writer.seal(Hour(0), 1 << 20);
        writer.apply(&batch(&[(0, "b", EventKind::IMPRESSION)]), 2, |_| true);
        let mut rollup = first.hours[&Hour(0)].rollup.clone();
        rollup.merge(&writer.view().hours[&Hour(0)].rollup);
        assert_eq!((rollup.rows(), rollup.unique_users()), (2, Some(2)));
    }
}
