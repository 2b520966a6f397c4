//! Checks of the Delta log. The log holds its state twice: a checkpoint sums up the commits before
//! it, and is what a start reads. If the commits go back to the first, they define the table here
//! and the data files are compared with them; a checkpoint that disagrees is only a wrong shortcut,
//! and is moved to quarantine. Otherwise the checkpoint counts.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use object_store::path::Path as Location;

use super::commits::{Commits, Listed};
use super::finding::{Finding, MOVE, RESTORE, Report, TableTotals, first_line};
use super::place::Place;
use crate::event::EventSchema;
use crate::hour::Hour;
use crate::storage::directory::{LOG_DIR, TABLE_DIR};
use crate::storage::error::{Error, Result};
use crate::storage::file_names::FileNames;
use crate::storage::idempotency::files::{KEYS_DIR, KeyFileRecord};
use crate::storage::lake::actions::DataFile;
use crate::storage::lake::history::{commit_name, version_of};
use crate::storage::lake::table::{Access, Lake};
use crate::storage::store;
use crate::storage::vfs::Entry;
use crate::storage::wal::Lsn;
use crate::text::thousands;

/// State of the table, and what is wrong with the log.
#[derive(Debug, Default)]
pub struct Table {
    /// Last LSN in the table, if known.
    pub flushed: Option<Lsn>,
    /// Data files, by hour.
    pub files: Vec<Listed>,
    /// Records of key files in the table.
    pub key_files: Vec<KeyFileRecord>,
    pub findings: Vec<Finding>,
    /// Rows that retention and erasure have removed.
    removed_rows: u64,
    /// Files that are no longer in the table and may still be there.
    tombstones: BTreeSet<Location>,
    commits: Commits,
    /// Name of the newest checkpoint.
    checkpoint: Option<String>,
    /// First difference between the checkpoint and the commits.
    disagreement: Option<String>,
}

impl Table {
    pub fn load(place: &Place<'_>) -> Result<Table> {
        let Place { vfs, data_dir, store, runtime, .. } = place;
        // The library reads first, so that the commits read after it are at least as new.
        let opened = runtime.block_on(async {
            let (lake, files) = Lake::open(store.clone(), &place.meta, Access::Read).await?;
            let (version, columns) = lake.version_and_columns()?;
            let tombstones = lake.tombstones().await?;
            Ok((version, columns, files, lake, tombstones))
        });
        let entries = match vfs.list(&data_dir.join(LOG_DIR)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(Error::io(LOG_DIR, "list"))?,
        };
        let mut table = Table::default();
        if entries.is_empty() {
            // The process was killed before it created the table: the next start creates it.
            table.flushed = Some(0);
            return Ok(table);
        }
        let through = opened.as_ref().map_or(u64::MAX, |(version, ..)| *version);
        (table.commits, table.findings) = Commits::read(place, &entries, through);
        table.look_at_checkpoints(place, &entries);
        match opened {
            Ok((_, columns, files, lake, tombstones)) => {
                let (flushed, key_files) = (lake.flushed(), lake.key_files());
                table.removed_rows = lake.removed_rows();
                table.tombstones =
                    tombstones.into_iter().map(|tombstone| tombstone.location).collect();
                let schema = &place.meta.schema;
                // A dimension's column is added by the first start after its declaration.
                let own = schema.table().fields().iter().filter(|field| !field.is_nullable());
                let mut expected = own.map(|field| field.name().as_str());
                if let Some(missing) =
                    expected.find(|name| !columns.iter().any(|column| column == name))
                {
                    let lacking = Finding::new(
                        LOG_DIR,
                        format!("the table's schema lacks the column {missing}"),
                    );
                    table.findings.push(lacking.advice("Restore events/_delta_log from a backup"));
                }
                let files = files
                    .iter()
                    .flat_map(|(hour, files)| files.files.iter().map(|file| (*hour, file.clone())));
                let files: Vec<Listed> =
                    files.map(|(hour, file)| table.listed(hour, file)).collect();
                if table.commits.complete {
                    table.disagreement = table.commits.disagreement(schema, &files, flushed);
                    table.take_commits(schema);
                    table.files.extend(
                        files
                            .into_iter()
                            .filter(|listed| table.commits.is_uncounted(schema, listed)),
                    );
                    table.files.sort_by_key(|listed| listed.hour);
                } else {
                    (table.flushed, table.files, table.key_files) =
                        (Some(flushed), files, key_files);
                }
            }
            Err(error) => {
                table.unreadable(error, data_dir);
                table.take_commits(&place.meta.schema);
            }
        }
        Ok(table)
    }

