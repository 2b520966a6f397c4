//! Rollup: mergeable aggregates of a set of rows, namely the number of events of each kind, the
//! first and last timestamp, and the number of distinct users.
//!
//! The memtable keeps a [`Rollup`] for each of its hours, a data file's entry in the Delta log
//! carries one, and the rollup of an hour is all of them merged. Counts add up. Users do not: a
//! user in two files is still one user. The number of users is therefore a claim, [`Users`], that
//! names the files it covers, and a merged rollup knows its users if some claim covers exactly the
//! merged files. Otherwise the users have to be united, which is not done here.
//!
//! A claim identifies its files by a [`SourceSet`], not by their number: when another engine
//! rewrites a file, or when files are compacted, the number may be the same by chance.

use std::ops::AddAssign;

use sha2::{Digest, Sha256};

use crate::event::EventKind;

/// Number of events of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kinds of the contract, so that a store without others allocates nothing.
    first: [u64; FIRST],
    /// Other kinds, up to the last one that was counted.
    others: Vec<u64>,
}

const FIRST: usize = EventKind::CONTRACT.len();

impl Counts {
    pub const NONE: Counts = Counts { first: [0; FIRST], others: Vec::new() };

    /// Returns the number of events of a kind.
    pub fn of(&self, kind: EventKind) -> u64 {
        let others = || kind.index().checked_sub(FIRST).and_then(|other| self.others.get(other));
        self.first.get(kind.index()).or_else(others).copied().unwrap_or(0)
    }

    pub fn add(&mut self, kind: EventKind, more: u64) {
        match kind.index() {
            index @ ..FIRST => self.first[index] += more,
            _ if more == 0 => {}
            index => {
                let other = index - FIRST;
                self.others.resize(self.others.len().max(other + 1), 0);
                self.others[other] += more;
            }
        }
    }

    pub fn merge(&mut self, other: &Counts) {
        self.first.iter_mut().zip(other.first).for_each(|(count, more)| *count += more);
        self.others.resize(self.others.len().max(other.others.len()), 0);
        self.others.iter_mut().zip(&other.others).for_each(|(count, more)| *count += more);
    }

    /// Returns the number of events of all kinds.
    pub fn sum(&self) -> u64 {
        self.first.iter().chain(&self.others).sum()
    }
}

/// Set of data files, represented by their number and a digest of their names.
///
/// The digest is the sum, modulo 2^64, of the first eight bytes (big-endian) of the SHA-256 of each
/// name, which is the path relative to the table's folder. A sum does not depend on an order, so
/// nothing is sorted, and disjoint sets are united by adding. Two sets of an hour are mistaken for
/// each other with a probability of one in 2^64. A sum of CRCs would not do: names that differ in a
/// digit have related checksums, and their differences cancel out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceSet {
    pub files: u64,
    pub digest: u64,
}

impl SourceSet {
    pub const EMPTY: SourceSet = SourceSet { files: 0, digest: 0 };

    /// Returns the set of the one file with this name.
    pub fn of(path: &str) -> SourceSet {
        let hash = Sha256::digest(path);
        let first = hash[..8].try_into().expect("SHA-256 has 32 bytes");
        SourceSet { files: 1, digest: u64::from_be_bytes(first) }
    }

    pub fn is_empty(self) -> bool {
        self == SourceSet::EMPTY
    }
}

impl AddAssign for SourceSet {
    /// Adds the files of a disjoint set.
    fn add_assign(&mut self, other: SourceSet) {
        self.files += other.files;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// Claim that the files `of` have `n` distinct users together. The default claims nothing, as no
/// files have no users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Users {
    pub of: SourceSet,
    pub n: u64,
}

impl Users {
    pub const NONE: Users = Users { of: SourceSet::EMPTY, n: 0 };
}

/// Aggregates of the rows of some sources. A source is a data file, or an hour of a generation in
/// memory, identified by the name of the file that it will become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollup {
    pub counts: Counts,
    /// First and last timestamp, in microseconds; without rows the first is after the last.
    pub first_us: i64,
    pub last_us: i64,
    /// Sources of the rows.
    pub sources: SourceSet,
    /// Claim about the most sources. It is valid for these rows only if it covers exactly
    /// `sources`.
    pub users: Users,
}

impl Rollup {
    /// Rollup of no rows; merging it changes nothing.
    pub const EMPTY: Rollup = Rollup {
        counts: Counts::NONE,
        first_us: i64::MAX,
        last_us: i64::MIN,
        sources: SourceSet::EMPTY,
        users: Users::NONE,
    };

    /// Counts one more row of the same sources.
    pub fn add(&mut self, kind: EventKind, timestamp_us: i64) {
        self.counts.add(kind, 1);
        self.first_us = self.first_us.min(timestamp_us);
        self.last_us = self.last_us.max(timestamp_us);
    }

    /// Merges the rollup of other sources. The order in which rollups are merged makes no
    /// difference.
    pub fn merge(&mut self, other: &Rollup) {
        self.counts.merge(&other.counts);
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        self.sources += other.sources;
        self.learn(other.users);
    }

    /// Adds a claim. Of two claims the one about more sources is kept: sources are only ever added,
    /// so the other covers too few of them.
    pub fn learn(&mut self, claim: Users) {
        self.users = self.users.max(claim);
    }

