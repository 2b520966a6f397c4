//! Counts of rows and of distinct users, or other names, by group, made by several threads.
//!
//! [`Totals`] is what they share, and each has a [`Counting`]. Files are sorted by user, so equal
//! names are adjacent and a run of them is hashed once; users in memory are interned, so each name
//! is hashed once where there are no groups, regardless of its number of rows.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int64Array, RecordBatch,
    StringViewArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::users::{Batch, Bitmap, Sets, UserSets};

/// Groups that may be kept, unless there is no other way to count.
const MOST_GROUPS: usize = 1 << 18;

/// Users of a dictionary that are looked up at a time.
const BATCH_ROWS: usize = 8_192;

/// Bytes of names, sets and groups for each user that may be kept.
const USER_BYTES: usize = 96;

/// A count over input columns, with the index of the flag that must be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub distinct: bool,
    pub flag: Option<usize>,
}

/// What is counted, and within what limits. The first column of an input is the name, or a user's
/// code; flags follow, then the columns of the group.
#[derive(Clone, Debug)]
pub struct Question {
    /// The column of events that the names are from.
    pub names: Arc<str>,
    pub counts: Arc<[Count]>,
    /// Columns of the group; none if all rows are one.
    pub groups: SchemaRef,
    /// Names that may be kept; `None` if there is no other way to count.
    pub limit: Option<usize>,
}

impl Question {
    fn has_groups(&self) -> bool {
        !self.groups.fields().is_empty()
    }

    fn new_groups(&self) -> Result<Box<dyn GroupValues>> {
        new_group_values(self.groups.clone(), &GroupOrdering::None)
    }
}

/// Groups, and the rows of each count in each group.
struct Groups {
    values: Option<Box<dyn GroupValues>>,
    rows: Vec<u64>,
    bytes: usize,
}

/// What the threads of a statement count together.
pub struct Totals {
    question: Question,
    users: UserSets,
    /// A mutex held for the new groups of a batch, and at a thread's end.
    groups: Mutex<Groups>,
    /// Bytes of groups, and of what each thread has.
    held: AtomicUsize,
    /// A mutex held for the update after a batch.
    reservation: Mutex<MemoryReservation>,
    is_over: AtomicBool,
}

impl Totals {
    pub fn new(question: Question, reservation: MemoryReservation) -> Result<Totals> {
        let values = if question.has_groups() { Some(question.new_groups()?) } else { None };
        let groups = Mutex::new(Groups { values, rows: Vec::new(), bytes: 0 });
        let (users, held, is_over) = Default::default();
        Ok(Totals { question, users, groups, held, reservation: Mutex::new(reservation), is_over })
    }

