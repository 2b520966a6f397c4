//! Metadata file and lock of a data directory.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::vfs::{self, Lock, Vfs};
use super::wal::WAL_DIR;
use crate::event::{Declaration, EventSchema};
use crate::storage::error::{Error, Result};

/// Version of the data directory's layout. A newer version is refused; an older one is opened and
/// kept readable.
///
/// | version | since |
/// | --- | --- |
/// | 1 | the first |
/// | 2 | key files of version 2, which older binaries take for damaged |
/// | 3 | kinds and dimensions, where some are declared: a directory without stays at version 2 |
const FORMAT_VERSION: u32 = 3;

/// Version of a directory without declared kinds and dimensions.
const CONTRACT_VERSION: u32 = 2;

/// Name of the metadata file; a directory that has it is a store.
pub const META_FILE: &str = "hourglass.json";

/// Folder of the table, relative to the data directory.
pub const TABLE_DIR: &str = "events";

/// Folder of the Delta log, relative to the data directory.
pub const LOG_DIR: &str = "events/_delta_log";

/// Contents of the metadata file.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    node: String,
    /// Kinds and dimensions, in the order in which they were declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dimensions: Vec<String>,
}

/// Metadata of a data directory.
#[derive(Clone, Debug)]
pub struct DirectoryMeta {
    /// Application id of this directory's Delta transactions.
    pub node: String,
    /// Kinds and dimensions of its events.
    pub schema: EventSchema,
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
    let DirectoryMeta { node, schema } = meta;
    let file = if schema.is_contract() {
        let (kinds, dimensions) = Default::default();
        File { format: CONTRACT_VERSION, node: node.clone(), kinds, dimensions }
    } else {
        File {
            format: FORMAT_VERSION,
            node: node.clone(),
            kinds: schema.kind_names().to_vec(),
            dimensions: schema.dimensions().to_vec(),
        }
    };
    let text = serde_json::to_vec_pretty(&file).expect("plain data");
    vfs::write_atomically(vfs, path, &text).map_err(Error::io(path, "write"))
}

/// Adds to the kinds or dimensions of a store, under its lock, and returns what it has then. The
/// next start adds the columns to the table.
pub fn declare(
    vfs: &dyn Vfs,
    data_dir: &Path,
    add: impl FnOnce(&EventSchema) -> Result<EventSchema, String>,
) -> Result<EventSchema> {
    // Check for a store first, so that no lock file is left behind if there is none.
    meta(vfs, data_dir)?;
    let _lock = lock(vfs, data_dir)?;
    let mut meta = meta(vfs, data_dir)?;
    meta.schema = add(&meta.schema).map_err(Error::Config)?;
    write_meta(vfs, &data_dir.join(META_FILE), &meta)?;
    Ok(meta.schema)
}

/// Returns the kinds and dimensions of a store, with or without a running server.
pub fn declared(vfs: &dyn Vfs, data_dir: &Path) -> Result<EventSchema> {
    meta(vfs, data_dir).map(|meta| meta.schema)
}

/// Reads the directory's metadata.
pub fn meta(vfs: &dyn Vfs, data_dir: &Path) -> Result<DirectoryMeta> {
    read(vfs, data_dir, None)
}

/// Reads the directory's metadata. Writes it if it is missing, with the kinds and dimensions of
/// `declared`, and updates the version if it is older.
///
/// # Errors
/// [`Error::Config`] if `declared` and the directory disagree.
pub fn meta_or_create(
    vfs: &dyn Vfs,
    data_dir: &Path,
    declared: &Declaration,
) -> Result<DirectoryMeta> {
    let meta = read(vfs, data_dir, Some(declared))?;
    declared.check(&meta.schema, data_dir).map_err(Error::Config)?;
    Ok(meta)
}

fn read(vfs: &dyn Vfs, data_dir: &Path, create: Option<&Declaration>) -> Result<DirectoryMeta> {
    let path: PathBuf = data_dir.join(META_FILE);
    let bytes = match (vfs::read_all(vfs, &path), create) {
        (Ok(bytes), _) => bytes,
        (Err(error), Some(declared)) if error.kind() == io::ErrorKind::NotFound => {
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
            let node = uuid::Uuid::new_v4().to_string();
            let meta = DirectoryMeta { node, schema: declared.schema().map_err(Error::Config)? };
            write_meta(vfs, &path, &meta)?;
            return Ok(meta);
        }
        (Err(error), _)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            let dir = data_dir.display();
            return Err(Error::Missing(format!(
                "{dir}: no hourglass store here; `hourglass generate` or `serve` makes one, and --data-dir names another"
            )));
        }
        (Err(error), _) => return Err(Error::io(&path, "read")(error)),
    };
    let damaged = |reason: String| Error::Damaged {
        path: path.clone(),
        offset: 0,
        reason,
        advice: META_ADVICE,
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if file.format > FORMAT_VERSION {
        return Err(Error::Config(format!(
            "{}: format {} is newer than this hourglass opens ({FORMAT_VERSION}); run the newer version",
            data_dir.display(),
            file.format
        )));
    }
    let schema = EventSchema::new(&file.kinds, &file.dimensions).map_err(damaged)?;
    let meta = DirectoryMeta { node: file.node, schema };
    if create.is_some() && file.format < CONTRACT_VERSION {
        write_meta(vfs, &path, &meta)?;
    }
    Ok(meta)
}
