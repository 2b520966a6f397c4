//! Sources of one hour's rows.

use std::sync::Arc;

use crate::storage::lake::index::HourFiles;
use crate::storage::memory::memtable::HourTable;

/// Sources of one hour's rows in a snapshot, oldest first: files, then memory.
#[derive(Clone, Debug, Default)]
pub struct HourSources {
    pub files: Option<Arc<HourFiles>>,
    /// Each has rows.
    pub tables: Vec<Arc<HourTable>>,
}
