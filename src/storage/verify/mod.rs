//! Reads a whole data directory and says whether it is what was written: every frame of the log,
//! every commit and checkpoint of the Delta log, every byte and row of every data file, the
//! idempotency keys, each against what the others say of it.
//!
//! [`verify`] writes nothing and needs no lock, so it may run beside a server. [`repair`] owns the
//! directory while it runs and only ever moves files to `quarantine/`, and only those that no
//! acknowledged event depends on. What it does not do: bring back events, or leave out damaged
//! ones; that takes a backup, or a person's decision.
//!
//! [`log`] has the checks of the write-ahead log, [`table`] those of the Delta log, of which
//! [`commits`] reads the commits, and [`files`] those of the data files.

mod commits;
mod files;
mod finding;
mod log;
mod table;

pub use self::finding::{Finding, LogTotals, Progress, Report, TableTotals};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use self::log::Log;
use self::table::Table;
use super::Lsn;
use super::directory;
use super::idempotency::files as key_files;
use super::store::VfsStore;
use super::vfs::{Lock, Vfs};
use super::wal::WAL_DIR;
use crate::error::{Error, Result};
use crate::hour::Clock;

/// Where repairs put what they move, below the data directory.
const QUARANTINE_DIR: &str = "quarantine";

/// Looks taken at what a running server may be changing, before it counts as damage.
const LOOKS: usize = 5;

/// Checks everything below `data_dir`.
///
/// # Errors
/// Where there is no store, a newer version's, or one that cannot be read at all. Damage is no
/// error: the report has it.
pub fn verify(
    data_dir: &Path,
    vfs: &Arc<dyn Vfs>,
    clock: &dyn Clock,
    progress: Progress<'_>,
) -> Result<Report> {
    let in_use = |data_dir: &Path| {
        let path = data_dir.join("lock");
        // Taken for an instant only, and never created.
        vfs.metadata(&path).is_ok()
            && vfs.lock(&path).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    let mut report = check(data_dir, vfs, clock, progress)?;
    report.in_use = in_use(data_dir);
    if report.in_use {
        // What is being written looks like what a crash left.
        report.notes.clear();
    }
    Ok(report)
}

/// Checks the log in `dir` alone, as one of which nothing was flushed. For tests that feed it
/// anything. Errors as [`verify`].
pub fn verify_log(vfs: &dyn Vfs, dir: &Path) -> Result<Report> {
    let log = log::check(vfs, dir, dir, 0)?;
    Ok(Report { log: log.totals, damage: log.findings, notes: log.notes, ..Report::default() })
}

fn check(
    data_dir: &Path,
    vfs: &Arc<dyn Vfs>,
    clock: &dyn Clock,
    progress: Progress<'_>,
) -> Result<Report> {
    let data_dir = std::path::absolute(data_dir).map_err(Error::io(data_dir, "find"))?;
    let mut report = Report::default();
    let node = match directory::meta(&**vfs, &data_dir, false) {
        Ok(meta) => meta.node,
        Err(error @ Error::Damaged { .. }) => {
            let unknown = "which events of the log are in the table cannot be told, so nothing else was checked";
            report.damage.push(Finding::of_error(error, &data_dir).means(unknown));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let store = VfsStore::new(vfs.clone(), &data_dir);
    let (mut table, log) = stable_look(&store, &node)?;
    let checked = files::check(&store, &table.files, progress);
    report.damage.append(&mut table.findings);
    report.damage.extend(checked.findings);
    table.cross_check(&node, &mut report);
    report.damage.extend(log.findings);
    let flushed = table.flushed.unwrap_or(Lsn::MAX);
    let keys = key_files::check(&**vfs, &data_dir, flushed, &table.key_files, || clock.now_us())?;
    let affects = "no event that is stored; without the file, requests that are sent again under its keys count twice";
    report.damage.extend(
        keys.damaged.into_iter().map(|error| Finding::of_error(error, &data_dir).means(affects)),
    );
    report.keys = keys.keys;
    report.notes.extend(log.notes);
    if report.is_sound() {
        report.notes.extend(table.leftovers(&store, &node)?);
    }
    if table.flushed.is_none() {
        let unread = Finding::new(
            WAL_DIR,
            "the log was not checked: which of its events are in the table cannot be told",
        );
        report.notes.push(unread.advice("Repair the table first, then check again"));
    }
    report.log = log.totals;
    report.table = TableTotals { rows: checked.rows, ..table.totals() };
    Ok(report)
}

/// The table and the log at one moment. A server may flush in between and release what was to be
/// read: then once more.
fn stable_look(store: &VfsStore, node: &str) -> Result<(Table, Log)> {
    let (vfs, data_dir) = store.vfs();
    let mut looks = 0;
    loop {
        let table = Table::load(store, node)?;
        let log = match table.flushed {
            Some(flushed) => log::check(&**vfs, data_dir, &data_dir.join(WAL_DIR), flushed),
            None => Ok(Log::default()),
        };
        looks += 1;
        match log {
            Ok(log) if table.findings.is_empty() && log.findings.is_empty() => {
                return Ok((table, log));
            }
            log if looks == LOOKS => return Ok((table, log?)),
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A file that a repair moved: from where to where, both below the data directory.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    pub from: String,
    pub to: String,
    pub why: String,
}

/// Moves to quarantine what is damaged or left over and needed by nobody, and checks again.
/// Leftovers stay where anything else is damaged: they may be what is missing.
///
/// # Errors
/// [`Error::Locked`] while a server runs on the directory.
pub fn repair(
    data_dir: &Path,
    vfs: &Arc<dyn Vfs>,
    clock: &dyn Clock,
    progress: Progress<'_>,
) -> Result<(Vec<Moved>, Report)> {
    // First a look: where there is no store, no lock is left behind.
    match directory::meta(&**vfs, data_dir, false) {
        Ok(_) | Err(Error::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    let _lock: Box<dyn Lock> = directory::lock(&**vfs, data_dir)?;
    let started = chrono::DateTime::from_timestamp_micros(clock.now_us()).unwrap_or_default();
    let folder =
        PathBuf::from(QUARANTINE_DIR).join(started.format("%Y-%m-%dT%H-%M-%SZ").to_string());
    let mut moved = Vec::new();
    loop {
        let report = check(data_dir, vfs, clock, progress)?;
        let findings = report.damage.iter().chain(&report.notes);
        let before = moved.len();
        for finding in findings.filter(|finding| finding.movable) {
            moved.push(quarantine(&**vfs, data_dir, &folder, finding)?);
        }
        if moved.len() == before {
            return Ok((moved, report));
        }
    }
}

/// Renames a file into `folder`, under the same relative path.
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
