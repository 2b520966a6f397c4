//! Checkpoints of the Delta log, and the removal of what they make superfluous.
//!
//! A checkpoint sums up all commits before it, so that opening stays fast. The commits and
//! checkpoints of the last [`Lake::clean_log`] `keep_ms` stay: they are what time travel and slow
//! readers of other engines need. Older ones go, oldest first.

use std::collections::BTreeMap;

use chrono::DateTime;
use deltalake_core::kernel::Snapshot as LogSnapshot;
use object_store::path::Path as Location;
use object_store::{ObjectMeta, ObjectStore};

use super::history::version_of;
use super::table::{Lake, state_without_files, sync_log};
use crate::storage::directory::LOG_DIR;
use crate::storage::error::Result;
use crate::storage::store;

/// Number of commits between two checkpoints of the Delta log.
const CHECKPOINT_INTERVAL: u64 = 50;

/// Number of files committed since the last checkpoint that makes the next one due: Parquet is read
/// faster than the files' JSON.
const CHECKPOINT_FILES: usize = 10_000;

/// Number of the newest checkpoints that stay in any case: a reader may have begun with the last
/// but one.
const NEWEST: usize = 2;

/// Number of checkpoints that are kept over the time for which commits stay. Only from a checkpoint
/// on can older commits go, so it is also the part of that time for which they stay too long.
const CHECKPOINTS_KEPT: i64 = 4;

impl Lake {
    /// Reports whether a checkpoint is due. The caller removes expired files first, because a
    /// checkpoint forgets old tombstones.
    pub fn checkpoint_is_due(&self) -> bool {
        let version = self.table.version().unwrap_or(0);
        version > 0
            && self.checkpoint_version != Some(version)
            && (version.is_multiple_of(CHECKPOINT_INTERVAL)
                || self.files_since_checkpoint >= CHECKPOINT_FILES)
    }

    /// Writes a checkpoint, then cleans the log. A failure has no other effect: both are tried
    /// again after a later commit.
    pub async fn checkpoint(&mut self, keep_ms: i64, now_us: i64) {
        let version = self.table.version().unwrap_or(0);
        self.checkpoint_version = Some(version);
        let done = async {
            deltalake_core::checkpoints::create_checkpoint(&self.table, None).await?;
            self.files_since_checkpoint = 0;
            self.clean_log(now_us / 1_000 - keep_ms, keep_ms / CHECKPOINTS_KEPT).await
        };
        match done.await {
            Ok(()) => {
                self.checkpoint_trouble.has_passed();
                self.forget_files().await;
            }
            Err(error) if self.checkpoint_trouble.is_due(now_us) => {
                tracing::warn!(%error, version, "the Delta checkpoint failed; it is tried again after a later commit");
            }
            Err(_) => {}
        }
    }

    /// Writes a checkpoint and removes all history before it.
    ///
    /// # Errors
    /// Some of it may be left; call it again.
    pub async fn purge_history(&mut self) -> Result<()> {
        deltalake_core::checkpoints::create_checkpoint(&self.table, None).await?;
        self.files_since_checkpoint = 0;
        let version = self.table.version().unwrap_or(0);
        let listed = self.store.list_with_delimiter(Some(&Location::from(LOG_DIR))).await?;
        let is_before = |location: &&Location| {
            let name = location.filename().unwrap_or_default();
            ["", ".json", ".checkpoint"]
                .iter()
                .find_map(|kind| version_of(name, kind))
                .is_some_and(|of| of < version)
        };
        for location in listed.objects.iter().map(|object| &object.location).filter(is_before) {
            store::remove(&*self.store, location).await?;
        }
        sync_log(&*self.store).await?;
        self.forget_files().await;
        Ok(())
    }

    /// Removes the commits and checkpoints that no version since `cutoff_ms` needs.
    async fn clean_log(&mut self, cutoff_ms: i64, spacing_ms: i64) -> Result<()> {
        let mut log = self.store.list_with_delimiter(Some(&Location::from(LOG_DIR))).await?.objects;
        let mut times = BTreeMap::new();
        // The times of the files are those of their disk.
        for object in &mut log {
            let version = object.location.filename().and_then(|name| version_of(name, ".json"));
            let known = version.and_then(|version| self.commit_times.remove_entry(&version));
            times.extend(known);
            if let Some(time) = known.and_then(|(_, ms)| DateTime::from_timestamp_millis(ms)) {
                object.last_modified = time;
            }
        }
        // What is not in the log any more is forgotten.
        self.commit_times = times;
        for location in superfluous(&log, cutoff_ms, spacing_ms) {
            store::remove(&*self.store, &location).await?;
        }
        Ok(())
    }

    /// Drops the library's list of the files committed since the last call. A failure costs only
    /// memory.
    async fn forget_files(&mut self) {
        let version = self.table.version();
        match LogSnapshot::try_new(&*self.table.log_store(), version)
            .await
            .map(|snapshot| state_without_files(&snapshot))
        {
            Ok(Ok(state)) => self.table.state = Some(state),
            Ok(Err(error)) => tracing::debug!(%error, "the table keeps its list of files"),
            Err(error) => tracing::debug!(%error, "the table keeps its list of files"),
        }
    }
}

