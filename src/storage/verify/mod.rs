//! Reads a whole data directory and says whether it is what was written: every frame of the log, every commit and
//! checkpoint of the Delta log, every byte and row of every data file, the idempotency keys, each against what the others say of it.
//!
//! [`verify`] writes nothing and needs no lock, so it may run beside a server. [`repair`] owns the directory while it runs
//! and only ever moves files aside, and only those that no acknowledged event depends on. What it does not do: bring back
//! events, or leave out damaged ones; that takes a backup, or a person's decision.
//!
//! [`log`] has the checks of the write-ahead log, [`table`] those of the Delta log, of which [`commits`] reads the commits, and
//! [`files`] those of the data files.

mod commits;
mod files;
mod log;
mod table;

use std::fmt;
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
use super::key_files;
use super::lake;
use super::object::VfsStore;
use super::vfs::{Lock, Vfs};
use super::wal::WAL_DIR;
use crate::error::{Error, Result};
use crate::hour::Clock;

/// Where repairs put what they move, below the data directory.
const ASIDE_DIR: &str = "aside";

/// Looks taken at what a running server may be changing, before it counts as damage.
const LOOKS: usize = 5;

const RESTORE: &str = "Restore the file from a backup";
const MOVE: &str = "`hourglass verify --repair` moves it aside";

/// Called with the files checked so far, and how many there are.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Something that is not as it was written, or not needed.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Below the data directory.
    pub path: String,
    /// The byte at which it begins, where that is known.
    pub offset: Option<u64>,
    pub what: String,
    /// Which acknowledged events it touches.
    pub means: String,
    /// What to do about it.
    pub advice: String,
    /// Whether a repair moves the file aside: nothing depends on it.
    pub movable: bool,
}

impl Finding {
    fn new(path: impl fmt::Display, what: impl Into<String>) -> Finding {
        let (means, advice) = Default::default();
        Finding { path: path.to_string(), offset: None, what: what.into(), means, advice, movable: false }
    }

    fn at(self, offset: u64) -> Finding {
        Finding { offset: Some(offset), ..self }
    }

    fn means(self, means: impl Into<String>) -> Finding {
        Finding { means: means.into(), ..self }
    }

    fn advice(self, advice: impl Into<String>) -> Finding {
        Finding { advice: advice.into(), ..self }
    }

    fn movable_if(self, movable: bool) -> Finding {
        Finding { movable, ..self }
    }

    /// What stopped a check, with its path below the data directory where it has one.
    fn of_error(error: Error, data_dir: &Path) -> Finding {
        let below = |path: &Path| path.strip_prefix(data_dir).unwrap_or(path).display().to_string();
        match error {
            Error::Damaged { path, offset, reason, advice } => {
                Finding::new(below(&path), reason).at(offset).advice(advice)
            }
            Error::Io { path, action, source } => Finding::new(below(&path), format!("{action}: {source}")),
            other => Finding::new(lake::LOG_DIR, first_line(&other)),
        }
    }
}

/// The Delta library adds a backtrace to its errors where the environment asks for one.
fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().into()
}

/// What a look at everything found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether a server runs on the directory: what it was writing is no damage.
    pub in_use: bool,
    pub log: LogTotals,
    pub table: TableTotals,
    /// Idempotency keys of flushed requests.
    pub keys: u64,
    pub damage: Vec<Finding>,
    /// What is harmless, but worth a word.
    pub notes: Vec<Finding>,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// What the write-ahead log holds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LogTotals {
    pub segments: u64,
    pub frames: u64,
    /// Intact events that are not in the table yet.
    pub events: u64,
    pub bytes: u64,
}

/// What the table holds; rows are those that were read.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TableTotals {
    pub commits: u64,
    pub flushed_lsn: u64,
    pub hours: u64,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// Checks everything below `data_dir`.
