//! Exact sets of users that several threads fill at once, in bounded memory.
//!
//! Names are divided by their hash among shards, each with its own lock, table of names and sets. A
//! thread hashes the names of a batch, sorts them by shard, and holds the lock of each shard once
//! for all of them: for microseconds. So a name is kept once, regardless of the number of threads,
//! and as no name is in two shards, the size of a set is the sum of its sizes in the shards.
//!
//! A name has a code in its shard, 0, 1, 2 …. The first sets are bitmaps over codes; those of many
//! groups, most of which have few users, are pairs of set and code, sorted now and then to remove
//! what is there twice.

use std::hash::BuildHasher;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::StringViewArray;
use hashbrown::DefaultHashBuilder;

/// Number of shards: many times the threads of a statement, so that they seldom meet.
const SHARDS: usize = 64;

/// Number of sets that are bitmaps.
const BITMAPS: usize = 256;

/// Number of pairs from which on they are sorted now and then.
const FEW_PAIRS: usize = 1_024;

/// Length up to which a view holds the whole name.
pub const INLINE_BYTES: u32 = 12;

/// A set of numbers.
#[derive(Debug, Default)]
pub struct Bitmap(Vec<u64>);

impl Bitmap {
    /// Adds a number; returns the bytes by which the bitmap grew.
    pub fn insert(&mut self, number: u32) -> usize {
        let (word, len) = (number as usize / 64, self.0.len());
        if word >= len {
            self.0.resize((word + 1).next_power_of_two(), 0);
        }
        self.0[word] |= 1 << (number % 64);
        (self.0.len() - len) * 8
    }

    pub fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Returns the number of bytes held.
    pub fn bytes(&self) -> usize {
        self.0.len() * 8
    }

    /// Returns the numbers in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().enumerate().flat_map(|(place, &word)| {
            let next = |rest: &u64| Some(rest & (rest - 1)).filter(|rest| *rest != 0);
            std::iter::successors(Some(word).filter(|word| *word != 0), next)
                .map(move |rest| place as u32 * 64 + rest.trailing_zeros())
        })
    }
}

/// A name in a table: its view, in which the place of a long name is that in the table's own text.
#[derive(Clone, Debug)]
struct Name {
    start: u64,
    rest: u64,
    /// Lower half of the hash.
    hash: u32,
    code: u32,
}

/// A free slot of a table.
const FREE: Name = Name { start: 0, rest: 0, hash: 0, code: u32::MAX };

/// Hash table of names, with open addressing and linear probing. It differs from `hashbrown`'s in
/// that a name is found by reading one place of memory, which [`Names::touch`] can ask for ahead.
#[derive(Debug, Default)]
struct Names {
    /// A power of two of slots, at most three quarters of which are taken; none at first.
    slots: Vec<Name>,
    len: usize,
    /// The long names, one after another.
    text: Vec<u8>,
}

/// A name to look up: its view, the bytes of a long one, and its hash.
struct Wanted<'a> {
    view: u128,
    long: &'a [u8],
    hash: u64,
}

impl Names {
    /// Reads the slot where a search for this hash begins, both ends of it, as they may be in two
    /// lines of the cache. The reads of many names wait for memory together; those of searches,
    /// whose branches depend on them, would wait one after another.
    fn touch(&self, hash: u64) -> u32 {
        let slot = self.slots.get(hash as usize & self.slots.len().wrapping_sub(1));
        slot.map_or(0, |name| name.start as u32 ^ name.code)
    }

    /// Returns the name's code.
    fn intern(&mut self, wanted: &Wanted<'_>) -> u32 {
        if self.len * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let (start, mut rest) = (wanted.view as u64, (wanted.view >> 64) as u64);
        let (hash, is_long) = (wanted.hash as u32, start as u32 > INLINE_BYTES);
        let is_it = |name: &Name| {
            name.start == start
                && if is_long {
                    name.hash == hash && self.long(name) == wanted.long
                } else {
                    name.rest == rest
                }
        };
        let mut place = self.place(hash);
        loop {
            let name = &self.slots[place];
            if name.code == FREE.code {
                break;
            }
            if is_it(name) {
                return name.code;
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
        if is_long {
            rest = self.text.len() as u64;
            self.text.extend_from_slice(wanted.long);
        }
        let code = u32::try_from(self.len).expect("under 4 billion names");
        self.slots[place] = Name { start, rest, hash, code };
        self.len += 1;
        code
    }

    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn long(&self, name: &Name) -> &[u8] {
        &self.text[name.rest as usize..name.rest as usize + name.start as u32 as usize]
    }

    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(16);
        let names = std::mem::replace(&mut self.slots, vec![FREE; len]);
        for name in names.into_iter().filter(|name| name.code != FREE.code) {
            let mut place = self.place(name.hash);
            while self.slots[place].code != FREE.code {
                place = (place + 1) & (len - 1);
            }
            self.slots[place] = name;
        }
    }

    fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Name>() + self.text.len()
    }
}

