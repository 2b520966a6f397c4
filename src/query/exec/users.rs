//! Exact sets of users that several threads fill at once, in bounded memory.
//!
//! Names are divided by their hash among shards, each with its own lock, table of names and sets. A
//! thread hashes the names of a batch, sorts them by shard, and holds the lock of each shard once
//! for all of them: for microseconds. So a name is kept once, regardless of the number of threads,
//! and as no name is in two shards, the size of a set is the sum of its sizes in the shards.
//!
//! A name has a code in its shard, 0, 1, 2 …; a set is a bitmap over codes.

use std::hash::BuildHasher;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::StringViewArray;
use hashbrown::DefaultHashBuilder;

/// Number of shards: many times the threads of a statement, so that they seldom meet.
const SHARDS: usize = 64;

/// Length up to which a view holds the whole name.
const INLINE_BYTES: u32 = 12;

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
    /// Reads the slot where a search for this hash begins. The reads of many names wait for memory
    /// together; those of searches, whose branches depend on them, would wait one after another.
    fn touch(&self, hash: u64) -> u32 {
        self.slots.get(hash as usize & self.slots.len().wrapping_sub(1)).map_or(0, |name| name.code)
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
    sets: Vec<Bitmap>,
    bytes: usize,
}

impl Sets {
    /// Adds a user to the set of this number.
    pub fn insert(&mut self, set: usize, code: u32) {
        if set >= self.sets.len() {
            let len = (set + 1).next_power_of_two();
            self.bytes += (len - self.sets.len()) * size_of::<Bitmap>();
            self.sets.resize_with(len, Bitmap::default);
        }
        self.bytes += self.sets[set].insert(code);
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
            let (users, bytes) = (names.len, names.bytes() + sets.bytes);
            let hash = |index: &u32| batch.hashes[*index as usize];
            let read = indexes.iter().fold(0, |read, index| read ^ names.touch(hash(index)));
            std::hint::black_box(read);
            for &index in indexes {
                let place = batch.places[index as usize] as usize;
                let wanted = Wanted { view: views[place], long: long(place), hash: hash(&index) };
                insert(sets, names.intern(&wanted), index as usize);
            }
            self.users.fetch_add(names.len - users, Ordering::Relaxed);
            self.bytes.fetch_add(names.bytes() + sets.bytes - bytes, Ordering::Relaxed);
        }
    }

    fn hash(&self, view: u128, long: &[u8]) -> u64 {
        if view as u32 <= INLINE_BYTES {
            self.hasher.hash_one(view)
        } else {
            self.hasher.hash_one(long)
        }
    }

    /// Returns the number of users in each of the first `len` sets.
    pub fn sizes(&self, len: usize) -> Vec<u64> {
        let mut sizes = vec![0; len];
        for shard in &self.shards {
            let shard = shard.lock().expect("no panic under this lock");
            for (size, set) in sizes.iter_mut().zip(&shard.sets.sets) {
                *size += set.len();
            }
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
    fn a_bitmap_returns_what_was_put_in() {
        let mut bitmap = Bitmap::default();
        let numbers = [0, 1, 63, 64, 100, 1_000, 65_535];
        numbers.iter().rev().for_each(|number| _ = bitmap.insert(*number));
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), numbers);
        assert_eq!(bitmap.len(), numbers.len() as u64);
    }
}
