//! Where one hour's rows are, and what is known of them without a look at any.

use std::sync::Arc;

use crate::storage::lake::table::HourFiles;
use crate::storage::memory::memtable::HourTable;

/// The numbers of one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourNumbers {
    pub unique_users: u64,
    pub clicks: u64,
    pub impressions: u64,
}

impl HourNumbers {
    /// Events of either kind.
    pub fn events(self) -> u64 {
        self.clicks + self.impressions
    }
}

/// Where one hour's rows are in a snapshot, oldest first: files, then memory.
#[derive(Clone, Debug, Default)]
pub struct HourSources {
    pub files: Option<Arc<HourFiles>>,
    /// With the generation each belongs to. One without rows is there for its users.
    pub tables: Vec<(u64, Arc<HourTable>)>,
}

impl HourSources {
    /// Distinct users, where one source knows them all.
    pub fn unique_users(&self) -> Option<u64> {
        if let Some((_, newest)) = self.tables.last()
            && newest.complete
        {
            return Some(newest.users.len() as u64);
        }
        match (&self.files, &self.tables[..]) {
            (None, []) => Some(0),
            (Some(files), []) => files.unique_users,
            _ => None,
        }
    }

    pub fn numbers(&self, unique_users: u64) -> HourNumbers {
        let mut numbers = HourNumbers { unique_users, clicks: 0, impressions: 0 };
        if let Some(files) = &self.files {
            numbers.clicks += files.clicks;
            numbers.impressions += files.impressions;
        }
        for (_, table) in &self.tables {
            numbers.clicks += table.clicks;
            numbers.impressions += table.impressions;
        }
        numbers
    }
}
