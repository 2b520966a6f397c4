//! Retention: removes whole hours that are older than the configured time. They are hidden first,
//! then removed by one commit; until that has succeeded they stay hidden.

use std::sync::Arc;

use crate::hour::{HOUR_US, Hour};
use crate::storage::lake::commit::{Change, Purpose};
use crate::storage::lake::index::FileIndex;
use crate::storage::requests::RetentionReport;

/// Returns the first hour that is kept at `now_us`.
pub fn first_kept(retention_us: i64, now_us: i64) -> Hour {
    let oldest_us = now_us.saturating_sub(retention_us);
    // An hour goes when all of it is older.
    Hour(oldest_us.div_euclid(HOUR_US))
}

/// Returns the change that removes the hours before `first`; `None` if there are none.
pub fn removal(files: &FileIndex, first: Hour) -> Option<Change> {
    let hours = files.range(..first);
    let removes: Vec<_> = hours
        .flat_map(|(hour, files)| files.files.iter().map(|file| (*hour, Arc::clone(file))))
        .collect();
    (!removes.is_empty()).then_some(Change {
        purpose: Purpose::Retention,
        adds: Vec::new(),
        removes,
    })
}

/// Describes a removal.
pub fn report(first: Hour, change: Option<&Change>) -> RetentionReport {
    let removes = || change.iter().flat_map(|change| &change.removes);
    let mut hours: Vec<Hour> = removes().map(|(hour, _)| *hour).collect();
    hours.dedup();
    RetentionReport {
        before: first.to_string(),
        hours: hours.len() as u64,
        files: removes().count() as u64,
        rows: removes().map(|(_, file)| file.rollup.rows()).sum(),
        bytes: removes().map(|(_, file)| file.bytes).sum(),
    }
}

/// Returns what a retention would remove.
pub fn planned_retention(files: &FileIndex, retention_ms: u64, now_us: i64) -> RetentionReport {
    let first = first_kept(microseconds(retention_ms), now_us);
    report(first, removal(files, first).as_ref())
}

pub fn microseconds(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_goes_when_its_last_moment_is_too_old() {
        let day_us = 24 * HOUR_US;
        assert_eq!(first_kept(day_us, 30 * HOUR_US), Hour(6));
        assert_eq!(first_kept(day_us, 31 * HOUR_US - 1), Hour(6));
        assert_eq!(first_kept(day_us, 31 * HOUR_US), Hour(7));
        assert!(first_kept(i64::MAX, 0) < Hour::FIRST);
    }
}
