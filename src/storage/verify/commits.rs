//! Reader of the Delta log's commits, one by one, without the library and its checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltalake_core::kernel::{Action, Add};
use object_store::path::Path as Location;

use super::finding::{Finding, RESTORE};
use super::place::Place;
use crate::event::EventSchema;
use crate::hour::Hour;
use crate::storage::directory::TABLE_DIR;
use crate::storage::error::{Error, Result};
use crate::storage::idempotency::files::KeyFileRecord;
use crate::storage::lake::actions::{self as lake, DataFile};
use crate::storage::lake::history::{commit_name, version_of};
use crate::storage::vfs::Entry;
use crate::storage::wal::Lsn;

/// Data file listed by the table.
#[derive(Clone, Debug)]
pub struct Listed {
    pub hour: Hour,
    pub file: Arc<DataFile>,
    /// Commit or checkpoint that lists the file.
    pub source: String,
    /// Commit, and its statistics of the file for other engines as JSON.
    pub stats: Option<(String, String)>,
}

/// Contents of the commits still present in the log.
#[derive(Debug, Default)]
pub struct Commits {
    /// Ascending.
    pub versions: Vec<u64>,
    /// Files in the table after the last commit, with the version of the commit that added them.
    pub adds: BTreeMap<Location, (u64, Hour, Add)>,
    /// Files that were removed from the table: time travel may still need them.
    pub removed: BTreeSet<Location>,
    pub flushed: Option<Lsn>,
    /// Whether another engine has added or removed files.
    pub foreign: bool,
    /// Whether the commits go back to the first, so that no checkpoint is needed.
    pub complete: bool,
}

impl Commits {
    /// Reads the commits among the log's `entries` up to the version `through`. Returns them with
    /// what is wrong with them.
    pub fn read(place: &Place<'_>, entries: &[Entry], through: u64) -> (Commits, Vec<Finding>) {
        let (mut commits, mut findings) = (Commits::default(), Vec::new());
        let versions = entries.iter().filter_map(|entry| version_of(&entry.name, ".json"));
        commits.versions = versions.filter(|version| *version <= through).collect();
        commits.drop_superfluous(entries);
        let first = commits.versions.first().copied().unwrap_or(0);
        let missing = (first..).zip(&commits.versions).find(|(due, version)| due != *version);
        if let Some((due, _)) = missing {
            let gap = Finding::new(commit_name(due), "the commit is missing, but later ones exist");
            findings.push(
                gap.means("the files it added may be missing from the table").advice(RESTORE),
            );
        }
        let mut whole = missing.is_none();
        for version in commits.versions.clone() {
            let actions = place
                .runtime
                .block_on(lake::read_actions(&*place.store, &Location::from(commit_name(version))));
            let applied =
                actions.and_then(|actions| commits.apply(version, &place.meta.node, actions));
            if let Err(error) = applied {
                whole = false;
                let means = "the server does not start, unless a later checkpoint covers this \
                    commit; the data files it added are not affected";
                findings
                    .push(Finding::of_error(error, place.data_dir).means(means).advice(RESTORE));
            }
        }
        commits.complete = whole && first == 0 && !commits.versions.is_empty();
        (commits, findings)
    }

    /// Drops the commits that an interrupted clean-up of the log has left: those before a gap that
    /// a checkpoint covers.
    fn drop_superfluous(&mut self, entries: &[Entry]) {
        let checkpoints = entries.iter().filter_map(|entry| version_of(&entry.name, ".checkpoint"));
        let Some(newest) = checkpoints.max() else { return };
        let gap = |two: &[u64]| two[1] > two[0] + 1 && two[1] <= newest + 1;
        if let Some(last) = self.versions.windows(2).rposition(gap) {
            self.versions.drain(..=last);
        }
    }

    /// Returns the files in the table, by hour. Files of other engines have no counters to check,
    /// and are left out.
    pub fn files(&self, schema: &EventSchema) -> Vec<Listed> {
        let mut files: Vec<Listed> = Vec::new();
        for (location, (version, hour, add)) in &self.adds {
            let Some(file) = DataFile::of_tags(schema, add, location) else { continue };
            let source = commit_name(*version);
            let stats = add.stats.clone().map(|stats| (source.clone(), stats));
            files.push(Listed { hour: *hour, file: Arc::new(file), source, stats });
        }
        files.sort_by_key(|listed| listed.hour);
        files
    }

    /// Reports whether a file is in the table according to the commits but has no counters to
    /// check, as another engine wrote it.
    pub fn is_uncounted(&self, schema: &EventSchema, listed: &Listed) -> bool {
        self.adds.get(&listed.file.location).is_some_and(|(_, _, add)| {
            DataFile::of_tags(schema, add, &listed.file.location).is_none()
        })
    }

    /// Returns the records of key files in the commits.
    pub fn key_files(&self) -> Vec<KeyFileRecord> {
        self.adds.values().flat_map(|(_, _, add)| lake::key_files_of(add)).collect()
    }

    /// Describes the first difference between these commits and a checkpoint's state; `None` if
    /// they agree.
    pub fn disagreement(
        &self,
        schema: &EventSchema,
        files: &[Listed],
        flushed: Lsn,
    ) -> Option<String> {
        let by_commits = self.flushed.unwrap_or(0);
        if by_commits != flushed {
            return Some(format!(
                "says that LSN {flushed} is the last in the table, but the commits say {by_commits}"
            ));
        }
        let mut ours: BTreeMap<Location, Listed> = self
            .files(schema)
            .into_iter()
            .map(|listed| (listed.file.location.clone(), listed))
            .collect();
        for listed in files.iter().filter(|listed| !self.is_uncounted(schema, listed)) {
            let location = &listed.file.location;
            match ours.remove(location) {
                None => return Some(format!("lists {location}, which no commit adds")),
                Some(other) if (other.hour, &other.file) != (listed.hour, &listed.file) => {
                    return Some(format!("describes {location} differently from the commits"));
                }
                Some(_) => {}
            }
        }
        ours.into_keys().next().map(|location| format!("leaves out {location}"))
    }

    fn apply(&mut self, version: u64, node: &str, actions: Vec<Action>) -> Result<()> {
        let fence = format!("{node}/fence");
        let is_ours = |action: &Action| matches!(action, Action::Txn(txn) if [node, &fence].contains(&txn.app_id.as_str()));
        let has_files = |action: &Action| matches!(action, Action::Add(_) | Action::Remove(_));
        self.foreign |= actions.iter().any(has_files) && !actions.iter().any(is_ours);
        for action in actions {
            match action {
                Action::Add(add) => {
                    let (location, hour) =
                        lake::placed(&add).map_err(|error| unusable(version, error))?;
                    self.adds.insert(location, (version, hour, add));
                }
                Action::Remove(remove) => {
                    let location = Location::from_url_path(format!("{TABLE_DIR}/{}", remove.path));
                    let location = location.map_err(|error| unusable(version, error))?;
                    self.adds.remove(&location);
                    self.removed.insert(location);
                }
                Action::Txn(txn) if txn.app_id == node => self.flushed = Some(txn.version as Lsn),
                _ => {}
            }
        }
        Ok(())
    }
}

fn unusable(version: u64, error: impl ToString) -> Error {
    Error::Damaged {
        path: commit_name(version).into(),
        offset: 0,
        reason: error.to_string(),
        advice: RESTORE,
    }
}