/// The sets of one shard.
#[derive(Debug, Default)]
pub struct Sets {
    bitmaps: Vec<Bitmap>,
    bytes: usize,
    /// The users of further sets: the number of the set in the upper half, the code in the lower.
    pairs: Vec<u64>,
    /// How many of them are sorted, without any of them twice.
    sorted: usize,
}

impl Sets {
    /// Adds a user to the set of this number.
    pub fn insert(&mut self, set: usize, code: u32) {
        if set >= BITMAPS {
            if self.pairs.len() >= (self.sorted * 2).max(FEW_PAIRS) {
                self.sort();
            }
            return self.pairs.push((set as u64) << 32 | u64::from(code));
        }
        if set >= self.bitmaps.len() {
            let len = (set + 1).next_power_of_two();
            self.bytes += (len - self.bitmaps.len()) * size_of::<Bitmap>();
            self.bitmaps.resize_with(len, Bitmap::default);
        }
        self.bytes += self.bitmaps[set].insert(code);
    }

    /// Sorts the pairs, and removes those that are there twice.
    fn sort(&mut self) {
        if self.sorted < self.pairs.len() {
            // It sees that the first part is sorted.
            self.pairs.sort();
            self.pairs.dedup();
            self.sorted = self.pairs.len();
        }
    }

    fn bytes(&self) -> usize {
        self.bytes + self.pairs.capacity() * size_of::<u64>()
    }

    /// Adds the number of users of each set to its size.
    fn count(&mut self, sizes: &mut [u64]) {
        for (size, set) in sizes.iter_mut().zip(&self.bitmaps) {
            *size += set.len();
        }
        self.sort();
        for pair in &self.pairs {
            sizes[(pair >> 32) as usize] += 1;
        }
    }
}

#[derive(Debug, Default)]
struct Shard {
    names: Names,
    sets: Sets,
}

/// Sets of users, numbered from 0.
#[derive(Debug)]
pub struct UserSets {
    hasher: DefaultHashBuilder,
    /// Mutexes held for the names of one batch.
    shards: Box<[Mutex<Shard>]>,
    users: AtomicUsize,
    bytes: AtomicUsize,
}

/// The names of a batch to be added, and space for sorting them; one for each thread.
#[derive(Debug, Default)]
pub struct Batch {
    /// Places of the names in their array.
    pub places: Vec<u32>,
    hashes: Vec<u64>,
    /// Indexes of `places`, sorted by shard.
    order: Vec<u32>,
    /// The shard to begin with, so that threads do not follow each other.
    first: usize,
}

impl Default for UserSets {
    fn default() -> UserSets {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        UserSets { hasher: Default::default(), shards, users: 0.into(), bytes: 0.into() }
    }
}

/// Returns the shard of a hash, by bits that the tables do not look at.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

impl UserSets {
    /// Returns the number of users.
    pub fn users(&self) -> usize {
        self.users.load(Ordering::Relaxed)
    }

    /// Returns the approximate number of bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Passes each name of the batch to `insert`: the sets of its shard, its code there and its
    /// index in the batch.
    pub fn add(
        &self,
        batch: &mut Batch,
        names: &StringViewArray,
        mut insert: impl FnMut(&mut Sets, u32, usize),
    ) {
        let views = names.views();
        let long = |place: usize| match views[place] as u32 {
            ..=INLINE_BYTES => &[][..],
            _ => names.value(place).as_bytes(),
        };
        let mut ends = [0_u32; SHARDS];
        batch.hashes.clear();
        for &place in &batch.places {
            let place = place as usize;
            let hash = self.hash(views[place], long(place));
            ends[shard_of(hash)] += 1;
            batch.hashes.push(hash);
        }
        batch.sort(&mut ends);
        batch.first += 1;
        for shard in 0..SHARDS {
            let shard = (shard + batch.first) % SHARDS;
            let start = if shard == 0 { 0 } else { ends[shard - 1] };
            let indexes = &batch.order[start as usize..ends[shard] as usize];
            if indexes.is_empty() {
                continue;
            }
            let mut shard = self.shards[shard].lock().expect("no panic under this lock");
            let Shard { names, sets } = &mut *shard;
            let (users, bytes) = (names.len, names.bytes() + sets.bytes());
            let hash = |index: &u32| batch.hashes[*index as usize];
            let read = indexes.iter().fold(0, |read, index| read ^ names.touch(hash(index)));
            std::hint::black_box(read);
            for &index in indexes {
                let place = batch.places[index as usize] as usize;
                let wanted = Wanted { view: views[place], long: long(place), hash: hash(&index) };
                insert(sets, names.intern(&wanted), index as usize);
            }
            self.users.fetch_add(names.len - users, Ordering::Relaxed);
            self.bytes
                .fetch_add((names.bytes() + sets.bytes()).wrapping_sub(bytes), Ordering::Relaxed);
        }
    }

