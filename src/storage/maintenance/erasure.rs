//! Erasure of users: finds the files that have rows of them, and records what history is to go.
//!
//! The files are rewritten without those rows by the same steps as in a compaction. What remains of
//! the users then are the old files, until their grace period ends, and the Delta log: its commits
//! have the first and last user of a file. That history goes with the files, by a new checkpoint
//! and the removal of everything before it. Until then `erasure.json` in the data directory records
//! it: `{"version": V, "at_ms": T}`, the version of the table and the time at which it was erased.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hour::Hour;
use crate::storage::error::{Error, Result};
use crate::storage::lake::actions::{DataFile, damaged};
use crate::storage::lake::compaction::{MAX_INPUTS, Plan};
use crate::storage::lake::data_file;
use crate::storage::lake::index::FileIndex;
use crate::storage::lake::merge::Files;
use crate::storage::requests::{ErasureReceipt, Forget};
use crate::storage::store::ObjectFile;
use crate::storage::vfs::{self, Vfs};

/// Name of the record of an erasure.
pub const ERASURE_FILE: &str = "erasure.json";

/// Time between two looks whether names have been removed from the index of users.
pub const LOOK: Duration = Duration::from_millis(5);

/// An erasure in progress.
#[derive(Debug)]
pub struct Erasure {
    pub asked: Forget,
    pub receipt: ErasureReceipt,
    /// Files not examined yet.
    rest: Vec<(Hour, Arc<DataFile>)>,
    /// Files with rows of the users, by hour.
    found: Vec<(Hour, Arc<DataFile>)>,
    /// Whether what was found has been planned.
    pub planned: bool,
    /// The history that is to go, once it is recorded.
    pub history: Option<History>,
    /// The removal of their names from the index of users, once it is asked for.
    pub cleaning: Option<u64>,
}

impl Erasure {
    pub fn new(asked: Forget, files: &FileIndex) -> Erasure {
        let all = files
            .iter()
            .rev()
            .flat_map(|(hour, files)| files.files.iter().map(|file| (*hour, file.clone())));
        let receipt =
            ErasureReceipt { users: asked.users.len() as u64, ..ErasureReceipt::default() };
        let (rest, found) = (all.collect(), Vec::new());
        Erasure { asked, receipt, rest, found, planned: false, history: None, cleaning: None }
    }

    /// Examines up to `most` more files; returns whether there are more.
    ///
    /// # Errors
    /// [`Error::Config`] if a file of another engine has rows of the users: it is not rewritten.
    pub fn examine(&mut self, files: &Files, most: usize) -> Result<bool> {
        for _ in 0..most {
            let Some((hour, file)) = self.rest.pop() else { return Ok(false) };
            self.receipt.files_examined += 1;
            let found = has_users(files, &file, &self.asked.users);
            if !found.map_err(|error| named(error, &file))? {
                continue;
            }
            if file.checksum.is_none() {
                return Err(Error::Config(format!(
                    "{}: another engine has written this file, and it has rows of the users: delete them with that engine",
                    file.location
                )));
            }
            self.found.push((hour, file));
        }
        Ok(true)
    }

    /// Returns what to rewrite: the files found of each hour become one, or a few if there are
    /// many.
    pub fn plans(&mut self, index: &FileIndex) -> Vec<Plan> {
        self.planned = true;
        let found = std::mem::take(&mut self.found);
        let hours = found.chunk_by(|a, b| a.0 == b.0);
        let groups = hours.flat_map(|found| found.chunks(MAX_INPUTS));
        let plan = |found: &[(Hour, Arc<DataFile>)]| {
            let hour = found[0].0;
            let is_found = |file: &&Arc<DataFile>| {
                found.iter().any(|(_, found)| found.location == file.location)
            };
            let all = index.get(&hour).into_iter().flat_map(|files| &files.files);
            let inputs = found.iter().map(|(_, file)| file.clone()).collect();
            let others = all.filter(|file| !is_found(file)).cloned().collect();
            Plan { hour, inputs, others, users: None }
        };
        groups.map(plan).collect()
    }
}

/// Names the file in an error of its decoder, which does not.
fn named(error: Error, file: &DataFile) -> Error {
    match error {
        Error::Parquet(_) | Error::Arrow(_) => damaged(&file.location, 0, error.to_string()),
        other => other,
    }
}

fn has_users(files: &Files, file: &DataFile, users: &BTreeSet<String>) -> Result<bool> {
    let object = ObjectFile::open(files.runtime.clone(), &files.store, &file.location, file.bytes)?;
    data_file::has_users(object, users)
}

/// History of an erasure that is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Version of the table from which on it has nothing of the users.
    pub version: u64,
    pub at_ms: i64,
}

/// The record of it.
#[derive(Debug)]
pub struct HistoryRecord {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    history: Option<History>,
}

impl HistoryRecord {
    pub fn open(vfs: Arc<dyn Vfs>, data_dir: &Path) -> Result<HistoryRecord> {
        let path = data_dir.join(ERASURE_FILE);
        let bytes = vfs::read_if_there(&*vfs, &path).map_err(Error::io(&path, "read"))?;
        let history = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(HistoryRecord { vfs, path, history })
    }

    pub fn get(&self) -> Option<History> {
        self.history
    }

    /// Records a history, durably; of two that are still there the later one covers both.
    pub fn set(&mut self, history: History) -> Result<()> {
        let text = serde_json::to_vec(&history).expect("plain data");
        vfs::write_atomically(&*self.vfs, &self.path, &text)
            .map_err(Error::io(&self.path, "write"))?;
        self.history = Some(history);
        Ok(())
    }

    /// Removes the record, as the history is gone. If that is not durable, it is removed again.
    pub fn clear(&mut self) -> Result<()> {
        match self.vfs.remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(&self.path, "remove")(error));
            }
            _ => self.history = None,
        }
        Ok(())
    }
}