    /// Reports whether a limit was reached, so that the totals are not complete.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Accounts for the memory that is held; `held` is what the calling thread has said to have
    /// before, and has now.
    fn account(&self, groups: usize, held: (usize, usize)) -> Result<()> {
        let change = held.1.wrapping_sub(held.0);
        let all = self.held.fetch_add(change, Ordering::Relaxed).wrapping_add(change);
        let bytes = self.users.bytes() + all;
        let reserved = self.reservation.lock().expect("no panic under this lock").try_resize(bytes);
        let Some(limit) = self.question.limit else { return reserved };
        let is_over = self.users.users() > limit
            || bytes > limit.saturating_mul(USER_BYTES)
            || groups > MOST_GROUPS
            || reserved.is_err();
        if is_over {
            self.is_over.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns the columns of the answer: those of the group, then the counts.
    pub fn columns(&self) -> Result<Vec<ArrayRef>> {
        let Question { counts, .. } = &self.question;
        let mut groups = self.groups.lock().expect("no panic under this lock");
        let (mut columns, len) = match &mut groups.values {
            Some(values) => {
                let len = values.len();
                (values.emit(EmitTo::All)?, len)
            }
            None => (Vec::new(), 1),
        };
        let of_group = counts.iter().filter(|count| count.distinct).count();
        let sizes = self.users.sizes(len * of_group);
        groups.rows.resize(len * counts.len(), 0);
        let mut place = 0;
        for (i, count) in counts.iter().enumerate() {
            let total = |group: usize| match count.distinct {
                true => sizes[group * of_group + place] as i64,
                false => groups.rows[group * counts.len() + i] as i64,
            };
            columns.push(Arc::new(Int64Array::from_iter_values((0..len).map(total))));
            place += usize::from(count.distinct);
        }
        Ok(columns)
    }
}

/// The groups of the rows that one thread has seen.
struct OwnGroups {
    values: Box<dyn GroupValues>,
    /// Index of each of them among the groups of all threads.
    places: Vec<u32>,
    /// Groups of the rows of a batch.
    of_rows: Vec<usize>,
    /// Bytes of the groups here.
    bytes: usize,
}

impl OwnGroups {
    /// Finds the groups of a batch's rows.
    fn find(&mut self, columns: &[ArrayRef], totals: &Totals) -> Result<()> {
        let known = self.places.len();
        self.values.intern(columns, &mut self.of_rows)?;
        if self.values.len() > known {
            let mut rows = vec![0; self.values.len() - known];
            let new = self.of_rows.iter().enumerate().filter(|(_, group)| **group >= known);
            new.for_each(|(row, group)| rows[group - known] = row as u32);
            let rows = UInt32Array::from(rows);
            let columns = columns
                .iter()
                .map(|column| Ok(take(column, &rows, None)?))
                .collect::<Result<Vec<_>>>()?;
            let mut all = totals.groups.lock().expect("no panic under this lock");
            let mut places = Vec::new();
            let values = all.values.as_mut().expect("made with the groups");
            values.intern(&columns, &mut places)?;
            let bytes = values.size();
            totals.held.fetch_add(bytes.wrapping_sub(all.bytes), Ordering::Relaxed);
            all.bytes = bytes;
            self.places.extend(places.iter().map(|place| *place as u32));
            self.bytes = self.values.size() + self.places.capacity() * size_of::<u32>();
        }
        Ok(())
    }

    fn of(&self, row: usize) -> usize {
        self.places[self.of_rows[row]] as usize
    }
}

/// Users of one dictionary, by its keys.
struct Keys {
    names: ArrayRef,
    sets: Vec<Bitmap>,
}

/// The counting of one thread.
pub struct Counting {
    totals: Arc<Totals>,
    groups: Option<OwnGroups>,
    /// The rows of each count in each of its own groups.
    rows: Vec<u64>,
    keys: Option<Keys>,
    batch: Batch,
    /// Rows of each name in the batch.
    runs: Vec<Range<u32>>,
    /// Bytes that it has said to hold.
    held: usize,
}

impl Counting {
    pub fn new(totals: Arc<Totals>) -> Result<Counting> {
        let groups = if totals.question.has_groups() {
            let (places, of_rows, bytes) = Default::default();
            Some(OwnGroups { values: totals.question.new_groups()?, places, of_rows, bytes })
        } else {
            None
        };
        let (rows, batch, runs, held) = Default::default();
        Ok(Counting { totals, groups, rows, keys: None, batch, runs, held })
    }

    /// Counts a batch.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let own = batch.num_columns() - self.totals.question.groups.fields().len();
        // A null flag counts as false.
        let flag = |column: &ArrayRef| {
            let flags = column.as_boolean();
            match flags.nulls() {
                Some(valid) => BooleanArray::new(flags.values() & valid.inner(), None),
                None => flags.clone(),
            }
        };
        let flags: Vec<BooleanArray> = batch.columns()[1..own].iter().map(flag).collect();
        if let Some(groups) = &mut self.groups {
            groups.find(&batch.columns()[own..], &self.totals)?;
        }
        self.add_rows(batch.num_rows(), &flags);
        let users = batch.column(0);
        match users.as_dictionary_opt::<UInt32Type>() {
            None => self.add_names(users.as_string_view(), &flags),
            Some(codes) if self.groups.is_none() => self.add_codes(codes, &flags),
            Some(codes) => {
                let rows = (0..).zip(codes.keys().values());
                let runs = rows.map(|(row, &key)| (key, row..row + 1));
                self.insert(codes.values().as_string_view(), runs, &flags);
            }
        }
        let groups = self.groups.as_ref().map_or(0, |groups| groups.places.len());
        let keys = self.keys.iter().flat_map(|keys| &keys.sets).map(Bitmap::bytes).sum::<usize>();
        let own = self.groups.as_ref().map_or(0, |groups| groups.bytes) + self.rows.capacity() * 8;
        let before = std::mem::replace(&mut self.held, keys + own);
        self.totals.account(groups, (before, self.held))
    }

    fn add_rows(&mut self, rows: usize, flags: &[BooleanArray]) {
        let counts = &self.totals.question.counts;
        let len = self.groups.as_ref().map_or(1, |groups| groups.places.len());
        self.rows.resize(len * counts.len(), 0);
        for (i, count) in counts.iter().enumerate().filter(|(_, count)| !count.distinct) {
            let flag = count.flag.map(|flag| flags[flag].values());
            let Some(groups) = &self.groups else {
                self.rows[i] += flag.map_or(rows, |flag| flag.count_set_bits()) as u64;
                continue;
            };
            let mut add = |row: usize| self.rows[groups.of_rows[row] * counts.len() + i] += 1;
            match flag {
                Some(flag) => flag.set_indices().for_each(add),
                None => (0..rows).for_each(&mut add),
            }
        }
    }

    /// Adds users by name, with one look-up for each run of equal names.
    fn add_names(&mut self, names: &StringViewArray, flags: &[BooleanArray]) {
        let views = names.views();
        // A view of up to 12 bytes holds the whole name, so equal views are equal names.
        let is_same = |a: usize, b: usize| match views[a] as u32 {
            ..=12 => views[a] == views[b],
            _ => views[a] as u64 == views[b] as u64 && names.value(a) == names.value(b),
        };
        let mut start = 0;
        let runs = std::iter::from_fn(|| {
            let end = (start + 1..names.len()).find(|&row| !is_same(start, row));
            let run =
                (start < names.len()).then(|| start as u32..end.unwrap_or(names.len()) as u32);
            start = run.as_ref()?.end as usize;
            run
        });
        self.insert(names, runs.map(|run| (run.start, run)), flags);
    }

    /// Adds users by the keys of a dictionary: each name is looked up when the last of its rows has
    /// been seen.
    fn add_codes(&mut self, codes: &DictionaryArray<UInt32Type>, flags: &[BooleanArray]) {
        if self.keys.as_ref().is_none_or(|keys| !Arc::ptr_eq(&keys.names, codes.values())) {
            self.add_keys();
            self.keys = Some(Keys { names: codes.values().clone(), sets: Vec::new() });
        }
        let Some(Keys { sets, .. }) = &mut self.keys else { return };
        let keys = codes.keys().values();
        let distinct = self.totals.question.counts.iter().filter(|count| count.distinct);
        for (set, count) in distinct.enumerate() {
            sets.resize_with(sets.len().max(set + 1), Bitmap::default);
            let mut insert = |row: usize| _ = sets[set].insert(keys[row]);
            match count.flag {
                None => (0..keys.len()).for_each(&mut insert),
                Some(flag) => flags[flag].values().set_indices().for_each(insert),
            }
        }
    }

    /// Adds the users of the keys that were collected.
    fn add_keys(&mut self) {
        let Some(Keys { names, sets }) = self.keys.take() else { return };
        for (number, set) in sets.iter().enumerate() {
            let mut keys = set.iter().peekable();
            while keys.peek().is_some() {
                self.batch.places.clear();
                self.batch.places.extend(keys.by_ref().take(BATCH_ROWS));
                let insert = |sets: &mut Sets, code, _| sets.insert(number, code);
                self.totals.users.add(&mut self.batch, names.as_string_view(), insert);
            }
        }
    }

    /// Inserts the names at these places into the sets that the rows of each belong to.
    fn insert(
        &mut self,
        names: &StringViewArray,
        runs: impl Iterator<Item = (u32, Range<u32>)>,
        flags: &[BooleanArray],
    ) {
        let Counting { totals, groups, batch, runs: rows, .. } = self;
        let distinct = totals.question.counts.iter().filter(|count| count.distinct);
        let flags: Vec<_> = distinct.map(|count| count.flag.map(|flag| &flags[flag])).collect();
        let is_in = |flag: Option<&BooleanArray>, row: u32| {
            flag.is_none_or(|flag| flag.value(row as usize))
        };
        let all = flags.iter().any(Option::is_none);
        batch.places.clear();
        rows.clear();
        for (place, run) in runs {
            if all || run.clone().any(|row| flags.iter().any(|flag| is_in(*flag, row))) {
                batch.places.push(place);
                rows.push(run);
            }
        }
        let is_plain = groups.is_none() && flags.iter().all(Option::is_none);
        totals.users.add(batch, names, |sets, code, index| {
            if is_plain {
                return (0..flags.len()).for_each(|set| sets.insert(set, code));
            }
            for row in rows[index].clone() {
                let group = groups.as_ref().map_or(0, |groups| groups.of(row as usize));
                for (set, flag) in flags.iter().enumerate() {
                    if is_in(*flag, row) {
                        sets.insert(group * flags.len() + set, code);
                    }
                }
            }
        });
    }

    /// Adds what is left to the totals.
    pub fn finish(mut self) -> Result<()> {
        self.add_keys();
        let counts = self.totals.question.counts.len();
        let mut all = self.totals.groups.lock().expect("no panic under this lock");
        for (own, rows) in self.rows.chunks(counts.max(1)).enumerate() {
            let group = self.groups.as_ref().map_or(0, |groups| groups.places[own] as usize);
            let len = all.rows.len().max((group + 1) * counts);
            all.rows.resize(len, 0);
            let totals = all.rows[group * counts..].iter_mut();
            totals.zip(rows).for_each(|(total, rows)| *total += rows);
        }
        drop(all);
        self.totals.users.settle(&self.batch);
        self.totals.account(0, (self.held, 0))
    }
}
