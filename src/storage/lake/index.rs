//! Index of the data files by hour, so that a query lists nothing.

use std::sync::Arc;

use super::actions::DataFile;
use crate::hour::Hour;
use crate::rollup::Rollup;

/// Files of one hour and their merged rollup.
#[derive(Clone, Debug, Default)]
pub struct HourFiles {
    pub files: Vec<Arc<DataFile>>,
    pub rollup: Rollup,
}

impl HourFiles {
    fn push(&mut self, file: Arc<DataFile>) {
        self.rollup.merge(&file.rollup);
        self.rollup.learn(file.hour);
        self.files.push(file);
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl FromIterator<Arc<DataFile>> for HourFiles {
    fn from_iter<I: IntoIterator<Item = Arc<DataFile>>>(files: I) -> HourFiles {
        let mut hour = HourFiles::default();
        files.into_iter().for_each(|file| hour.push(file));
        hour
    }
}

/// All data files by hour. Clones in constant time.
pub type FileIndex = imbl::OrdMap<Hour, Arc<HourFiles>>;

pub fn add(index: &mut FileIndex, hour: Hour, file: Arc<DataFile>) {
    Arc::make_mut(index.entry(hour).or_default()).push(file);
}

/// Removes a file; the hour goes with its last one.
pub fn remove(index: &mut FileIndex, hour: Hour, file: &DataFile) {
    let Some(files) = index.get(&hour) else { return };
    let others = files.files.iter().filter(|other| other.location != file.location);
    let left: HourFiles = others.cloned().collect();
    if left.files.is_empty() {
        index.remove(&hour);
    } else {
        index.insert(hour, Arc::new(left));
    }
}

pub fn contains(index: &FileIndex, hour: Hour, file: &DataFile) -> bool {
    let is_it = |other: &Arc<DataFile>| other.location == file.location;
    index.get(&hour).is_some_and(|files| files.files.iter().any(is_it))
}
