//! The names of data files: which file the rows that one generation has of one hour become.
//!
//! `date=YYYY-MM-DD/hour=HH/part-LSN-NODE.zstd.parquet`, below the table's folder: the first LSN of
//! the generation in 20 digits, and the first eight characters of the node's name. So a flush that
//! is tried again writes the same files, and a source of rows has one name from its first event on,
//! in memory and in the table.

use std::sync::Arc;

use object_store::path::Path as Location;

use super::wal::Lsn;
use crate::hour::Hour;
use crate::rollup::SourceSet;

/// The names of one node's files.
#[derive(Clone, Debug)]
pub struct FileNames {
    /// How they end.
    end: Arc<str>,
}

impl FileNames {
    pub fn new(node: &str) -> FileNames {
        FileNames { end: format!("-{}.zstd.parquet", &node[..8.min(node.len())]).into() }
    }

    /// Where the file lies below the table's folder.
    pub fn path(&self, first_lsn: Lsn, hour: Hour) -> String {
        format!("{}/part-{first_lsn:020}{}", hour.partition_path(), self.end)
    }

    /// What a claim about users knows the file by.
    pub fn source(&self, first_lsn: Lsn, hour: Hour) -> SourceSet {
        SourceSet::of(&self.path(first_lsn, hour))
    }

    /// The first LSN of the generation that a data file holds; nothing for a file of another engine
    /// or node.
    pub fn first_lsn(&self, location: &Location) -> Option<Lsn> {
        location.filename()?.strip_prefix("part-")?.strip_suffix(&*self.end)?.parse().ok()
    }
}
