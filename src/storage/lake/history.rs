//! Earlier versions of the Delta table, read from its log.
//!
//! The log is `events/_delta_log/`: a commit `{version:020}.json` for each version, and checkpoints
//! `{version:020}.checkpoint.parquet` with the whole state at a version. A version can be read if
//! the commits go back from it to the first, or to a checkpoint. Log clean-up removes old commits
//! and checkpoints, and so moves the oldest version that can be read.
//!
//! The time of a version is the one in its commit, in milliseconds since the epoch. It comes from
//! the clock of the engine that wrote it, so it may step back; of several versions at or before an
//! instant, the last one counts.
//!
//! This module never writes, and does not know whether the data files of a version still exist.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat};
use deltalake_core::kernel::{Action, CommitInfo, Snapshot as LogSnapshot};
use object_store::path::Path as Location;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::actions::read_actions;
use super::index::FileIndex;
use super::table::{read_index, table_in};
use crate::event::{EventSchema, parse_time, shown};
use crate::storage::directory::LOG_DIR;
use crate::storage::error::{Error, Result};
use crate::storage::store::is_missing;

/// Bytes at the start of a commit that are searched for its time, before all of it is read: most
/// engines write that line first.
const HEAD_BYTES: u64 = 4 << 10;

/// Number of times that a version is read before an error counts.
const ATTEMPTS: usize = 3;

/// Version of the table that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    Version(u64),
    /// The last version committed at or before this instant, in microseconds since the epoch.
    Time(i64),
}

impl AsOf {
    /// Parses a version, or a time that [`parse_time`] reads; digits alone are a version.
    ///
    /// # Errors
    /// [`Error::AsOf`] if the text is neither.
    pub fn parse(text: &str) -> Result<AsOf> {
        if let Ok(version) = text.parse() {
            return Ok(AsOf::Version(version));
        }
        let is_number = text.parse::<f64>().is_ok();
        match parse_time(text) {
            Ok(us) if !is_number => Ok(AsOf::Time(us)),
            _ => Err(Error::AsOf(format!(
                "{} is neither a version nor a time: write a version such as 12 \
                 (system.commits lists them), or a time such as 2026-11-25, 2026-11-25 10:00 or \
                 2026-11-25T10:00:00+01:00",
                shown(text)
            ))),
        }
    }
}

pub fn commit_name(version: u64) -> String {
    format!("{LOG_DIR}/{version:020}.json")
}

/// Returns the version in the name of a commit (`.json`) or checkpoint (`.checkpoint.parquet`, or
/// one of several parts).
pub fn version_of(name: &str, kind: &str) -> Option<u64> {
    let (version, rest) = name.split_at_checked(20)?;
    version.parse().ok().filter(|_| rest.starts_with(kind))
}

/// Versions in the log.
#[derive(Debug, Default)]
pub struct Versions {
    /// Commits, by version.
    pub commits: BTreeMap<u64, ObjectMeta>,
    checkpoints: BTreeSet<u64>,
}

impl Versions {
    fn of(objects: Vec<ObjectMeta>) -> Versions {
        let mut versions = Versions::default();
        for object in objects {
            let name = object.location.filename().unwrap_or_default();
            if let Some(version) = version_of(name, ".checkpoint") {
                versions.checkpoints.insert(version);
            } else if let Some(version) = version_of(name, ".json") {
                versions.commits.insert(version, object);
            }
        }
        versions
    }

    fn newest(&self) -> Option<u64> {
        self.commits.keys().chain(&self.checkpoints).max().copied()
    }

    /// Returns the oldest version that can be read.
    fn oldest(&self) -> Option<u64> {
        match self.commits.keys().next() {
            Some(0) => Some(0),
            Some(first) => self.checkpoints.range(first - 1..).next().copied(),
            None => self.checkpoints.last().copied(),
        }
    }
}

/// Reader of the table's earlier versions.
#[derive(Debug)]
pub struct TableHistory {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) schema: EventSchema,
    /// Times of the commits read so far, in milliseconds since the epoch; a commit never changes. A
    /// mutex held to look up or insert a time, never while a commit is read.
    times: Mutex<BTreeMap<u64, i64>>,
}

