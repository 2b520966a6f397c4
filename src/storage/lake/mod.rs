//! Flushed hours: Parquet data files, and the Delta Lake table that says which of them are valid.
//!
//! [`table`] is the table and its commits, [`actions`] what a commit records about a file, with the
//! summary of its rows as a [`tag`]. [`history`] reads earlier versions of the table, [`commits`]
//! says what each commit changed. [`data_file`] encodes and reads one file, [`leftovers`] removes
//! what unfinished writes left. The futures of the table run on a [`runtime`].

pub mod actions;
pub mod commits;
pub mod data_file;
pub mod history;
pub mod leftovers;
pub mod runtime;
pub mod table;
pub mod tag;
