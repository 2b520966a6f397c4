//! Distinct users: a dictionary that grows at one end while readers hold any earlier state of it.
//!
//! Each user gets a code, 0, 1, 2 …, in the order of arrival. [`UserIndex`] is the growing side,
//! with the hash table; a [`UserDict`] is what it looked like at one moment, cloned in constant
//! time: blocks of 256 names that never change, and a copy of the block being filled. That the
//! codes are dense and in order of arrival is what lets a set answer for any earlier moment too:
//! the users then were those with a lower code.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{StringViewArray, StringViewBuilder};
use hashbrown::{DefaultHashBuilder, HashTable};

const BLOCK: usize = 256;

/// Bytes that a user costs beside its name: the table's slot, the hash, where the name ends.
pub const USER_OVERHEAD: u64 = 24;

/// Up to 256 names, end to end.
#[derive(Clone, Debug, Default)]
struct Block {
    ends: Vec<u32>,
    names: String,
}

impl Block {
    fn get(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.names[start..self.ends[i] as usize]
    }

    fn push(&mut self, name: &str) {
        self.names.push_str(name);
        self.ends.push(self.names.len() as u32);
    }
}

/// The users of an hour at one moment.
#[derive(Clone, Debug, Default)]
pub struct UserDict {
    full: imbl::Vector<Arc<Block>>,
    tail: Arc<Block>,
}

impl UserDict {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.full.len() * BLOCK + self.tail.ends.len()
    }

    /// The names of the codes from `start` on.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = &str> {
        let blocks =
            self.full.iter().skip(start / BLOCK).map(|block| &**block).chain([&*self.tail]);
        let names = blocks.flat_map(|block| (0..block.ends.len()).map(|i| block.get(i)));
        names.skip(if start / BLOCK < self.full.len() + 1 { start % BLOCK } else { 0 })
    }

    /// All names as one Arrow array, its index the code: names of up to 12 bytes inline, longer
    /// ones copied once.
    pub fn to_array(&self) -> StringViewArray {
        let mut builder = StringViewBuilder::with_capacity(self.len());
        self.iter_from(0).for_each(|name| builder.append_value(name));
        builder.finish()
    }
}

/// The growing side.
#[derive(Debug, Default)]
pub struct UserIndex {
    /// Codes by the hash of their names, beside the hash's upper half, which spares most
    /// comparisons and all rehashing.
    table: HashTable<(u32, u32)>,
    hasher: DefaultHashBuilder,
    full: Vec<Arc<Block>>,
    tail: Block,
    /// What readers are given; its tail lags behind until [`UserIndex::dict`].
    published: UserDict,
    name_bytes: u64,
}

/// Spreads the kept 32 bits over the 64 that the table takes its bucket and its tag from.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl UserIndex {
    pub fn len(&self) -> usize {
        self.full.len() * BLOCK + self.tail.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> u64 {
        self.name_bytes + self.len() as u64 * USER_OVERHEAD
    }

    /// The user's code, and whether it is new.
    pub fn intern(&mut self, name: &str) -> (u32, bool) {
        let hash = (self.hasher.hash_one(name) >> 32) as u32;
        let (full, tail) = (&self.full, &self.tail);
        let is_it = |&(other, code): &(u32, u32)| {
            let (block, i) = (code as usize / BLOCK, code as usize % BLOCK);
            other == hash && full.get(block).map_or(tail, |block| block).get(i) == name
        };
        if let Some(&(_, code)) = self.table.find(spread(hash), is_it) {
            return (code, false);
        }
        let code = u32::try_from(self.len()).expect("an hour has under 4 billion users");
        self.table.insert_unique(spread(hash), (hash, code), |&(hash, _)| spread(hash));
        self.tail.push(name);
        self.name_bytes += name.len() as u64;
        if self.tail.ends.len() == BLOCK {
            let block = Arc::new(std::mem::take(&mut self.tail));
            self.published.full.push_back(block.clone());
            self.published.tail = Arc::default();
            self.full.push(block);
        }
        (code, true)
    }

    /// The users so far.
    pub fn dict(&mut self) -> UserDict {
        if self.published.tail.ends.len() != self.tail.ends.len() {
            self.published.tail = Arc::new(self.tail.clone());
        }
        self.published.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_does_not_change_while_its_index_grows() {
        let mut index = UserIndex::default();
        let mut dicts = Vec::new();
        for i in 0..1_000 {
            assert_eq!(index.intern(&format!("user{i}")), (i, true));
            assert_eq!(index.intern(&format!("user{}", i / 2)), (i / 2, false));
            dicts.push(index.dict());
        }
        for (i, dict) in dicts.iter().enumerate() {
            assert_eq!(dict.len(), i + 1);
            for start in [0, i / 2, i, i + 1] {
                let names: Vec<_> = dict.iter_from(start).collect();
                let expected: Vec<_> = (start..=i).map(|i| format!("user{i}")).collect();
                assert_eq!(names, expected, "{} users from {start}", i + 1);
            }
        }
    }
}