///
/// # Errors
/// Where there is no store, a newer version's, or one that cannot be read at all. Damage is no error: the report has it.
pub fn verify(data_dir: &Path, vfs: &Arc<dyn Vfs>, clock: &dyn Clock, progress: Progress<'_>) -> Result<Report> {
    let in_use = |data_dir: &Path| {
        let path = data_dir.join("lock");
        // Taken for an instant only, and never created.
        vfs.metadata(&path).is_ok() && vfs.lock(&path).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    let mut report = check(data_dir, vfs, clock, progress)?;
    report.in_use = in_use(data_dir);
    if report.in_use {
        // What is being written looks like what a crash left.
        report.notes.clear();
    }
    Ok(report)
}

/// Checks the log in `dir` alone, as one of which nothing was flushed. For tests that feed it anything. Errors as [`verify`].
pub fn verify_log(vfs: &dyn Vfs, dir: &Path) -> Result<Report> {
    let log = log::check(vfs, dir, dir, 0)?;
    Ok(Report { log: log.totals, damage: log.findings, notes: log.notes, ..Report::default() })
}

fn check(data_dir: &Path, vfs: &Arc<dyn Vfs>, clock: &dyn Clock, progress: Progress<'_>) -> Result<Report> {
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
    let checked = files::check(&store, &table.files, table.disputed.is_empty(), progress);
    report.damage.append(&mut table.findings);
    report.damage.extend(checked.findings);
    table.cross_check(&store, &node, &mut report);
    report.damage.extend(log.findings);
    let flushed = table.flushed.unwrap_or(Lsn::MAX);
    let keys = key_files::check(&**vfs, &data_dir, flushed, &table.key_files, || clock.now_us())?;
    let affects = "no event that is stored; without the file, requests that are sent again under its keys count twice";
    report.damage.extend(keys.damaged.into_iter().map(|error| Finding::of_error(error, &data_dir).means(affects)));
    report.keys = keys.keys;
    report.notes.extend(log.notes);
    if report.is_sound() {
        report.notes.extend(table.leftovers(&store, &node)?);
    }
    if table.flushed.is_none() {
        let unread =
            Finding::new(WAL_DIR, "the log was not checked: which of its events are in the table cannot be told");
        report.notes.push(unread.advice("Repair the table first, then check again"));
    }
    report.log = log.totals;
    report.table = TableTotals { rows: checked.rows, ..table.totals() };
    Ok(report)
}

/// The table and the log at one moment. A server may flush in between and release what was to be read: then once more.
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
            Ok(log) if table.findings.is_empty() && log.findings.is_empty() => return Ok((table, log)),
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

/// Moves aside what is damaged or left over and needed by nobody, and checks again. Leftovers stay where anything else is
/// damaged: they may be what is missing.
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
    let aside = PathBuf::from(ASIDE_DIR).join(started.format("%Y-%m-%dT%H-%M-%SZ").to_string());
    let mut moved = Vec::new();
    loop {
        let report = check(data_dir, vfs, clock, progress)?;
        let findings = report.damage.iter().chain(&report.notes);
        let before = moved.len();
        for finding in findings.filter(|finding| finding.movable) {
            moved.push(move_aside(&**vfs, data_dir, &aside, finding)?);
        }
        if moved.len() == before {
            return Ok((moved, report));
        }
    }
}

/// Renames a file into `aside`, under the same relative path.
fn move_aside(vfs: &dyn Vfs, data_dir: &Path, aside: &Path, finding: &Finding) -> Result<Moved> {
    let to = aside.join(&finding.path);
    let (source, target) = (data_dir.join(&finding.path), data_dir.join(&to));
    let folder = target.parent().expect("it lies below the data directory");
    vfs.create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    vfs.rename(&source, &target).map_err(Error::io(&source, "move aside"))?;
    let new_folders = folder.ancestors().take_while(|folder| *folder != data_dir);
    for folder in new_folders.chain([data_dir, source.parent().unwrap_or(data_dir)]) {
        vfs.sync_dir(folder).map_err(Error::io(folder, "sync"))?;
    }
    Ok(Moved { from: finding.path.clone(), to: to.display().to_string(), why: finding.what.clone() })
}
