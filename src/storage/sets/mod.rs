//! Visitor sets: which users each hour had, for each kind of event, so that the distinct users of
//! any range are the size of a union of bitmaps.
//!
//! Every user has a code: a slot in the upper half of 64 bits, and a number within the slot in the
//! lower. There is one slot today; a user belongs to it for ever, and a code is never used for
//! another user. [`names`] is the index from names to codes. A set is a
//! [`roaring::RoaringTreemap`] of codes, which keeps one bitmap for each slot.
//!
//! A set belongs to one data file, whose rows never change, or to all files of a day or a month.
//! Sets are stored in [`segment`]s, and the [`directory`] in memory says which there are. The users
//! of the hours in memory are [`hot`]. All this is derived from data files and the log: whatever is
//! lost, damaged or made by another index is made again ([`super::sets_builder`]).
//!
//! ```text
//! DIR/sets/names-NUMBER.redb   the index; the complete one with the highest number counts
//! DIR/sets/NUMBER.sets         segments
//! ```

mod backend;
pub mod code;
pub mod directory;
pub mod file_users;
pub mod hot;
pub mod names;
mod packing;
pub mod segment;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::{ArcSwap, ArcSwapOption};

use self::directory::Directory;
use self::hot::HotUsers;
use self::names::Names;
use self::segment::Segment;
use crate::storage::error::{Error, Result};
use crate::storage::vfs::Vfs;

/// Folder of the sets, relative to the data directory.
pub const SETS_DIR: &str = "sets";

/// The sets of one store, shared by all its snapshots.
#[derive(Debug, Default)]
pub struct VisitorSets {
    /// Which sets there are.
    pub directory: ArcSwap<Directory>,
    /// The index of names; `None` until it is open, which it never is for a reader beside the
    /// process that owns the store.
    pub names: ArcSwapOption<Names>,
    pub hot: HotUsers,
    /// Data files that have no sets yet.
    pub missing: AtomicU64,
    /// The change of the table for which all sets have been made; 0 for none.
    settled: AtomicU64,
    cleaning: Mutex<Cleaning>,
    /// What a statement has found damaged.
    damage: Mutex<Option<Error>>,
}

/// Removals of names that no set has any more.
#[derive(Debug, Default)]
struct Cleaning {
    /// Whether rows were removed since the last one.
    later: bool,
    /// When that was, in milliseconds since the epoch.
    cleaned_ms: i64,
    /// Number of times that one was asked for at once, and how many of these are done.
    asked: u64,
    done: u64,
    /// Number of the last one that failed.
    failed: u64,
}

/// A removal of names that is due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    asked: u64,
    /// Whether somebody waits for it.
    pub at_once: bool,
}

impl VisitorSets {
    /// Opens the segments below `data_dir` for a reader that changes nothing. What cannot be read is
    /// left out.
    pub fn read_only(vfs: &dyn Vfs, data_dir: &Path) -> VisitorSets {
        let sets = VisitorSets::default();
        let segments = segments(vfs, &data_dir.join(SETS_DIR)).unwrap_or_default();
        let read = |(number, path): &(u64, PathBuf)| Segment::open(vfs, path, *number).ok();
        let segments: Vec<Segment> = segments.iter().filter_map(read).collect();
        // All codes must be of one index: the one of the newest segment.
        let index = segments.last().map(|segment| segment.index);
        let mut directory = Directory::default();
        for segment in segments.into_iter().filter(|segment| Some(segment.index) == index) {
            directory.add(Arc::new(segment));
        }
        sets.directory.store(Arc::new(directory));
        sets
    }

