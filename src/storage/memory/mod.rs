//! Hours in memory: [`memtable`] holds their rows and counters, [`dictionary`] the distinct names and
//! values in them.

pub mod dictionary;
pub mod memtable;