    /// Takes the table's state from the commits, as far as they exist.
    fn take_commits(&mut self, schema: &EventSchema) {
        self.flushed = self.commits.complete.then(|| self.commits.flushed.unwrap_or(0));
        self.files = self.commits.files(schema);
        self.key_files = self.commits.key_files();
    }

    /// Builds the entry of a file with the source from which the library read it: the checkpoint,
    /// or a commit after it.
    fn listed(&self, hour: Hour, file: Arc<DataFile>) -> Listed {
        let commit = self.commits.adds.get(&file.location);
        let at_checkpoint =
            self.checkpoint.as_deref().and_then(|name| version_of(name, ".checkpoint"));
        let source = match commit {
            Some((version, ..)) if at_checkpoint.is_none_or(|at| at < *version) => {
                commit_name(*version)
            }
            _ => {
                self.checkpoint.as_ref().map_or(LOG_DIR.into(), |name| format!("{LOG_DIR}/{name}"))
            }
        };
        let stats =
            commit.and_then(|(version, _, add)| Some((commit_name(*version), add.stats.clone()?)));
        Listed { hour, file, source, stats }
    }

    fn unreadable(&mut self, error: Error, data_dir: &Path) {
        if !self.findings.is_empty() {
            // The damaged commit has been reported already.
            return;
        }
        let starts = "the server does not start; the contents of the data files are not affected";
        let finding = match (&error, &self.checkpoint) {
            (Error::Damaged { .. } | Error::Io { .. }, _) => {
                Finding::of_error(error, data_dir).advice(RESTORE)
            }
            (_, Some(name)) => Finding::new(
                format!("{LOG_DIR}/{name}"),
                format!("cannot be read: {}", first_line(&error)),
            )
            .advice(if self.commits.complete { MOVE } else { RESTORE })
            .movable_if(self.commits.complete),
            (_, None) => {
                Finding::of_error(error, data_dir).advice("Restore events/_delta_log from a backup")
            }
        };
        self.findings.push(finding.means(starts));
    }

    /// Finds the newest checkpoint, and checks that `_last_checkpoint` names it.
    fn look_at_checkpoints(&mut self, place: &Place<'_>, entries: &[Entry]) {
        let names = entries.iter().map(|entry| &entry.name);
        self.checkpoint =
            names.filter(|name| version_of(name, ".checkpoint").is_some()).max().cloned();
        let location = Location::from(format!("{LOG_DIR}/_last_checkpoint"));
        let Ok(bytes) = place.runtime.block_on(store::read(&*place.store, &location)) else {
            return;
        };
        let hint = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
        let version = hint.and_then(|hint| hint.get("version")?.as_u64());
        let newest = self.checkpoint.as_deref().and_then(|name| version_of(name, ".checkpoint"));
        let what = match (version, newest) {
            (None, _) => "names no version".to_string(),
            (Some(version), Some(newest)) if version == newest => return,
            (Some(version), Some(newest)) => {
                format!("names version {version}, but the newest checkpoint is {newest}")
            }
            (Some(version), None) => format!("names version {version}, but there is no checkpoint"),
        };
        let means = "no event: it only says where to begin reading the Delta log";
        self.findings.push(Finding::new(location, what).means(means).advice(MOVE).movable_if(true));
    }

    pub fn totals(&self) -> TableTotals {
        let mut hours: Vec<Hour> = self.files.iter().map(|listed| listed.hour).collect();
        hours.dedup();
        TableTotals {
            commits: self.commits.versions.len() as u64,
            flushed_lsn: self.flushed.unwrap_or(0),
            hours: hours.len() as u64,
            files: self.files.len() as u64,
            rows: 0,
            bytes: self.files.iter().map(|listed| listed.file.bytes).sum(),
        }
    }

