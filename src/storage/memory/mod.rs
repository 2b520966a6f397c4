//! Hours in memory: [`memtable`] holds their rows and counters, [`users`] their distinct users.

pub mod memtable;
pub mod users;
