//! Users of the hours in memory, by kind of event.
//!
//! An hour in memory has codes of its own for its users, dense and in order of arrival. Their codes
//! in the store are looked up once and kept beside; the sets of the latest state are kept, too.

use std::sync::{Arc, Mutex};

use hashbrown::{HashMap, HashSet};
use roaring::RoaringTreemap;

use super::code::{KindSets, Marks, SLOT, code, set_of};
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

/// Returns the users of an hour's rows, given the code of each of its users.
pub fn sets_of(table: &HourTable, codes: &[u32]) -> KindSets {
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
    let set = |marks: &Marks| set_of(marks.iter().map(|user| codes[user as usize]).collect());
    marked.map(|(kind, marks)| (kind, set(&marks))).collect()
}