/// Returns the objects of the log that are not needed to read any version since `cutoff_ms`, in the
/// order in which to remove them: if that is interrupted, what is left has no gap. Of the
/// checkpoints after that one stays for every `spacing_ms`, from which to read later on.
fn superfluous(log: &[ObjectMeta], cutoff_ms: i64, spacing_ms: i64) -> Vec<Location> {
    let versions = |kind: &'static str| {
        log.iter().filter_map(move |object| {
            Some((version_of(object.location.filename()?, kind)?, object))
        })
    };
    // A commit after the last old one is new, whatever its file's time says.
    let old = versions(".json")
        .filter(|(_, object)| object.last_modified.timestamp_millis() < cutoff_ms)
        .map(|(version, _)| version)
        .max();
    let since = old.map_or(0, |old| old + 1);
    let mut checkpoints: Vec<u64> = versions(".checkpoint").map(|(version, _)| version).collect();
    checkpoints.sort_unstable();
    checkpoints.dedup();
    // The state before the oldest version that is kept is where reading it begins.
    let first = |version: &&u64| **version <= since;
    let base = checkpoints.iter().rev().find(first).copied().unwrap_or(0);
    let mut kept = checkpoints[checkpoints.len().saturating_sub(NEWEST)..].to_vec();
    let times: BTreeMap<u64, i64> = versions(".json")
        .map(|(version, object)| (version, object.last_modified.timestamp_millis()))
        .collect();
    let mut last_ms = None;
    for version in checkpoints.into_iter().filter(|version| *version >= base) {
        let time_ms = times.get(&version).copied();
        if last_ms.zip(time_ms).is_none_or(|(last, time)| time - last >= spacing_ms) {
            kept.push(version);
            last_ms = time_ms;
        }
    }
    let commits = versions(".json").filter(|(version, _)| *version < base);
    let checkpoints = versions(".checkpoint").filter(|(version, _)| !kept.contains(version));
    let mut gone: Vec<_> = commits.chain(checkpoints).collect();
    gone.sort_by_key(|(version, object)| (*version, object.location.clone()));
    gone.into_iter().map(|(_, object)| object.location.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists a log: commits of these versions, one a second, and checkpoints.
    fn log(commits: std::ops::Range<u64>, checkpoints: &[u64]) -> Vec<ObjectMeta> {
        let object = |name: String, second: u64| ObjectMeta {
            location: Location::from(format!("{LOG_DIR}/{name}")),
            last_modified: chrono::DateTime::from_timestamp(second as i64, 0).unwrap(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let json = commits.map(|version| object(format!("{version:020}.json"), version));
        let parquet = checkpoints
            .iter()
            .map(|version| object(format!("{version:020}.checkpoint.parquet"), *version));
        json.chain(parquet).chain([object("_last_checkpoint".into(), 0)]).collect()
    }

    fn gone(log: &[ObjectMeta], cutoff_s: i64) -> Vec<String> {
        let gone = superfluous(log, cutoff_s * 1_000, i64::MAX);
        let name = |location: &Location| {
            let name = location.filename().unwrap().trim_start_matches('0').to_string();
            name.replace(".checkpoint.parquet", "c").replace(".json", "")
        };
        gone.iter().map(name).collect()
    }

    #[test]
    fn what_the_kept_versions_are_read_from_stays() {
        let log = log(3..100, &[10, 20, 30, 40]);
        assert_eq!(gone(&log, 12), ["3", "4", "5", "6", "7", "8", "9", "20c"]);
        assert_eq!(gone(&log, 9), ["20c"], "version 9 is read from the commits since 3");
        let all: Vec<u64> = (3..40).collect();
        let names = gone(&log, 99);
        assert_eq!(names.iter().filter(|name| !name.ends_with('c')).count(), all.len());
        assert_eq!(names.iter().filter(|name| name.ends_with('c')).count(), 2, "10 and 20");
        assert_eq!(gone(&log, 1_000), names, "the newest state always stays");
    }

    #[test]
    fn a_log_without_checkpoints_is_kept_whole() {
        assert!(gone(&log(0..9, &[]), 100).is_empty());
    }

    /// Bug: of the checkpoints only the newest two stayed, so that none was there when the commits
    /// before it had become old, and no commit ever went. Cure: some between stay.
    #[test]
    fn a_log_that_is_cleaned_again_and_again_keeps_its_length() {
        let (mut first, mut checkpoints) = (0, Vec::new());
        for version in (10..2_000).step_by(10) {
            checkpoints.push(version);
            let log = log(first..version + 1, &checkpoints);
            let removed = superfluous(&log, (version as i64 - 100) * 1_000, 25_000);
            let removed: Vec<&str> = removed.iter().filter_map(Location::filename).collect();
            let is_gone = |name: String| removed.contains(&name.as_str());
            checkpoints.retain(|version| !is_gone(format!("{version:020}.checkpoint.parquet")));
            let of_commits = |version: &u64| is_gone(format!("{version:020}.json"));
            first = (first..=version).find(|version| !of_commits(version)).unwrap();
            assert!(checkpoints.len() <= 8, "{checkpoints:?}");
            assert!(version < 200 || (100..=140).contains(&(version - first)), "{first} {version}");
            assert!(first == 0 || checkpoints[0] == first, "{first} {checkpoints:?}");
        }
    }
}