    /// Compares the commits with the checkpoint, and the number of rows with the LSNs, if
    /// everything else is sound: any damage found so far would explain a difference.
    pub fn cross_check(&self, node: &str, report: &mut Report) {
        if let Some(what) = &self.disagreement {
            let path =
                self.checkpoint.as_ref().map_or(LOG_DIR.into(), |name| format!("{LOG_DIR}/{name}"));
            let finding = Finding::new(path, what);
            if report.is_sound() {
                let means = "answers are wrong while it is there; no event is lost";
                report
                    .damage
                    .push(finding.means(means).advice(MOVE).movable_if(self.checkpoint.is_some()));
            } else {
                report.notes.push(
                    finding
                        .means("either it or the commits are wrong; the damage found shows which"),
                )
            }
        }
        let is_known =
            |flushed: &Lsn| report.is_sound() && (*flushed == 0 || !self.commits.foreign);
        let Some(flushed) = self.flushed.filter(is_known) else {
            return;
        };
        let Some(finding) = self.unaccounted(node, flushed) else { return };
        // Without the first commits it is unknown whether another engine has removed rows.
        if self.commits.complete {
            report
                .damage
                .push(finding.means("events are missing from the table, or are in it twice"))
        } else {
            report.notes.push(
                finding
                    .means("nothing, if another engine removed rows; otherwise some are missing"),
            )
        }
    }

    /// Checks that every LSN up to the last flushed is one row, in the table or removed from it.
    /// Skipped if other engines write to the table, too.
    fn unaccounted(&self, node: &str, flushed: Lsn) -> Option<Finding> {
        let finding = |path: &str, what| {
            Finding::new(path, what)
                .advice("Restore hourglass.json, events/_delta_log and wal from one backup")
        };
        if flushed == 0 && self.files.iter().any(|listed| listed.file.checksum.is_some()) {
            let what = format!(
                "names the node {node}, but the table has files and no transaction of this node"
            );
            return Some(finding("hourglass.json", what));
        }
        if self.files.iter().any(|listed| listed.file.checksum.is_none()) {
            return None;
        }
        let rows: u64 = self.files.iter().map(|listed| listed.file.rollup.rows()).sum();
        if rows + self.removed_rows == flushed {
            return None;
        }
        let (has, says) = (thousands(rows), thousands(flushed));
        let removed = match self.removed_rows {
            0 => String::new(),
            removed => format!(" and {} were removed", thousands(removed)),
        };
        let what = format!(
            "the table's files have {has} rows{removed}, but the table records the LSN {says} as \
             the last, and each is one row"
        );
        Some(finding(LOG_DIR, what))
    }

    /// Finds the files of unfinished flushes and writes, in a store where nothing is missing.
    /// Whether the cause was a crash or a full disk cannot be told. `logged` is the last LSN that
    /// the table or the log has.
    pub fn leftovers(&self, place: &Place<'_>, logged: Lsn) -> Result<Vec<Finding>> {
        let Place { vfs, data_dir, .. } = place;
        let named: BTreeSet<&Location> =
            self.files.iter().map(|listed| &listed.file.location).collect();
        let names = FileNames::new(&place.meta.node);
        let mut folders =
            vec![Location::default(), Location::from(KEYS_DIR), Location::from(TABLE_DIR)];
        let mut leftovers = Vec::new();
        while let Some(folder) = folders.pop() {
            let path = data_dir.join(folder.as_ref());
            let entries = match vfs.list(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::io(&path, "list"))?,
            };
            for Entry { name, meta } in entries {
                let location = folder.clone().join(name.as_str());
                let is_known = named.contains(&location)
                    || self.tombstones.contains(&location)
                    || self.commits.removed.contains(&location);
                let orphan = names.first_lsn(&location).filter(|_| !is_known);
                if meta.is_dir && folder.as_ref().starts_with(TABLE_DIR) {
                    folders.push(location);
                } else if name.ends_with(".tmp") {
                    let left = Finding::new(
                        location,
                        "a temporary file of a write that a crash or a full disk interrupted",
                    );
                    leftovers.push(left.means("nothing").advice(MOVE).movable_if(true));
                } else if names.is_merged(&location) && !is_known {
                    let left = Finding::new(
                        location,
                        "a file of an interrupted compaction: the table does not list it",
                    );
                    let means = "nothing: the files that were merged are in the table";
                    leftovers.push(left.means(means).advice(MOVE).movable_if(true));
                } else if let Some(first) = orphan.filter(|first| *first > logged) {
                    let left = Finding::new(
                        location,
                        "a data file that the table does not list, with events that the log does \
                        not have",
                    );
                    let means = format!("the events from LSN {first} on are in this file alone");
                    leftovers.push(left.means(means).advice(
                        "Restore events/_delta_log and wal from one backup; keep this file",
                    ));
                } else if orphan.is_some() {
                    let left = Finding::new(
                        location,
                        "a data file of an interrupted flush: the table does not list it",
                    );
                    let means =
                        "nothing: the log has its events, and the next flush writes them again";
                    leftovers
                        .push(left.means(means).advice(MOVE).movable_if(self.commits.complete));
                }
            }
        }
        Ok(leftovers)
    }
}
