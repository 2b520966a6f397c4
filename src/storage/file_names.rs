//! Names of data files: maps a generation and an hour to the file that stores their rows.
//!
//! The name is `date=YYYY-MM-DD/hour=HH/part-LSN-NODE.zstd.parquet`, relative to the table's
//! folder: LSN is the first LSN of the generation in 20 digits, NODE the first eight characters of
//! the node's name. A retried flush therefore writes the same files, and a source of rows keeps one
//! name from its first event on, in memory and in the table.

use std::sync::Arc;

use object_store::path::Path as Location;

use super::wal::Lsn;
use crate::hour::Hour;
use crate::rollup::SourceSet;

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
