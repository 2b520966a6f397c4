//! Verification of a whole data directory: reads every frame of the log, every commit and
//! checkpoint of the Delta log, every byte and row of every data file, the idempotency keys and
//! the visitor sets, and checks each against what the others record of it.
//!
//! [`verify`] writes nothing and needs no lock, so it may run beside a server. [`repair`] locks the
//! directory while it runs. It only moves files to `quarantine/`, and only those that no
//! acknowledged event depends on. It does not restore events or drop damaged ones: that takes a
//! backup, or a person's decision.
//!
//! [`log`] has the checks of the write-ahead log, [`table`] those of the Delta log, whose commits
//! [`commits`] reads, [`files`] those of the data files, and [`sets`] those of the visitor sets.

mod commits;
mod files;
mod finding;
mod log;
mod place;
mod sets;
mod table;

pub use self::finding::{Finding, LogTotals, Progress, Report, SetTotals, TableTotals};

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use self::commits::Listed;
use self::log::Log;
use self::place::Place;
use self::table::Table;
use super::Lsn;
use super::directory;
use super::idempotency::files as key_files;
use super::vfs::{Lock, Vfs};
use super::wal::WAL_DIR;
use crate::event::EventSchema;
use crate::hour::Clock;
use crate::storage::error::{Error, Result};

/// Folder, relative to the data directory, to which a repair moves files.
const QUARANTINE_DIR: &str = "quarantine";

/// Number of attempts to read what a server that has just begun may be changing, before a
/// difference counts as damage.
const LOOKS: usize = 5;

/// Number of these attempts beside a running server, for five seconds at least: one that flushes
/// all the time releases log after log.
const LOOKS_BESIDE_SERVER: usize = 100;