impl TableHistory {
    pub fn new(store: Arc<dyn ObjectStore>, schema: EventSchema) -> TableHistory {
        TableHistory { store, schema, times: Mutex::default() }
    }

    /// Returns the store of the table.
    pub fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Lists the log.
    pub(super) async fn versions(&self) -> Result<Versions> {
        let listed = self.store.list_with_delimiter(Some(&Location::from(LOG_DIR))).await?;
        Ok(Versions::of(listed.objects))
    }

    /// Returns the version that is meant.
    ///
    /// # Errors
    /// [`Error::AsOf`] if there is none, or if it can no longer be read.
    pub async fn version(&self, as_of: AsOf) -> Result<u64> {
        let versions = self.versions().await?;
        let version = match as_of {
            AsOf::Version(version) => version,
            AsOf::Time(us) => match self.last_until(&versions, us).await? {
                Some(version) => version,
                None => {
                    let reason = format!("no commit of the log is as old as {}", instant(us));
                    return Err(self.too_old(&versions, reason).await);
                }
            },
        };
        if let Some(newest) = versions.newest().filter(|newest| version > *newest) {
            let newest = self.named(&versions, newest).await;
            return Err(Error::AsOf(format!(
                "version {version} is newer than the newest, {newest}: write that one or an \
                 earlier one (system.commits lists them)"
            )));
        }
        if versions.oldest().is_some_and(|oldest| version < oldest) {
            let reason =
                format!("version {version} can no longer be read: log clean-up removed it");
            return Err(self.too_old(&versions, reason).await);
        }
        Ok(version)
    }

    /// Reads the files of a version.
    ///
    /// # Errors
    /// [`Error::AsOf`] if the version can no longer be read.
    pub async fn files(&self, version: u64) -> Result<FileIndex> {
        let mut attempts = 0;
        loop {
            let error = match self.read(version).await {
                Err(Error::Io { path, source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Err(file_is_gone(version, &path.display()));
                }
                Err(error) => error,
                files => return files,
            };
            // Log clean-up may have removed the version meanwhile, or only what it was read from.
            self.version(AsOf::Version(version)).await?;
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(error);
            }
        }
    }

    async fn read(&self, version: u64) -> Result<FileIndex> {
        // A handle is bound to the runtime that it first runs on, so that each reading has its own.
        let log_store = table_in(self.store.clone())?.log_store();
        let snapshot = LogSnapshot::try_new(&*log_store, Some(version)).await?;
        read_index(&snapshot, &*log_store, &*self.store, &self.schema, |_, _| {}).await
    }

    /// Returns the last version committed at or before an instant.
    async fn last_until(&self, versions: &Versions, us: i64) -> Result<Option<u64>> {
        for (version, commit) in versions.commits.iter().rev() {
            let committed_ms = self.committed_ms(*version, commit).await?;
            if committed_ms.is_some_and(|ms| ms.saturating_mul(1_000) <= us) {
                return Ok(Some(*version));
            }
        }
        Ok(None)
    }

    /// Returns the time of a commit in milliseconds since the epoch; `None` if it has been removed.
    async fn committed_ms(&self, version: u64, commit: &ObjectMeta) -> Result<Option<i64>> {
        let known = || self.times.lock().expect("no panic under this lock");
        if let Some(ms) = known().get(&version).copied() {
            return Ok(Some(ms));
        }
        let ms = match self.read_time(commit).await {
            Err(error) if is_missing(&error) => return Ok(None),
            time => time?,
        };
        known().insert(version, ms);
        Ok(Some(ms))
    }

    async fn read_time(&self, commit: &ObjectMeta) -> Result<i64> {
        let head = self.store.get_range(&commit.location, 0..HEAD_BYTES.min(commit.size)).await?;
        let lines =
            head.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let mut actions = lines.map_while(|line| serde_json::from_slice::<Action>(line).ok());
        let in_head = actions.find_map(|action| time_of(&action));
        if let Some(ms) = in_head {
            return Ok(ms);
        }
        let actions = read_actions(&*self.store, &commit.location).await?;
        Ok(committed_ms(&actions, commit))
    }

