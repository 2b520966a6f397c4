//! Live files of a Delta table on this machine's disk: those that its log adds and does not remove,
//! with the values of the partition columns, which the files lack.
//!
//! The log is read up to its last commit, from the last checkpoint on. Nothing is written. Tables
//! whose files do not hold the table's rows under the table's names are refused: deletion vectors
//! mark rows of a file as deleted, column mapping renames columns outside of the files, and a
//! shallow clone refers to files of another table.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deltalake_core::kernel::{DataType, PrimitiveType, Snapshot};
use deltalake_core::{DeltaResult, DeltaTableBuilder};
use futures::TryStreamExt;
use url::Url;

use crate::decode::Constant;
use crate::error::{Error, Result};
use crate::storage::VfsStore;
use crate::storage::vfs::Disk;
use crate::text::without_backtrace;

/// Folder of the log in a table's folder.
pub const LOG: &str = "_delta_log";

/// Property of a table that tells how its columns are mapped; without it they are not.
const MAPPING: &str = "delta.columnMapping.mode";

/// A live file. It is Parquet, whatever its name.
pub struct TableFile {
    pub path: PathBuf,
    /// Every column of the table, with its value in this file's partition; null for those that are
    /// no partition columns, as a file from before such a column was added lacks it.
    pub columns: Vec<Constant>,
}

/// Reports whether a folder is a Delta table.
pub fn is_table(folder: &Path) -> bool {
    folder.join(LOG).is_dir()
}

/// Returns the live files of the table in `folder`, sorted by path. All of them exist.
///
/// # Errors
/// [`Error::Invalid`] if the log is damaged, or the table has a feature that is not supported.
pub async fn live_files(folder: &Path) -> Result<Vec<TableFile>> {
    check_log(folder)?;
    let unreadable = |error: deltalake_core::DeltaTableError| {
        let reason = without_backtrace(&error.to_string());
        refused(folder, format!("this Delta table cannot be read: {reason}"))
    };
    let (snapshot, adds) = read_log(folder).await.map_err(unreadable)?;
    check_columns(folder, &snapshot)?;
    let deleting = adds.iter().filter(|add| add.has_deletions).count();
    if deleting > 0 {
        return Err(refused(
            folder,
            format!(
                "{deleting} of the {} files of this Delta table have deletion vectors, which \
                 import does not read; rewrite these files first, as with REORG TABLE ... APPLY \
                 (PURGE) of Spark",
                adds.len()
            ),
        ));
    }
    let schema = snapshot.schema();
    let mut files = Vec::with_capacity(adds.len());
    for add in adds {
        let columns = schema.fields().map(|field| Constant {
            name: field.name().clone(),
            // The protocol keeps null as an empty text, too.
            value: add.partition.get(field.name()).cloned().flatten().filter(|v| !v.is_empty()),
        });
        files.push(TableFile { path: placed(folder, &add.path)?, columns: columns.collect() });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// What the log tells of a live file.
struct Entry {
    /// Path relative to the table's folder.
    path: String,
    /// Values of the partition columns, as texts.
    partition: HashMap<String, Option<String>>,
    has_deletions: bool,
}

async fn read_log(folder: &Path) -> DeltaResult<(Snapshot, Vec<Entry>)> {
    // The URL is only a placeholder: all IO goes through this object store.
    let url = Url::parse("memory:///").expect("a valid URL");
    let store = Arc::new(VfsStore::new(Arc::new(Disk), std::path::absolute(folder)?));
    let table = DeltaTableBuilder::from_url(url.clone())?.with_storage_backend(store, url);
    let log = table.build()?.log_store();
    let snapshot = Snapshot::try_new(&*log, None).await?;
    let adds = snapshot.file_views(&*log, None).map_ok(|view| Entry {
        path: view.path().into_owned(),
        partition: view.partition_values_map(),
        has_deletions: view.deletion_vector_descriptor().is_some(),
    });
    let adds = adds.try_collect().await?;
    Ok((snapshot, adds))
}

/// Checks what the library does not: that no commit is empty.
fn check_log(folder: &Path) -> Result<()> {
    let log = folder.join(LOG);
    for entry in fs::read_dir(&log).map_err(Error::io(&log, "list"))? {
        let path = entry.map_err(Error::io(&log, "list"))?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && fs::metadata(&path).map_err(Error::io(&path, "read"))?.len() == 0
        {
            return Err(refused(
                &path,
                "the commit is empty; restore the log from a backup".into(),
            ));
        }
    }
    Ok(())
}

fn check_columns(folder: &Path, snapshot: &Snapshot) -> Result<()> {
    let mapping = snapshot.metadata().configuration().get(MAPPING);
    if let Some(mode) = mapping.filter(|mode| *mode != "none") {
        return Err(refused(
            folder,
            format!(
                "this Delta table maps its columns by {mode} ({MAPPING}), so its files have other \
                 column names than the table, which import does not read; write it to a table \
                 without column mapping first"
            ),
        ));
    }
    let schema = snapshot.schema();
    let is_binary = |name: &&String| {
        schema
            .field(name.as_str())
            .is_some_and(|field| *field.data_type() == DataType::Primitive(PrimitiveType::Binary))
    };
    match snapshot.metadata().partition_columns().iter().find(is_binary) {
        Some(name) => Err(refused(
            folder,
            format!(
                "this Delta table is partitioned by {name}, which is binary; import reads \
                 partition columns that are texts, numbers, booleans or instants"
            ),
        )),
        None => Ok(()),
    }
}

/// Returns where a live file lies.
fn placed(folder: &Path, path: &str) -> Result<PathBuf> {
    if path.contains("://") || path.starts_with("file:/") || Path::new(path).is_absolute() {
        return Err(refused(
            folder,
            format!(
                "this Delta table refers to the file {path} outside of its folder, as a shallow \
                 clone does; make a deep clone first"
            ),
        ));
    }
    let path = folder.join(path);
    match fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(Error::io(&path, "open")(error)),
    }
}

fn refused(place: &Path, reason: String) -> Error {
    Error::Invalid(format!("{}: {reason}; nothing of it was loaded", place.display()))
}
