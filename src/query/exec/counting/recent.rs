//! What was inserted lately: a name of few values is looked up once for many of its rows.

use super::users::INLINE_BYTES;

/// Number of entries: a power of two, of 128 KB, so that they stay in the cache of a core.
const ENTRIES: usize = 1 << 12;

/// Rows after which it is known whether a column has few values.
const TRIAL: u64 = 1 << 16;

#[derive(Clone, Copy, Default)]
struct Entry {
    view: u128,
    group: u32,
    /// The batch of a long name, whose view says nothing in another batch.
    batch: u32,
    /// A bit for each set that it is in; none in an entry that is not used.
    sets: u64,
}

/// Names that were inserted lately, with their group.
#[derive(Default)]
pub struct Recent {
    entries: Vec<Entry>,
    batch: u32,
    asked: u64,
    found: u64,
}

impl Recent {
    /// Prepares for the rows of another batch; returns whether it is of use.
    pub fn begin(&mut self) -> bool {
        if self.asked >= TRIAL && self.found * 4 < self.asked {
            self.entries = Vec::new();
            return false;
        }
        self.entries.resize(ENTRIES, Entry::default());
        self.batch = self.batch.wrapping_add(1);
        true
    }

    /// Reports whether a name is in all these sets of a group; notes that it is from now on.
    pub fn insert(&mut self, view: u128, group: usize, sets: u64) -> bool {
        let batch = if view as u32 <= INLINE_BYTES { 0 } else { self.batch };
        let group = group as u32;
        let mixed = (view as u64 ^ (view >> 64) as u64 ^ u64::from(group) << 20)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let entry = &mut self.entries[(mixed >> 52) as usize % ENTRIES];
        let is_same = entry.view == view && entry.group == group && entry.batch == batch;
        let is_known = is_same && entry.sets & sets == sets;
        let sets = if is_same { entry.sets | sets } else { sets };
        *entry = Entry { view, group, batch, sets };
        self.asked += 1;
        self.found += u64::from(is_known);
        is_known
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_what_was_inserted_is_known_and_long_names_only_within_their_batch() {
        let mut recent = Recent::default();
        let mut inserted = BTreeSet::new();
        let (mut number, mut found) = (1_u64, 0);
        for batch in 0..300 {
            assert!(recent.begin());
            for _ in 0..1_000 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let name = (number >> 33) % 100;
                let is_long = name % 2 == 1;
                let len = if is_long { 13 } else { name % 13 };
                let view = u128::from(name) << 64 | u128::from(len);
                let group = (number >> 40) as usize % 5;
                let sets = 1 + (number >> 50) % 3;
                // What a view of a long name says depends on the batch.
                let key = (if is_long { batch } else { 0 }, view, group);
                if recent.insert(view, group, sets) {
                    for set in (0..2).filter(|set| sets >> set & 1 == 1) {
                        assert!(inserted.contains(&(key, set)), "{key:?} {set}");
                    }
                    found += 1;
                }
                (0..2).filter(|set| sets >> set & 1 == 1).for_each(|set| {
                    inserted.insert((key, set));
                });
            }
        }
        assert!(found > 50_000, "{found}");
    }

    #[test]
    fn it_gives_up_where_names_do_not_return() {
        let mut recent = Recent::default();
        let mut name = 0_u128;
        while recent.begin() {
            for _ in 0..1_000 {
                name += 1;
                assert!(!recent.insert(name << 64 | 8, 0, 1));
            }
            assert!(name < 100_000);
        }
    }
}
