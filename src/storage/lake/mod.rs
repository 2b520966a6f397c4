//! Flushed hours: Parquet data files, and the Delta Lake table that says which of them are valid.
//!
//! [`table`] is the table as it is loaded, with its files by hour as an [`index`]; [`commit`]
//! changes it, and [`checkpoint`] keeps its log short. [`actions`] is what a commit records about a
//! file, with the summary of its rows as a [`tag`]. [`history`] reads earlier versions of the
//! table, [`commits`] says what each commit changed. [`data_file`] encodes and reads one file.
//!
//! [`compaction`] decides which files of an hour to merge, and [`merge`] merges them. [`pending`]
//! records what is being written, so that [`leftovers`] can remove what was not finished.

pub mod actions;
pub mod checkpoint;
pub mod commit;
pub mod commits;
pub mod compaction;
pub mod data_file;
pub mod history;
pub mod index;
pub mod leftovers;
pub mod merge;
pub mod pending;
pub mod table;
pub mod tag;
