//! The hours in memory: [`memtable`] has their rows and counters, [`users`] their distinct users.

pub mod memtable;
pub mod users;
