//! Names of data files: maps a generation and an hour to the file that stores their rows.
//!
//! The name of a flushed file is `date=YYYY-MM-DD/hour=HH/part-LSN-NODE.zstd.parquet`, relative to
//! the table's folder: LSN is the first LSN of the generation in 20 digits, NODE the first eight
//! characters of the node's name. A retried flush therefore writes the same files, and a source of
//! rows keeps one name from its first event on, in memory and in the table.
//!
//! A file that other files were merged into is `merged-EPOCH-NUMBER-NODE.zstd.parquet` in the same
//! folder: EPOCH is that of the process (see [`super::lake::table`]) and NUMBER counts its merged
//! files, each in 10 digits, so that no name is used twice.

use std::sync::Arc;

use object_store::path::Path as Location;

use super::wal::Lsn;
use crate::hour::Hour;
use crate::rollup::SourceSet;

/// Prefix of the names of merged files.
const MERGED: &str = "merged-";

/// Names of one node's files.
#[derive(Clone, Debug)]
pub struct FileNames {
    /// Suffix of the names.
    end: Arc<str>,
}

impl FileNames {
    pub fn new(node: &str) -> FileNames {
        FileNames { end: format!("-{}.zstd.parquet", &node[..8.min(node.len())]).into() }
    }

    /// Returns the file's path relative to the table's folder.
    pub fn path(&self, first_lsn: Lsn, hour: Hour) -> String {
        format!("{}/part-{first_lsn:020}{}", hour.partition_path(), self.end)
    }

    /// Returns the path of a merged file.
    pub fn merged(&self, epoch: u64, number: u64, hour: Hour) -> String {
        format!("{}/{MERGED}{epoch:010}-{number:010}{}", hour.partition_path(), self.end)
    }

    /// Reports whether the file is a merged one of this node.
    pub fn is_merged(&self, location: &Location) -> bool {
        location
            .filename()
            .is_some_and(|name| name.starts_with(MERGED) && name.ends_with(&*self.end))
    }

    /// Returns the source set of the file, by which claims about users identify it.
    pub fn source(&self, first_lsn: Lsn, hour: Hour) -> SourceSet {
        SourceSet::of(&self.path(first_lsn, hour))
    }

    /// Returns the first LSN of the generation in a data file; `None` for a file of another engine
    /// or node.
    pub fn first_lsn(&self, location: &Location) -> Option<Lsn> {
        location.filename()?.strip_prefix("part-")?.strip_suffix(&*self.end)?.parse().ok()
    }
}
