//! Dictionary of distinct names, users or the values of a dimension: append-only, while readers hold
//! any earlier state of it.
//!
//! Each name gets a code, 0, 1, 2 …, in order of arrival. [`Interner`] is the mutable side, with
//! the hash table. A [`Dictionary`] is its state at one moment, cloned in constant time: immutable
//! blocks of 256 names, and a copy of the block being filled. As codes are dense and in order of
//! arrival, the names at any earlier moment are those with a lower code.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{StringViewArray, StringViewBuilder};
use hashbrown::{DefaultHashBuilder, HashTable};

const BLOCK: usize = 256;

/// Bytes per name in addition to the name itself: the slot in the table, the hash, the end of the name.
pub const NAME_OVERHEAD: u64 = 24;

/// Up to 256 names, concatenated.
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

/// Immutable state of a dictionary.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    full: imbl::Vector<Arc<Block>>,
    tail: Arc<Block>,
}

impl Dictionary {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.full.len() * BLOCK + self.tail.ends.len()
    }

    /// Returns the names of the codes from `start` on; none if the dictionary ends before it, as an
    /// earlier state than the one that gave the code does.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = &str> {
        let start = start.min(self.len());
        let full = self.full.iter().skip(start / BLOCK).map(|block| &**block);
        let blocks = full.chain([&*self.tail]);
        blocks
            .flat_map(|block: &Block| (0..block.ends.len()).map(|i| block.get(i)))
            .skip(start % BLOCK)
    }

    /// Returns all names as one Arrow array indexed by code: names of up to 12 bytes are inline,
    /// longer ones are copied once.
    pub fn to_array(&self) -> StringViewArray {
        let mut builder = StringViewBuilder::with_capacity(self.len());
        self.iter_from(0).for_each(|name| builder.append_value(name));
        builder.finish()
    }
}

/// Mutable dictionary with a hash table from names to codes.
#[derive(Debug, Default)]
pub struct Interner {
    /// Upper half of each name's hash, and its code. The stored hash avoids most name comparisons
    /// and all rehashing.
    table: HashTable<(u32, u32)>,
    hasher: DefaultHashBuilder,
    full: Vec<Arc<Block>>,
    tail: Block,
    /// Dictionary given to readers; its tail is updated by [`Interner::dict`].
    published: Dictionary,
    name_bytes: u64,
}

/// Spreads the stored 32 bits over 64, from which the table takes bucket and tag.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Interner {
    pub fn len(&self) -> usize {
        self.full.len() * BLOCK + self.tail.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the approximate number of bytes held.
    pub fn bytes(&self) -> u64 {
        self.name_bytes + self.len() as u64 * NAME_OVERHEAD
    }

    fn hash(&self, name: &str) -> u32 {
        (self.hasher.hash_one(name) >> 32) as u32
    }

    /// Returns the name of a code.
    pub fn name(&self, code: u32) -> &str {
        let (block, i) = (code as usize / BLOCK, code as usize % BLOCK);
        self.full.get(block).map_or(&self.tail, |block| block).get(i)
    }

    fn find_hashed(&self, hash: u32, name: &str) -> Option<u32> {
        let is_it = |&(other, code): &(u32, u32)| other == hash && self.name(code) == name;
        self.table.find(spread(hash), is_it).map(|&(_, code)| code)
    }

    /// Returns the name's code; `None` for a name that is not in the dictionary.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.find_hashed(self.hash(name), name)
    }

    /// Returns the name's code, and whether the name is new.
    pub fn intern(&mut self, name: &str) -> (u32, bool) {
        let hash = self.hash(name);
        if let Some(code) = self.find_hashed(hash, name) {
            return (code, false);
        }
        let code = u32::try_from(self.len()).expect("an hour has under 4 billion names");
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

    /// Returns the current state of the dictionary.
    pub fn dict(&mut self) -> Dictionary {
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
        let mut index = Interner::default();
        let mut dicts = Vec::new();
        for i in 0..1_000 {
            assert_eq!(index.intern(&format!("user{i}")), (i, true));
            assert_eq!(index.intern(&format!("user{}", i / 2)), (i / 2, false));
            dicts.push(index.dict());
        }
        for (i, dict) in dicts.iter().enumerate() {
            assert_eq!(dict.len(), i + 1);
            for start in [0, i / 2, i, i + 1, i + 2, i + BLOCK, i + 300, 10 * BLOCK] {
                let names: Vec<_> = dict.iter_from(start).collect();
                let expected: Vec<_> = (start..=i).map(|i| format!("user{i}")).collect();
                assert_eq!(names, expected, "{} users from {start}", i + 1);
            }
        }
    }
}
