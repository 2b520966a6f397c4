//! Record of the files that a compaction is writing: `pending.json` in the data directory, a JSON
//! array of their paths relative to it.
//!
//! It is durable before the first of the files is begun, so that a file whose commit did not happen
//! is found again after a crash. Files of a flush need no such record: the log tells them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::path::Path as Location;

use crate::storage::error::{Error, Result};
use crate::storage::vfs::{self, Vfs};

/// Name of the record.
pub const PENDING_FILE: &str = "pending.json";

#[derive(Debug)]
pub struct Pending {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    files: Vec<Location>,
}

impl Pending {
    /// Reads the record of an earlier process; there is none if it finished what it wrote. A record
    /// that cannot be understood is taken for one of no files: it was torn, or is not ours.
    pub fn open(vfs: Arc<dyn Vfs>, data_dir: &Path) -> Result<Pending> {
        let path = data_dir.join(PENDING_FILE);
        let bytes = vfs::read_if_there(&*vfs, &path).map_err(Error::io(&path, "read"))?;
        let files = bytes.and_then(|bytes| serde_json::from_slice::<Vec<String>>(&bytes).ok());
        let files =
            files.into_iter().flatten().filter_map(|file| Location::parse(file).ok()).collect();
        Ok(Pending { vfs, path, files })
    }

    pub fn files(&self) -> &[Location] {
        &self.files
    }

    /// Records `files` instead of those before, durably.
    pub fn set(&mut self, files: Vec<Location>) -> Result<()> {
        if files.is_empty() && self.files.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = files.iter().map(AsRef::as_ref).collect();
        let text = serde_json::to_vec(&names).expect("plain data");
        vfs::write_atomically(&*self.vfs, &self.path, &text)
            .map_err(Error::io(&self.path, "write"))?;
        self.files = files;
        Ok(())
    }
}
