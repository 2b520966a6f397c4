//! What some rows count, as one value that merges: how many events of each kind, when the first and
//! the last happened, and how many distinct users they have.
//!
//! The memtable keeps a [`Rollup`] for each of its hours, a data file's entry in the Delta log
//! carries one, and the rollup of an hour is all of them merged. Counts add up. Users do not: who
//! is in two files is one user. So what is known of users is a claim, [`Users`], that says of which
//! files it holds, and a merged rollup knows its users where some claim is about exactly the files
//! that were merged. Everywhere else the users have to be united, which is not done here.
//!
//! A claim names its files by a [`SourceSet`], not by their number: when another engine rewrites a
//! file, or when files are compacted, the number may be the same by chance.

use std::ops::AddAssign;

use sha2::{Digest, Sha256};

use crate::event::EventKind;

/// Events by the code of their kind.
pub type Counts = [u64; EventKind::COUNT];

/// A set of data files by their names: how many they are, and a digest of the names.
///
/// The digest is the sum, modulo 2^64, of the first eight bytes (big-endian) of the SHA-256 of each
/// name, which is the path below the table's folder. A sum does not depend on an order, so nothing
/// is sorted, and sets that have no file in common are united by adding. Two sets of an hour are
/// taken for one another with a probability of one in 2^64. A sum of CRCs would not do: names that
/// differ in a digit have related checksums, and their differences cancel out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceSet {
    pub files: u64,
    pub digest: u64,
}

impl SourceSet {
    pub const EMPTY: SourceSet = SourceSet { files: 0, digest: 0 };

    /// The one file of this name.
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
    /// Adds the files of a set that has none of these.
    fn add_assign(&mut self, other: SourceSet) {
        self.files += other.files;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// A claim: the files `of` have `n` distinct users together. The default claims nothing, for no
/// file has no user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Users {
    pub of: SourceSet,
    pub n: u64,
}

impl Users {
    pub const NONE: Users = Users { of: SourceSet::EMPTY, n: 0 };
}

/// What the rows of some sources count. A source is a data file, or an hour of a generation in
/// memory, which is known by the name of the file that it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollup {
    pub counts: Counts,
    /// The first and last timestamp, in microseconds; without rows the first is after the last.
    pub first_us: i64,
    pub last_us: i64,
    /// Where the rows are.
    pub sources: SourceSet,
    /// The claim about the most sources. It holds for these rows only where it is about exactly
    /// `sources`.
    pub users: Users,
}

impl Rollup {
    /// That of no rows, which changes nothing where it is merged.
    pub const EMPTY: Rollup = Rollup {
        counts: [0; EventKind::COUNT],
        first_us: i64::MAX,
        last_us: i64::MIN,
        sources: SourceSet::EMPTY,
        users: Users::NONE,
    };

    /// Counts one more row of the same sources.
    pub fn add(&mut self, kind: EventKind, timestamp_us: i64) {
        self.counts[kind as usize] += 1;
        self.first_us = self.first_us.min(timestamp_us);
        self.last_us = self.last_us.max(timestamp_us);
    }

    /// Takes in the rows of other sources. The order in which rollups are merged makes no
    /// difference.
    pub fn merge(&mut self, other: &Rollup) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        self.sources += other.sources;
        self.learn(other.users);
    }

    /// Takes in a claim. Of two the one about more sources is kept: sources are only ever added, so
    /// the other is about too few of them.
    pub fn learn(&mut self, claim: Users) {
        self.users = self.users.max(claim);
    }

    /// All events.
    pub fn rows(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn count(&self, kind: EventKind) -> u64 {
        self.counts[kind as usize]
    }

    /// The first and last timestamp, where there are rows.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        (self.first_us <= self.last_us).then_some((self.first_us, self.last_us))
    }

    /// Distinct users of all sources; nothing where they have to be united first.
    pub fn unique_users(&self) -> Option<u64> {
        (self.users.of == self.sources).then_some(self.users.n)
    }

    /// The same rows with their users counted.
    pub fn with_users(self, n: u64) -> Rollup {
        Rollup { users: Users { of: self.sources, n }, ..self }
    }

    /// What a GET answers, where the users are known.
    pub fn numbers(&self) -> Option<HourNumbers> {
        self.unique_users().map(|unique_users| HourNumbers { unique_users, counts: self.counts })
    }
}

impl Default for Rollup {
    fn default() -> Rollup {
        Rollup::EMPTY
    }
}

/// The numbers of an hour as a GET answers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourNumbers {
    pub unique_users: u64,
    pub counts: Counts,
}

impl HourNumbers {
    pub fn count(&self, kind: EventKind) -> u64 {
        self.counts[kind as usize]
    }

    /// Events of every kind.
    pub fn events(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file of one event at `us`, with `users` users.
    fn file(name: &str, us: i64, users: u64) -> Rollup {
        let mut rollup = Rollup { sources: SourceSet::of(name), ..Rollup::EMPTY };
        rollup.add(EventKind::Click, us);
        rollup.with_users(users)
    }

    fn merged<'r>(rollups: impl IntoIterator<Item = &'r Rollup>) -> Rollup {
        let mut all = Rollup::EMPTY;
        rollups.into_iter().for_each(|rollup| all.merge(rollup));
        all
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
                // What a flush that knows the files before it claims.
                let mut of = next.sources;
                rollups.iter().rev().take(known).for_each(|before| of += before.sources);
                next.learn(Users { of, n: users + 9 });
                rollups.push(next);
            }
            let forwards = merged(&rollups);
            prop_assert_eq!(forwards, merged(rollups.iter().rev()));
            let (left, right) = rollups.split_at(rollups.len() / 2);
            prop_assert_eq!(forwards, merged(&[merged(left), merged(right)]));
        }
    }
}
