//! Commands: the statements of a door that has a session and may write.
//!
//! Besides those that read, which [`parse`](super::parse()) knows, these are the ones that store
//! events (INSERT and COPY FROM), and those of PostgreSQL's sessions: transactions, cursors,
//! prepared statements, COPY TO. They are recognized here by their words; what they do is the
//! door's part. A statement that would change anything else is refused.

mod cell;
mod copy;
mod copy_options;
mod cursor;
mod insert;
mod parse;
mod table;
mod transaction;
mod words;

pub use self::cell::Cell;
pub use self::copy::{Copy, CopyIn, CopyOut};
pub use self::copy_options::{Columns, CopyFormat, CopyOptions, Header};
pub use self::cursor::{Count, Declare, Fetch};
pub use self::insert::{Insert, Source};
pub use self::parse::{Command, parse_commands};
pub use self::transaction::Transaction;

#[cfg(test)]
mod tests;