/// Checks everything below `data_dir`.
///
/// # Errors
/// If there is no store, if it is of a newer version, or if it cannot be read at all. Damage is not
/// an error: it is in the report.
pub fn verify(
    data_dir: &Path,
    vfs: &Arc<dyn Vfs>,
    clock: &dyn Clock,
    progress: Progress<'_>,
) -> Result<Report> {
    let in_use = |data_dir: &Path| {
        let path = data_dir.join("lock");
        // The lock is taken only for an instant, and its file is never created.
        vfs.metadata(&path).is_ok()
            && vfs.lock(&path).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    let in_use = in_use(data_dir);
    let mut report = check(data_dir, vfs, clock, progress, in_use)?;
    report.in_use = in_use;
    if report.in_use {
        // What the server is writing looks like what a crash left behind.
        report.notes.clear();
    }
    Ok(report)
}

/// Checks only the log in `dir`, as if nothing had been flushed. For tests that feed it arbitrary
/// input. Returns the same errors as [`verify`].
pub fn verify_log(vfs: &dyn Vfs, dir: &Path) -> Result<Report> {
    let log = log::check(vfs, dir, &EventSchema::default(), dir, 0)?;
    Ok(Report { log: log.totals, damage: log.findings, notes: log.notes, ..Report::default() })
}

fn check(
    data_dir: &Path,
    vfs: &Arc<dyn Vfs>,
    clock: &dyn Clock,
    progress: Progress<'_>,
    in_use: bool,
) -> Result<Report> {
    let data_dir = std::path::absolute(data_dir).map_err(Error::io(data_dir, "find"))?;
    let mut report = Report::default();
    let meta = match directory::meta(&**vfs, &data_dir) {
        Ok(meta) => meta,
        Err(error @ Error::Damaged { .. }) => {
            let unknown = "it is unknown which events of the log are in the table, so nothing \
                else was checked";
            report.damage.push(Finding::of_error(error, &data_dir).means(unknown));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let place = Place::new(vfs, &data_dir, meta)?;
    let (mut table, log) = stable_look(&place, in_use)?;
    let checked = files::check(&place, &table.files, progress);
    report.damage.append(&mut table.findings);
    report.damage.extend(checked.findings);
    table.cross_check(&place.meta.node, &mut report);
    report.damage.extend(log.findings);
    let flushed = table.flushed.unwrap_or(Lsn::MAX);
    let keys = key_files::check(&**vfs, &data_dir, flushed, &table.key_files, || clock.now_us())?;
    let affects = "no stored event; without the file, requests repeated under its keys count twice";
    report.damage.extend(
        keys.damaged.into_iter().map(|error| Finding::of_error(error, &data_dir).means(affects)),
    );
    report.keys = keys.keys;
    let damaged: HashSet<&str> = report.damage.iter().map(|damage| &*damage.path).collect();
    let is_sound = |listed: &&Listed| !damaged.contains(listed.file.location.as_ref());
    let sound: Vec<&Listed> = table.files.iter().filter(is_sound).collect();
    let sets = sets::check(&place, &sound, in_use)?;
    report.damage.extend(sets.findings);
    report.sets = sets.totals;
    report.notes.extend(log.notes);
    if report.is_sound() {
        let logged = flushed.saturating_add(log.totals.events);
        report.notes.extend(table.leftovers(&place, logged)?);
    }
    if table.flushed.is_none() {
        let unread = Finding::new(
            WAL_DIR,
            "the log was not checked: it is unknown which of its events are in the table",
        );
        report.notes.push(unread.advice("Repair the table first, then check again"));
    }
    report.log = log.totals;
    report.table = TableTotals { rows: checked.rows, ..table.totals() };
    Ok(report)
}

/// Reads a consistent state of table and log. Retries if a finding may come from a server that
/// flushed meanwhile and released the log that was about to be read.
fn stable_look(place: &Place<'_>, in_use: bool) -> Result<(Table, Log)> {
    let data_dir = place.data_dir;
    let most = if in_use { LOOKS_BESIDE_SERVER } else { LOOKS };
    let mut looks = 0;
    loop {
        let table = Table::load(place)?;
        let log = match table.flushed {
            Some(flushed) => {
                let dir = data_dir.join(WAL_DIR);
                log::check(&**place.vfs, data_dir, &place.meta.schema, &dir, flushed)
            }
            None => Ok(Log::default()),
        };
        looks += 1;
        match log {
            Ok(log) if table.findings.is_empty() && log.findings.is_empty() => {
                return Ok((table, log));
            }
            log if looks == most => return Ok((table, log?)),
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// File moved by a repair; both paths are relative to the data directory.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    pub from: String,
    pub to: String,
    pub why: String,
}

/// Moves to quarantine what is damaged or left over and not needed, and checks again. Leftovers
/// stay if anything else is damaged: they may be what is missing.
///
/// # Errors
/// [`Error::Locked`] if a server is using the directory.
pub fn repair(
    data_dir: &Path,
    vfs: &Arc<dyn Vfs>,
    clock: &dyn Clock,
    progress: Progress<'_>,
) -> Result<(Vec<Moved>, Report)> {
    // Check for a store first, so that no lock file is left behind if there is none.
    match directory::meta(&**vfs, data_dir) {
        Ok(_) | Err(Error::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    let _lock: Box<dyn Lock> = directory::lock(&**vfs, data_dir)?;
    let started = chrono::DateTime::from_timestamp_micros(clock.now_us()).unwrap_or_default();
    let folder =
        PathBuf::from(QUARANTINE_DIR).join(started.format("%Y-%m-%dT%H-%M-%SZ").to_string());
    let mut moved: Vec<Moved> = Vec::new();
    loop {
        let report = check(data_dir, vfs, clock, progress, false)?;
        let findings = report.damage.iter().chain(&report.notes);
        let before = moved.len();
        for finding in findings.filter(|finding| finding.movable) {
            // A file may have several.
            if moved[before..].iter().any(|moved| moved.from == finding.path) {
                continue;
            }
            moved.push(quarantine(&**vfs, data_dir, &folder, finding)?);
        }
        if moved.len() == before {
            return Ok((moved, report));
        }
    }
}

/// Moves a file to `folder`, keeping its relative path.
fn quarantine(vfs: &dyn Vfs, data_dir: &Path, folder: &Path, finding: &Finding) -> Result<Moved> {
    let to = folder.join(&finding.path);
    let (source, target) = (data_dir.join(&finding.path), data_dir.join(&to));
    let folder = target.parent().expect("it lies below the data directory");
    vfs.create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    vfs.rename(&source, &target).map_err(Error::io(&source, "move to quarantine"))?;
    let new_folders = folder.ancestors().take_while(|folder| *folder != data_dir);
    for folder in new_folders.chain([data_dir, source.parent().unwrap_or(data_dir)]) {
        vfs.sync_dir(folder).map_err(Error::io(folder, "sync"))?;
    }
    Ok(Moved {
        from: finding.path.clone(),
        to: to.display().to_string(),
        why: finding.what.clone(),
    })
}
