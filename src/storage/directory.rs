//! What a data directory says of itself, and who owns it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::vfs::{self, Lock, Vfs};
use crate::error::{Error, Result};

/// The version of the data directory's layout. A newer one is refused, an older one is opened and
/// kept readable.
///
/// | version | since |
/// | --- | --- |
/// | 1 | the first |
/// | 2 | key files of version 2, which a binary before them takes for damaged |
const FORMAT_VERSION: u32 = 2;

/// The file that makes a directory a store.
pub const META_FILE: &str = "hourglass.json";

/// What a data directory says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct DirectoryMeta {
    format: u32,
    /// The application id of this directory's Delta transactions.
    pub node: String,
}

/// Makes the directory ours until the lock is dropped.
pub fn lock(vfs: &dyn Vfs, data_dir: &Path) -> Result<Box<dyn Lock>> {
    let path = data_dir.join("lock");
    vfs.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { path: data_dir.into() },
        _ => Error::io(&path, "lock")(error),
    })
}

fn write_meta(vfs: &dyn Vfs, path: &Path, meta: &DirectoryMeta) -> Result<()> {
    let text = serde_json::to_vec_pretty(meta).expect("plain data");
    vfs::write_atomically(vfs, path, &text).map_err(Error::io(path, "write"))
}

/// What the directory says of itself; `create` writes it where there is nothing yet, or the version
/// of an older one.
pub fn meta(vfs: &dyn Vfs, data_dir: &Path, create: bool) -> Result<DirectoryMeta> {
    let path: PathBuf = data_dir.join(META_FILE);
    let bytes = match vfs::read_all(vfs, &path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
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
        advice: "Restore the file from a backup; its `node` is the appId of the txn actions in events/_delta_log",
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
