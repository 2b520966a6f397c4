//! Compaction policy: which files of an hour to merge, and when.
//!
//! An hour that is left alone has one file, the base, and at most one file of late events beside
//! it. The largest file is the base. Late files are merged about daily, among themselves while they
//! are small beside the base, and into it once they are a quarter of it or the hour has gone cold.
//! Merging each late file into the base at once would write the base hundreds of times; with 5 % of
//! the events late over 30 days this writes each event about three times.

use std::sync::Arc;

use super::actions::DataFile;
use super::index::HourFiles;
use crate::hour::Hour;
use crate::storage::file_names::FileNames;
use crate::storage::options::CompactionOptions;

/// Part of the base, as a divisor, from which on late files are merged into it.
const BASE_SHARE: u64 = 4;

/// Maximum number of files merged at a time; each is open meanwhile.
pub const MAX_INPUTS: usize = 64;

/// Files of one hour to merge into one.
#[derive(Clone, Debug)]
pub struct Plan {
    pub hour: Hour,
    pub inputs: Vec<Arc<DataFile>>,
    /// The hour's other files, whose users count for the hour's.
    pub others: Vec<Arc<DataFile>>,
    /// Distinct users of the hour, if they are known.
    pub users: Option<u64>,
}

impl Plan {
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().map(|file| file.bytes).sum()
    }
}

/// Policy at one moment.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    pub options: &'a CompactionOptions,
    pub names: &'a FileNames,
    pub now_us: i64,
    /// Whether to merge all that can be merged, not only what is due.
    pub all: bool,
    /// Time within which what becomes due counts as due: a round is one commit, so it takes along
    /// what the next ones would.
    pub soon_ms: u64,
}

impl Policy<'_> {
    /// Returns what to merge of an hour; `None` if its files are to stay as they are.
    pub fn plan(&self, hour: Hour, files: &HourFiles) -> Option<Plan> {
        if files.files.len() < 2 {
            return None;
        }
        // Files without a checksum are of another engine, and may be in another order.
        let (mut ours, foreign): (Vec<_>, Vec<_>) =
            files.files.iter().cloned().partition(|file| file.checksum.is_some());
        ours.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.location.cmp(&b.location)));
        if ours.len() < 2 {
            return None;
        }
        let late = ours.split_off(1);
        let late_bytes: u64 = late.iter().map(|file| file.bytes).sum();
        let into_base = late_bytes.saturating_mul(BASE_SHARE) >= ours[0].bytes
            || self.is_older(
                late.iter().map(|file| file.written_ms).max(),
                self.options.cold_after_ms,
            );
        if !(self.all || self.is_due(hour, &late, into_base)) {
            return None;
        }
        let (mut inputs, mut others) = if into_base {
            ours.extend(late);
            (ours, foreign)
        } else if late.len() > 1 {
            (late, ours.into_iter().chain(foreign).collect())
        } else {
            return None;
        };
        if inputs.len() > MAX_INPUTS {
            // The smallest first, so that the next round reads them as one.
            inputs.reverse();
            others.extend(inputs.split_off(MAX_INPUTS));
        }
        Some(Plan { hour, inputs, others, users: files.rollup.unique_users() })
    }

    fn is_due(&self, hour: Hour, late: &[Arc<DataFile>], into_base: bool) -> bool {
        // The current hour gets more files with each flush.
        if hour.end_us() > self.now_us {
            return false;
        }
        let unmerged = late.iter().filter(|file| !self.names.is_merged(&file.location));
        let oldest = unmerged.clone().map(|file| file.written_ms).min();
        let is_cold = into_base && oldest.is_none();
        is_cold
            || unmerged.count() >= self.options.late_files
            || self.is_older(oldest, self.options.late_after_ms)
    }

    fn is_older(&self, written_ms: Option<i64>, age_ms: u64) -> bool {
        let age = written_ms.map(|written_ms| (self.now_us / 1_000).saturating_sub(written_ms));
        age.is_some_and(|age| {
            u64::try_from(age).is_ok_and(|age| age.saturating_add(self.soon_ms) >= age_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path as Location;

    use super::*;
    use crate::rollup::{Rollup, SourceSet, Users};

    const HOUR_MS: i64 = 3_600_000;

    fn file(name: &str, bytes: u64, written_ms: i64) -> Arc<DataFile> {
        let location = Location::from(format!("events/{name}-a.zstd.parquet"));
        let rollup = Rollup { sources: SourceSet::of(name), ..Rollup::EMPTY }.with_users(1);
        let (hour, checksum) = (Users::NONE, Some(1));
        Arc::new(DataFile { location, bytes, rollup, hour, checksum, written_ms })
    }

    /// Returns the files to merge of an hour that began at 0, at `hours` after that.
    fn plan(files: &[Arc<DataFile>], hours: i64, all: bool) -> Vec<u64> {
        let (options, names) = (CompactionOptions::default(), FileNames::new("a"));
        let now_us = hours * HOUR_MS * 1_000;
        let policy = Policy { options: &options, names: &names, now_us, all, soon_ms: 0 };
        let plan = policy.plan(Hour(0), &files.iter().cloned().collect());
        plan.map_or(Vec::new(), |plan| plan.inputs.iter().map(|file| file.bytes).collect())
    }

    #[test]
    fn one_file_is_left_alone_and_a_late_one_for_a_day() {
        let (base, late) = (file("part-1", 1_000, HOUR_MS), file("part-2", 10, 2 * HOUR_MS));
        assert!(plan(std::slice::from_ref(&base), 999, true).is_empty());
        let both = [base, late];
        assert!(plan(&both, 25, false).is_empty());
        assert!(plan(&both, 26, true).is_empty(), "a base and a late file are what is wanted");
        assert!(plan(&both, 2 + 7 * 24 - 1, false).is_empty());
        assert_eq!(plan(&both, 2 + 7 * 24, false), [1_000, 10], "cold");
    }

    #[test]
    fn late_files_are_merged_daily_and_into_the_base_at_a_quarter() {
        let base = file("part-1", 1_000, HOUR_MS);
        let late = [file("merged-1", 20, HOUR_MS), file("part-2", 10, 30 * HOUR_MS)];
        let files = [std::slice::from_ref(&base), &late[..]].concat();
        assert!(plan(&files, 53, false).is_empty());
        assert_eq!(plan(&files, 54, false), [20, 10]);
        assert_eq!(plan(&files, 31, true), [20, 10]);
        let large = [base, file("part-2", 250, HOUR_MS)];
        assert!(plan(&large, 24, false).is_empty());
        assert_eq!(plan(&large, 25, false), [1_000, 250]);
    }

    #[test]
    fn many_late_files_do_not_wait_for_the_day() {
        let mut files = vec![file("part-0", 1_000, HOUR_MS)];
        files.extend((1..8).map(|i| file(&format!("part-{i}"), 1, 2 * HOUR_MS)));
        assert!(plan(&files, 3, false).is_empty());
        files.push(file("part-8", 1, 2 * HOUR_MS));
        assert_eq!(plan(&files, 3, false).len(), 8);
        assert!(plan(&files, 0, false).is_empty(), "the hour is not over");
    }

    #[test]
    fn no_more_files_are_opened_than_are_allowed() {
        let files: Vec<_> = (0..200).map(|i| file(&format!("part-{i}"), 200 - i, 0)).collect();
        let inputs = plan(&files, 25, false);
        assert_eq!((inputs.len(), inputs[0]), (MAX_INPUTS, 1));
    }
}
