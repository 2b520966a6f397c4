//! Metadata file and lock of a data directory.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::vfs::{self, Lock, Vfs};
use super::wal::WAL_DIR;
use crate::storage::error::{Error, Result};

/// Version of the data directory's layout. A newer version is refused; an older one is opened and
/// kept readable.
///
/// | version | since |
/// | --- | --- |
/// | 1 | the first |
/// | 2 | key files of version 2, which older binaries take for damaged |
const FORMAT_VERSION: u32 = 2;

/// Name of the metadata file; a directory that has it is a store.
pub const META_FILE: &str = "hourglass.json";

/// Folder of the table, relative to the data directory.
pub const TABLE_DIR: &str = "events";

/// Folder of the Delta log, relative to the data directory.
pub const LOG_DIR: &str = "events/_delta_log";

/// Contents of the metadata file.
#[derive(Debug, Serialize, Deserialize)]
pub struct DirectoryMeta {
    format: u32,
    /// Application id of this directory's Delta transactions.
    pub node: String,
}

/// Locks the directory for this process until the returned lock is dropped.
pub fn lock(vfs: &dyn Vfs, data_dir: &Path) -> Result<Box<dyn Lock>> {
    let path = data_dir.join("lock");
    vfs.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { path: data_dir.into() },
        _ => Error::io(&path, "lock")(error),
    })
}

const META_ADVICE: &str = "Restore the file from a backup; its `node` is the appId of the txn \
    actions in events/_delta_log";

fn write_meta(vfs: &dyn Vfs, path: &Path, meta: &DirectoryMeta) -> Result<()> {
    let text = serde_json::to_vec_pretty(meta).expect("plain data");
    vfs::write_atomically(vfs, path, &text).map_err(Error::io(path, "write"))
}

/// Reads the directory's metadata. With `create`, writes it if it is missing and updates the
/// version if it is older.
pub fn meta(vfs: &dyn Vfs, data_dir: &Path, create: bool) -> Result<DirectoryMeta> {
    let path: PathBuf = data_dir.join(META_FILE);
    let bytes = match vfs::read_all(vfs, &path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            // It is written before all else: a store without it has lost it, and its name with it.
            let is_there = |folder: &str| {
                vfs.list(&data_dir.join(folder)).is_ok_and(|entries| !entries.is_empty())
            };
            if is_there(WAL_DIR) || is_there(LOG_DIR) {
                return Err(Error::Damaged {
                    path,
                    offset: 0,
                    reason: "the file is missing, and there is a store beside it".into(),
                    advice: META_ADVICE,
                });
            }
            let meta =
                DirectoryMeta { format: FORMAT_VERSION, node: uuid::Uuid::new_v4().to_string() };
            write_meta(vfs, &path, &meta)?;
            return Ok(meta);
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            let dir = data_dir.display();
            return Err(Error::Missing(format!(
                "{dir}: no hourglass store here; `hourglass generate` or `serve` makes one, and --data-dir names another"
            )));
        }
        Err(error) => return Err(Error::io(&path, "read")(error)),
    };
    let meta: DirectoryMeta = serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
        path: path.clone(),
        offset: 0,
        reason: error.to_string(),
        advice: META_ADVICE,
    })?;
    match meta.format {
        FORMAT_VERSION => Ok(meta),
        ..FORMAT_VERSION if create => {
            let meta = DirectoryMeta { format: FORMAT_VERSION, ..meta };
            write_meta(vfs, &path, &meta)?;
            Ok(meta)
        }
        ..FORMAT_VERSION => Ok(meta),
        newer => Err(Error::Config(format!(
            "{}: format {newer} is newer than this hourglass opens ({FORMAT_VERSION}); run the newer version",
            data_dir.display()
        ))),
    }
}
