//! Batch of a compaction or an erasure.

use std::collections::VecDeque;

use object_store::path::Path as Location;

use crate::storage::lake::compaction::Plan;
use crate::storage::lake::merge::{Merge, Merged};

/// Hours whose files are merged and committed together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Plans not begun yet, with the location of the file to write.
    pub plans: VecDeque<(Plan, Location)>,
    pub merge: Option<Merge>,
    pub merged: Vec<Merged>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty() && self.merge.is_none() && self.merged.is_empty()
    }
}
