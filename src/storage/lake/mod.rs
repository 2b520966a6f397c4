//! The sealed hours: Parquet data files, and the Delta Lake table that says which of them count.
//!
//! [`table`] is the table and its commits, [`data_file`] the bytes of one file, [`tag`] what the
//! log says of its rows, [`leftovers`] what writes that did not end left behind.

pub mod data_file;
pub mod leftovers;
pub mod table;
pub mod tag;