    /// Returns the number of events of all kinds.
    pub fn rows(&self) -> u64 {
        self.counts.sum()
    }

    pub fn count(&self, kind: EventKind) -> u64 {
        self.counts.of(kind)
    }

    /// Returns the first and last timestamp; `None` without rows.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        (self.first_us <= self.last_us).then_some((self.first_us, self.last_us))
    }

    /// Returns the distinct users of all sources; `None` if they have to be united first.
    pub fn unique_users(&self) -> Option<u64> {
        (self.users.of == self.sources).then_some(self.users.n)
    }

    /// Returns the rollup with `n` as the number of distinct users.
    pub fn with_users(self, n: u64) -> Rollup {
        Rollup { users: Users { of: self.sources, n }, ..self }
    }

    /// Returns the numbers in the response to a GET; `None` if the users are not known.
    pub fn numbers(&self) -> Option<HourNumbers> {
        let counts = self.counts.clone();
        self.unique_users().map(|unique_users| HourNumbers { unique_users, counts })
    }
}

impl Default for Rollup {
    fn default() -> Rollup {
        Rollup::EMPTY
    }
}

/// Numbers of an hour in the response to a GET.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HourNumbers {
    pub unique_users: u64,
    pub counts: Counts,
}

impl HourNumbers {
    pub fn count(&self, kind: EventKind) -> u64 {
        self.counts.of(kind)
    }

    /// Returns the number of events of all kinds.
    pub fn events(&self) -> u64 {
        self.counts.sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::EventSchema;

    /// Returns the rollup of a file with one event at `us` and `users` users.
    fn file(name: &str, us: i64, users: u64) -> Rollup {
        let mut rollup = Rollup { sources: SourceSet::of(name), ..Rollup::EMPTY };
        rollup.add(EventKind::CLICK, us);
        rollup.with_users(users)
    }

    fn merged<'r>(rollups: impl IntoIterator<Item = &'r Rollup>) -> Rollup {
        let mut all = Rollup::EMPTY;
        rollups.into_iter().for_each(|rollup| all.merge(rollup));
        all
    }

    #[test]
    fn a_count_of_nothing_is_no_difference() {
        let schema = EventSchema::new(&["a".into(), "b".into(), "c".into()], &[]).unwrap();
        let kinds: Vec<EventKind> = schema.kinds().collect();
        let (mut counts, mut same) = (Counts::NONE, Counts::NONE);
        kinds.iter().for_each(|kind| counts.add(*kind, 0));
        assert_eq!(counts, Counts::NONE);
        counts.add(kinds[3], 2);
        same.merge(&counts);
        assert_eq!((same.of(kinds[3]), same.of(kinds[4]), same.sum()), (2, 0, 2));
        assert_eq!(same, counts);
    }

    #[test]
    fn the_users_of_one_source_are_known_and_of_two_only_by_a_claim_about_both() {
        let (a, b) = (file("a", 5, 3), file("b", 2, 4));
        assert_eq!((Rollup::EMPTY.unique_users(), a.unique_users()), (Some(0), Some(3)));
        let mut both = merged([&a, &b]);
        assert_eq!((both.rows(), both.bounds(), both.unique_users()), (2, Some((2, 5)), None));
        both.learn(Users { of: both.sources, n: 6 });
        assert_eq!(
            both.numbers().map(|numbers| (numbers.unique_users, numbers.events())),
            Some((6, 2))
        );
    }

    #[test]
    fn a_claim_does_not_hold_for_as_many_other_files() {
        let (a, mut b, c) = (file("a", 1, 3), file("b", 2, 4), file("c", 3, 5));
        b.learn(Users { of: merged([&a, &b]).sources, n: 6 });
        assert_eq!(merged([&a, &b]).unique_users(), Some(6));
        assert_eq!(merged([&c, &b]).unique_users(), None);
        assert_eq!(merged([&a, &b, &c]).unique_users(), None);
    }

    #[test]
    fn names_that_differ_in_a_digit_do_not_cancel_out() {
        let set = |names: [&str; 2]| {
            let mut set = SourceSet::of(names[0]);
            set += SourceSet::of(names[1]);
            set
        };
        assert_eq!(set(["part-1", "part-2"]), set(["part-2", "part-1"]));
        assert_ne!(set(["part-00", "part-11"]), set(["part-01", "part-10"]));
    }

    proptest! {
        #[test]
        fn the_order_of_merging_makes_no_difference(
            files in prop::collection::vec((0..9_i64, 0..9_u64, 0..4_usize), 1..6).prop_shuffle(),
        ) {
            let mut rollups: Vec<Rollup> = Vec::new();
            for (i, &(us, users, known)) in files.iter().enumerate() {
                let mut next = file(&i.to_string(), us, users);
                // The claim of a flush that knows the files before it.
                let mut of = next.sources;
                rollups.iter().rev().take(known).for_each(|before| of += before.sources);
                next.learn(Users { of, n: users + 9 });
                rollups.push(next);
            }
            let forwards = merged(&rollups);
            prop_assert_eq!(&forwards, &merged(rollups.iter().rev()));
            let (left, right) = rollups.split_at(rollups.len() / 2);
            prop_assert_eq!(forwards, merged(&[merged(left), merged(right)]));
        }
    }
}
