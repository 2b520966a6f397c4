//! The distinct names of one column, by group, as several threads find them.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, StringViewArray};
use arrow::datatypes::UInt32Type;

use super::groups::OwnGroups;
use super::recent::Recent;
use super::users::{Batch, Bitmap, INLINE_BYTES, Sets, UserSets};

/// Users of a dictionary that are looked up at a time.
const BATCH_ROWS: usize = 8_192;

/// The distinct counts of a column, which the threads share.
#[derive(Debug, Default)]
pub struct NameSets {
    /// For each group, a set for each count.
    pub sets: UserSets,
    /// The flag of each count; `None` if it counts all rows.
    pub flags: Vec<Option<usize>>,
}

/// Users of one dictionary, by its keys.
struct Keys {
    names: ArrayRef,
    sets: Vec<Bitmap>,
}

/// What one thread has of a column's names.
#[derive(Default)]
pub struct OwnNames {
    keys: Option<Keys>,
    batch: Batch,
    recent: Recent,
    /// Rows of each name in the batch.
    runs: Vec<Range<u32>>,
}

impl OwnNames {
    /// Adds the names of a batch's rows; `groups` are those of the rows, `flags` are all flags.
    pub fn add(
        &mut self,
        names: &ArrayRef,
        groups: Option<&OwnGroups>,
        flags: &[BooleanArray],
        all: &NameSets,
    ) {
        let flags: Vec<_> = all.flags.iter().map(|flag| flag.map(|flag| &flags[flag])).collect();
        match names.as_dictionary_opt::<UInt32Type>() {
            None => self.add_names(names.as_string_view(), groups, &flags, &all.sets),
            Some(codes) if groups.is_none() => self.add_codes(codes, &flags, &all.sets),
            Some(codes) => {
                let rows = (0..).zip(codes.keys().values());
                let runs = rows.map(|(row, &key)| (key, row..row + 1));
                self.insert(codes.values().as_string_view(), runs, groups, &flags, &all.sets);
            }
        }
    }

    /// Adds names, with one look-up for each run of equal ones.
    fn add_names(
        &mut self,
        names: &StringViewArray,
        groups: Option<&OwnGroups>,
        flags: &[Option<&BooleanArray>],
        all: &UserSets,
    ) {
        let views = names.views();
        // Equal views of short names are equal names.
        let is_same = |a: usize, b: usize| match views[a] as u32 {
            ..=INLINE_BYTES => views[a] == views[b],
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
        self.insert(names, runs.map(|run| (run.start, run)), groups, flags, all);
    }

    /// Adds names by the keys of a dictionary: each is looked up when the last of its rows has been
    /// seen.
    fn add_codes(
        &mut self,
        codes: &DictionaryArray<UInt32Type>,
        flags: &[Option<&BooleanArray>],
        all: &UserSets,
    ) {
        if self.keys.as_ref().is_none_or(|keys| !Arc::ptr_eq(&keys.names, codes.values())) {
            self.add_keys(all);
            self.keys = Some(Keys { names: codes.values().clone(), sets: Vec::new() });
        }
        let Some(Keys { sets, .. }) = &mut self.keys else { return };
        sets.resize_with(flags.len(), Bitmap::default);
        let keys = codes.keys().values();
        for (set, flag) in sets.iter_mut().zip(flags) {
            let insert = |row: usize| _ = set.insert(keys[row]);
            match flag {
                None => (0..keys.len()).for_each(insert),
                Some(flag) => flag.values().set_indices().for_each(insert),
            }
        }
    }

    /// Adds the names of the keys that were collected.
    fn add_keys(&mut self, all: &UserSets) {
        let Some(Keys { names, sets }) = self.keys.take() else { return };
        for (number, set) in sets.iter().enumerate() {
            let mut keys = set.iter().peekable();
            while keys.peek().is_some() {
                self.batch.places.clear();
                self.batch.places.extend(keys.by_ref().take(BATCH_ROWS));
                let insert = |sets: &mut Sets, code, _| sets.insert(number, code);
                all.add(&mut self.batch, names.as_string_view(), insert);
            }
        }
    }

    /// Inserts the names at these places into the sets that the rows of each belong to.
    fn insert(
        &mut self,
        names: &StringViewArray,
        runs: impl Iterator<Item = (u32, Range<u32>)>,
        groups: Option<&OwnGroups>,
        flags: &[Option<&BooleanArray>],
        all: &UserSets,
    ) {
        let OwnNames { batch, recent, runs: rows, .. } = self;
        let is_in = |flag: Option<&BooleanArray>, row: u32| {
            flag.is_none_or(|flag| flag.value(row as usize))
        };
        let group_of = |row: u32| groups.map_or(0, |groups| groups.of(row as usize));
        let is_counted = |row| flags.iter().any(|flag| is_in(*flag, row));
        let sets_of = |row| {
            let bit = |set: usize| u64::from(is_in(flags[set], row)) << set;
            (0..flags.len()).map(bit).sum::<u64>()
        };
        let all_rows = flags.iter().any(Option::is_none);
        let is_recent = flags.len() <= 64 && recent.begin();
        let views = names.views();
        batch.places.clear();
        rows.clear();
        for (place, run) in runs {
            let is_new = if is_recent && run.len() == 1 {
                let sets = sets_of(run.start);
                let view = views[place as usize];
                sets != 0 && !recent.insert(view, group_of(run.start), sets)
            } else {
                all_rows || run.clone().any(is_counted)
            };
            if is_new {
                batch.places.push(place);
                rows.push(run);
            }
        }
        let is_plain = groups.is_none() && flags.iter().all(Option::is_none);
        all.add(batch, names, |sets, code, index| {
            if is_plain {
                return (0..flags.len()).for_each(|set| sets.insert(set, code));
            }
            for row in rows[index].clone() {
                let group = group_of(row);
                for (set, flag) in flags.iter().enumerate() {
                    if is_in(*flag, row) {
                        sets.insert(group * flags.len() + set, code);
                    }
                }
            }
        });
    }

    /// Returns the bytes held between two batches, without what has a fixed size.
    pub fn bytes(&self) -> usize {
        self.keys.iter().flat_map(|keys| &keys.sets).map(Bitmap::bytes).sum()
    }

    /// Adds what is left.
    pub fn finish(mut self, all: &NameSets) {
        self.add_keys(&all.sets);
        all.sets.settle(&self.batch);
    }
}