    async fn too_old(&self, versions: &Versions, reason: String) -> Error {
        let Some(oldest) = versions.oldest() else { return Error::AsOf(reason) };
        let oldest = self.named(versions, oldest).await;
        Error::AsOf(format!("{reason}; the oldest version that can be read is {oldest}"))
    }

    /// Returns a version with its time, for a message.
    async fn named(&self, versions: &Versions, version: u64) -> String {
        let committed_ms = match versions.commits.get(&version) {
            Some(commit) => self.committed_ms(version, commit).await.ok().flatten(),
            None => None,
        };
        match committed_ms {
            Some(ms) => format!("{version} of {}", instant(ms.saturating_mul(1_000))),
            None => version.to_string(),
        }
    }
}

/// Returns the time of a commit in milliseconds since the epoch. A commit of an engine that records
/// none has the time of its file, as the Delta protocol says.
pub(super) fn committed_ms(actions: &[Action], commit: &ObjectMeta) -> i64 {
    let recorded = actions.iter().find_map(time_of);
    recorded.unwrap_or_else(|| commit.last_modified.timestamp_millis())
}

fn time_of(action: &Action) -> Option<i64> {
    match action {
        Action::CommitInfo(CommitInfo { timestamp, in_commit_timestamp, .. }) => {
            timestamp.or(*in_commit_timestamp)
        }
        _ => None,
    }
}

/// Returns the error of a version that has a data file which no longer exists.
pub fn file_is_gone(version: u64, location: &dyn std::fmt::Display) -> Error {
    Error::AsOf(format!(
        "version {version} can no longer be read: its data file {location} has been replaced \
         since, and removed; write a later version (system.commits lists them)"
    ))
}

/// Formats an instant in microseconds since the epoch.
fn instant(us: i64) -> String {
    DateTime::from_timestamp_micros(us)
        .map_or_else(|| us.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_version_and_what_people_write_is_a_time() {
        let ten = 1_795_687_200_000_000;
        assert_eq!(AsOf::parse("12").unwrap(), AsOf::Version(12));
        for text in [
            "2026-11-26T10:00:00Z",
            "2026-11-26 10:00",
            "2026-11-26T10:00:00",
            "2026-11-26 11:00:00+01",
            "2026-11-26T05:00:00.000-05:00",
        ] {
            assert_eq!(AsOf::parse(text).unwrap(), AsOf::Time(ten), "{text}");
        }
        assert_eq!(AsOf::parse("2026-11-26").unwrap(), AsOf::Time(ten - 36_000_000_000));
        for text in
            ["yesterday", "", "-1", "12.0", "1e3", "2026-02-30", "2026-11", "v12", "1900-01-01"]
        {
            let error = AsOf::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("as_of: ") && error.contains("neither"), "{text}: {error}");
        }
    }

    fn versions(names: &[&str]) -> (Option<u64>, Option<u64>) {
        let object = |name: &&str| ObjectMeta {
            location: Location::from(format!("{LOG_DIR}/{name}")),
            last_modified: DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        };
        let versions = Versions::of(names.iter().map(object).collect());
        (versions.oldest(), versions.newest())
    }

    #[test]
    fn a_version_can_be_read_from_the_first_commit_or_a_checkpoint_on() {
        let commit = |version: u64| format!("{version:020}.json");
        let checkpoint = |version: u64| format!("{version:020}.checkpoint.parquet");
        let of = |commits: std::ops::Range<u64>, checkpoints: &[u64]| {
            let names: Vec<String> =
                commits.map(commit).chain(checkpoints.iter().copied().map(checkpoint)).collect();
            versions(&names.iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert_eq!(of(0..8, &[5]), (Some(0), Some(7)));
        assert_eq!(of(3..8, &[5]), (Some(5), Some(7)));
        assert_eq!(of(6..8, &[5]), (Some(5), Some(7)));
        assert_eq!(of(6..8, &[2, 5, 7]), (Some(5), Some(7)));
        assert_eq!(of(0..0, &[2, 5]), (Some(5), Some(5)));
        assert_eq!(of(6..8, &[]), (None, Some(7)));
        assert_eq!(versions(&["_last_checkpoint", ".tmp"]), (None, None));
    }
}