    fn hash(&self, view: u128, long: &[u8]) -> u64 {
        if view as u32 <= INLINE_BYTES {
            self.hasher.hash_one(view)
        } else {
            self.hasher.hash_one(long)
        }
    }

    /// Does what [`UserSets::sizes`] would begin with: each thread calls this at its end, so that
    /// they share that work.
    pub fn settle(&self, batch: &Batch) {
        for shard in 0..SHARDS {
            let shard = &self.shards[(shard + batch.first) % SHARDS];
            shard.lock().expect("no panic under this lock").sets.sort();
        }
    }

    /// Returns the number of users in each of the sets, of which there are at most `len`.
    pub fn sizes(&self, len: usize) -> Vec<u64> {
        let mut sizes = vec![0; len];
        for shard in &self.shards {
            shard.lock().expect("no panic under this lock").sets.count(&mut sizes);
        }
        sizes
    }
}

impl Batch {
    /// Sorts the names by shard, of which `ends` has the numbers of names; leaves the end of each
    /// shard there.
    fn sort(&mut self, ends: &mut [u32; SHARDS]) {
        let mut next = 0;
        for end in ends.iter_mut() {
            (*end, next) = (next, next + *end);
        }
        self.order.resize(self.hashes.len(), 0);
        for (index, &hash) in self.hashes.iter().enumerate() {
            let end = &mut ends[shard_of(hash)];
            self.order[*end as usize] = index as u32;
            *end += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn threads_fill_sets_that_are_those_of_one_thread() {
        let name = |i: u64| match i % 3 {
            0 => format!("u{i}"),
            1 => format!("exactly{i:05}"),
            _ => format!("a name of more than twelve bytes, {i}"),
        };
        let users = UserSets::default();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let users = &users;
                scope.spawn(move || {
                    let mut batch = Batch::default();
                    for start in (0..20_000).step_by(500) {
                        let range = start + thread * 1_000..start + thread * 1_000 + 700;
                        let names = StringViewArray::from_iter_values(range.clone().map(name));
                        batch.places = (0..700).collect();
                        users.add(&mut batch, &names, |sets, code, index| {
                            sets.insert((range.start + index as u64) as usize % 5, code);
                        });
                    }
                });
            }
        });
        let expected: BTreeSet<u64> =
            (0..4).flat_map(|thread| thread * 1_000..thread * 1_000 + 20_200).collect();
        assert_eq!(users.users(), expected.len());
        let of = |set: u64| expected.iter().filter(|i| *i % 5 == set).count() as u64;
        assert_eq!(users.sizes(6), [of(0), of(1), of(2), of(3), of(4), 0]);
        assert!(users.bytes() > expected.len() * size_of::<Name>());
    }

    #[test]
    fn sets_past_the_bitmaps_hold_each_user_once() {
        let mut sets = Sets::default();
        let mut expected = BTreeSet::new();
        let mut number = 1_u64;
        for _ in 0..50_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (set, code) = ((number >> 33) as usize % 600, (number >> 50) as u32 % 100);
            sets.insert(set, code);
            expected.insert((set, code));
        }
        assert!(sets.pairs.len() < 2 * expected.len(), "{}", sets.pairs.len());
        let mut sizes = vec![0; 600];
        sets.count(&mut sizes);
        for (set, size) in sizes.into_iter().enumerate() {
            assert_eq!(size, expected.range((set, 0)..(set + 1, 0)).count() as u64, "{set}");
        }
    }

    #[test]
    fn a_bitmap_returns_what_was_put_in() {
        let mut bitmap = Bitmap::default();
        let numbers = [0, 1, 63, 64, 100, 1_000, 65_535];
        numbers.iter().rev().for_each(|number| _ = bitmap.insert(*number));
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), numbers);
        assert_eq!(bitmap.len(), numbers.len() as u64);
    }
}