    fn cleaning(&self) -> MutexGuard<'_, Cleaning> {
        self.cleaning.lock().expect("no panic under this lock")
    }

    /// Records that rows were removed, so that names may be of no use.
    pub fn clean_later(&self) {
        self.cleaning().later = true;
    }

    /// Asks for the removal of names that are of no use; returns what to ask
    /// [`VisitorSets::is_cleaned`] for.
    pub fn clean_now(&self) -> u64 {
        let mut cleaning = self.cleaning();
        cleaning.asked += 1;
        cleaning.asked
    }

    /// Reports whether what was asked for is done.
    ///
    /// # Errors
    /// It has failed; what failed is in the log.
    pub fn is_cleaned(&self, asked: u64) -> Result<bool> {
        let cleaning = self.cleaning();
        if cleaning.done < asked && cleaning.failed >= asked {
            let source = std::io::Error::other("the index of users could not be rewritten");
            return Err(Error::Io { path: SETS_DIR.into(), action: "remove names", source });
        }
        Ok(cleaning.done >= asked)
    }

    /// Records that the builder has failed, for those who wait.
    pub fn cleaning_failed(&self) {
        let mut cleaning = self.cleaning();
        cleaning.failed = cleaning.asked;
    }

    /// Returns the removal of names that is due, if there is one; `after_ms` is the time between two
    /// that nobody waits for.
    pub fn cleaning_due(&self, now_ms: i64, after_ms: i64) -> Option<Due> {
        let cleaning = self.cleaning();
        let at_once = cleaning.asked > cleaning.done.max(cleaning.failed);
        let is_due = cleaning.later && now_ms >= cleaning.cleaned_ms.saturating_add(after_ms);
        (at_once || is_due).then_some(Due { asked: cleaning.asked, at_once })
    }

    /// Records when names were removed by an earlier process.
    pub fn cleaned_before(&self, cleaned_ms: i64) {
        self.cleaning().cleaned_ms = cleaned_ms;
    }

    /// Records that names were removed.
    pub fn cleaned(&self, due: Due, now_ms: i64) {
        let mut cleaning = self.cleaning();
        (cleaning.later, cleaning.cleaned_ms, cleaning.done) = (false, now_ms, due.asked);
    }

    /// Records damage of a file, which the builder removes and makes again.
    pub fn report_damage(&self, error: Error) {
        *self.damage.lock().expect("no panic under this lock") = Some(error);
    }

    pub fn has_damage(&self) -> bool {
        self.damage.lock().expect("no panic under this lock").is_some()
    }

    pub fn take_damage(&self) -> Option<Error> {
        self.damage.lock().expect("no panic under this lock").take()
    }

    /// Forgets all sets until they are opened again.
    pub fn close(&self) {
        self.names.store(None);
        self.directory.store(Arc::default());
        self.settle(0);
    }

    /// Records that all sets are made for the table as it was after so many changes.
    pub fn settle(&self, version: u64) {
        self.settled.store(version, Ordering::Relaxed);
    }

    /// Reports whether all sets of a table are made, but for files that cannot be read.
    pub fn is_settled(&self, version: u64) -> bool {
        self.settled.load(Ordering::Relaxed) == version
    }

    /// Returns figures for those who operate the store.
    pub fn figures(&self) -> Figures {
        let directory = self.directory.load();
        let names = self.names.load();
        Figures {
            users: names.as_ref().map_or(0, |names| names.users()),
            index_bytes: names.as_ref().map_or(0, |names| names.bytes()),
            set_bytes: directory.bytes(),
            files: directory.files.len() as u64,
            missing: self.missing.load(Ordering::Relaxed),
        }
    }
}

/// Figures for those who operate the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Users in the index of names.
    pub users: u64,
    pub index_bytes: u64,
    pub set_bytes: u64,
    /// Data files that have sets.
    pub files: u64,
    /// Data files that have none yet.
    pub missing: u64,
}

/// Lists the segments in a folder by number, ascending; none if there is no folder.
pub fn segments(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match vfs.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(dir, "list")(error)),
    };
    let number = |name: &str| segment::number_of(name).map(|number| (number, dir.join(name)));
    let mut segments: Vec<(u64, PathBuf)> =
        entries.iter().filter_map(|entry| number(&entry.name)).collect();
    segments.sort_unstable();
    Ok(segments)
}
