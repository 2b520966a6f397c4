//! Users of the hours in memory, by kind of event.
//!
//! An hour in memory has codes of its own for its users, dense and in order of arrival. Their codes
//! in the store are looked up once and kept beside; the sets of the latest state are kept, too.

use std::sync::{Arc, Mutex};

use hashbrown::{HashMap, HashSet};
use roaring::{RoaringBitmap, RoaringTreemap};

use super::code::{KindSets, SLOT, code};
use super::names::Names;
use crate::event::EventKind;
use crate::rollup::SourceSet;
use crate::storage::error::Result;
use crate::storage::memory::memtable::HourTable;

/// Maps of the hours in memory, by the file that each will become.
#[derive(Debug, Default)]
pub struct HotUsers {
    /// Held to look a map up, not while it is used.
    maps: Mutex<HashMap<SourceSet, Arc<Mutex<Map>>>>,
}

#[derive(Debug, Default)]
struct Map {
    /// Which state of the index the codes are of.
    generation: u64,
    /// The store's code of each of the hour's users.
    codes: Vec<u32>,
    /// The sets when the hour had this many rows.
    latest: Option<(u64, Arc<KindSets>)>,
}

impl Map {
    /// Looks up the users that have come since.
    fn extend(&mut self, table: &HourTable, names: &Names) -> Result<()> {
        let mut lookup = names.lookup();
        if self.generation != lookup.generation() {
            *self = Map { generation: lookup.generation(), ..Map::default() };
        }
        for name in table.users.iter_from(self.codes.len()) {
            self.codes.push(lookup.code(name)?);
        }
        Ok(())
    }
}

impl HotUsers {
    fn map(&self, table: &HourTable) -> Arc<Mutex<Map>> {
        let mut maps = self.maps.lock().expect("no panic under this lock");
        maps.entry(table.source).or_default().clone()
    }

    /// Looks up the users of an hour that have come since the last time.
    pub fn extend(&self, table: &HourTable, names: &Names) -> Result<()> {
        let map = self.map(table);
        let mut map = map.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        map.extend(table, names)
    }

    /// Returns the users of an hour in memory.
    pub fn sets(&self, table: &HourTable, names: &Names) -> Result<Arc<KindSets>> {
        let map = self.map(table);
        let mut map = map.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        map.extend(table, names)?;
        if let Some((rows, sets)) = &map.latest
            && *rows == table.rows()
        {
            return Ok(sets.clone());
        }
        let sets = Arc::new(sets_of(table, &map.codes));
        map.latest = Some((table.rows(), sets.clone()));
        Ok(sets)
    }

    /// Forgets the hours that are no longer in memory.
    pub fn retain(&self, sources: &HashSet<SourceSet>) {
        let mut maps = self.maps.lock().expect("no panic under this lock");
        maps.retain(|source, _| sources.contains(source));
    }

    /// Adds the codes of all users to `codes`, if they are of this state of the index.
    pub fn add_codes(&self, generation: u64, codes: &mut RoaringTreemap) {
        let maps: Vec<Arc<Mutex<Map>>> = {
            let maps = self.maps.lock().expect("no panic under this lock");
            maps.values().cloned().collect()
        };
        for map in maps {
            let map = map.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if map.generation == generation {
                codes.extend(map.codes.iter().map(|number| code(SLOT, *number)));
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.maps.lock().expect("no panic under this lock").clear();
    }
}

/// Marks in a bit for each number below `len`.
struct Marks(Vec<u64>);

impl Marks {
    fn new(len: usize) -> Marks {
        Marks(vec![0; len.div_ceil(64)])
    }

    fn set(&mut self, at: u32) {
        self.0[at as usize / 64] |= 1 << (at % 64);
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            let left = std::iter::successors((word != 0).then_some(word), |word| {
                Some(word & (word - 1)).filter(|word| *word != 0)
            });
            left.map(move |word| i as u32 * 64 + word.trailing_zeros())
        })
    }
}

/// Returns the users of an hour's rows, given the store's code of each of its users.
fn sets_of(table: &HourTable, codes: &[u32]) -> KindSets {
    let mut marks: Vec<Option<Marks>> = Vec::new();
    for chunk in table.chunks() {
        for (user, kind) in chunk.users.iter().zip(&*chunk.kinds) {
            let kind = usize::from(*kind);
            if kind >= marks.len() {
                marks.resize_with(kind + 1, || None);
            }
            marks[kind].get_or_insert_with(|| Marks::new(table.users.len())).set(*user);
        }
    }
    let marked = marks.into_iter().enumerate();
    let marked = marked.filter_map(|(kind, marks)| Some((EventKind::of_code(kind as u8), marks?)));
    let set = |marks: &Marks| bitmap(marks.iter().map(|user| codes[user as usize]).collect());
    marked
        .map(|(kind, marks)| (kind, RoaringTreemap::from_bitmaps([(SLOT, set(&marks))])))
        .collect()
}

/// Returns the set of distinct codes in any order.
fn bitmap(mut codes: Vec<u32>) -> RoaringBitmap {
    let len = codes.iter().max().map_or(0, |max| *max as usize + 1);
    // A bit for each code is faster than sorting, unless there are few among many.
    if len / 32 < codes.len() {
        let mut marks = Marks::new(len);
        codes.iter().for_each(|code| marks.set(*code));
        let bytes: Vec<u8> = marks.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        return RoaringBitmap::from_lsb0_bytes(0, &bytes);
    }
    codes.sort_unstable();
    RoaringBitmap::from_sorted_iter(codes).expect("sorted above, and distinct")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn codes_in_any_order_make_their_set(
            codes in prop::collection::hash_set(0..200_000_u32, 0..300),
            dense in 0..9_000_u32,
        ) {
            let codes: Vec<u32> = codes.into_iter().filter(|code| *code >= dense).chain(0..dense).collect();
            let expected: RoaringBitmap = codes.iter().copied().collect();
            prop_assert_eq!(bitmap(codes), expected);
        }
    }
}
