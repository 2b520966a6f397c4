//! The table `system.commits`: what each commit in the table's log changed.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::DataType;

use crate::error::Result;
use crate::event::timestamp_type;
use crate::storage::{Commit, Snapshot};

/// Returns the name, type and nullability of each column.
pub fn columns() -> Vec<(&'static str, DataType, bool)> {
    let (text, number) = (|| DataType::Utf8, || DataType::UInt64);
    vec![
        ("version", number(), false),
        ("committed_at", timestamp_type(), false),
        ("operation", text(), true),
        ("engine", text(), true),
        ("files_added", number(), false),
        ("files_removed", number(), false),
        ("rows_added", number(), true),
        ("rows_removed", number(), true),
        ("bytes_added", number(), true),
        ("bytes_removed", number(), true),
    ]
}

/// Reads the log. It is that of the present, whichever version the statement sees.
pub async fn rows(snapshot: &Snapshot) -> Result<Vec<ArrayRef>> {
    let commits = snapshot.commits().await?;
    let number = |of: fn(&Commit) -> Option<u64>| -> ArrayRef {
        Arc::new(UInt64Array::from_iter(commits.iter().map(of)))
    };
    let text = |of: fn(&Commit) -> Option<&String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(commits.iter().map(of)))
    };
    let times = commits.iter().map(|commit| commit.committed_us);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    Ok(vec![
        number(|commit| Some(commit.version)),
        Arc::new(times),
        text(|commit| commit.operation.as_ref()),
        text(|commit| commit.engine.as_ref()),
        number(|commit| Some(commit.added.files)),
        number(|commit| Some(commit.removed.files)),
        number(|commit| commit.added.rows),
        number(|commit| commit.removed.rows),
        number(|commit| commit.added.bytes),
        number(|commit| commit.removed.bytes),
    ])
}
