//! Actions of the Delta log: what an `add` records about a data file, written and read.

use std::collections::HashMap;

use deltalake_core::kernel::{Action, Add, Remove};
use object_store::ObjectStore;
use object_store::path::Path as Location;
use serde_json::json;

use super::tag::{self, ROLLUP_TAG};
use crate::event::EventSchema;
use crate::hour::Hour;
use crate::rollup::{Rollup, SourceSet, Users};
use crate::storage::directory::TABLE_DIR;
use crate::storage::error::{Error, Result};
use crate::storage::idempotency::files::KeyFileRecord;
use crate::storage::store;

/// Tag key of the CRC-32C of a file's bytes, in eight hexadecimal digits.
const CHECKSUM_TAG: &str = "hourglass.crc32c";

/// Tag key of the [`KeyFileRecord`] of a flush, among the tags of its first file. A merged file has
/// a JSON array of those of the files that it replaces.
pub const KEYS_TAG: &str = "hourglass.keys";

/// User names longer than this many bytes are left out of the log's statistics.
const MAX_STATISTICS_BYTES: usize = 128;

/// One data file of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Path relative to the data directory.
    pub location: Location,
    pub bytes: u64,
    /// Rollup of this file alone; its users are always counted.
    pub rollup: Rollup,
    /// Claim about the users of the whole hour, made when the file was committed.
    pub hour: Users,
    /// CRC-32C of the file's bytes, if the table records it. The Parquet writer used here does not
    /// write Parquet's own page checksums.
    pub checksum: Option<u32>,
    /// Time of the flush of its newest rows, in milliseconds since the epoch.
    pub written_ms: i64,
}

impl DataFile {
    /// Builds a data file from the tags of its `add` action; `None` for a file of another engine,
    /// which has no such tags.
    pub fn of_tags(schema: &EventSchema, add: &Add, location: &Location) -> Option<DataFile> {
        let (rollup, hour) = tag::read(schema, tag(add, ROLLUP_TAG)?, source(location))?;
        Some(DataFile {
            location: location.clone(),
            bytes: add.size as u64,
            rollup,
            hour,
            checksum: checksum_of(add),
            written_ms: add.modification_time,
        })
    }
}

/// Returns a file's location, relative to the data directory, and its hour.
pub fn placed(add: &Add) -> Result<(Location, Hour)> {
    let location = Location::from_url_path(format!("{TABLE_DIR}/{}", add.path))
        .map_err(object_store::Error::from)?;
    let partition = |column: &str| add.partition_values.get(column).cloned().flatten();
    let hour = partition("date")
        .and_then(|date| date.parse().ok())
        .zip(partition("hour").and_then(|hour| hour.parse().ok()))
        .and_then(|(date, hour)| Hour::from_partition(date, hour))
        .ok_or_else(|| {
            let value = |column: &str| partition(column).unwrap_or_else(|| "none".into());
            let (date, hour) = (value("date"), value("hour"));
            Error::Config(format!(
                "{location}: another engine has written a file of no hour: its partition is date {date} and hour {hour}; \
                 remove it with that engine, or restore an earlier version of the table"
            ))
        })?;
    Ok((location, hour))
}

pub fn tag<'a>(add: &'a Add, key: &str) -> Option<&'a str> {
    add.tags.as_ref()?.get(key)?.as_deref()
}

/// Returns a data file's path relative to the table's folder, as in its `add` action.
pub fn path_in_table(location: &Location) -> &str {
    location.as_ref().trim_start_matches(TABLE_DIR).trim_start_matches('/')
}

/// Returns the source set of a data file, by which claims about users identify it.
pub fn source(location: &Location) -> SourceSet {
    SourceSet::of(path_in_table(location))
}

/// Returns the key file records that a file carries; most carry none.
pub fn key_files_of(add: &Add) -> Vec<KeyFileRecord> {
    let Some(text) = tag(add, KEYS_TAG) else { return Vec::new() };
    let one = || serde_json::from_str(text).map(|record| vec![record]);
    serde_json::from_str(text).or_else(|_| one()).unwrap_or_default()
}

/// Adds the tag with the key file records that a file carries.
pub fn carry(add: &mut Add, records: &[KeyFileRecord]) {
    let text = match records {
        [] => return,
        [record] => serde_json::to_string(record),
        _ => serde_json::to_string(records),
    };
    let text = text.expect("a record is plain data");
    add.tags.get_or_insert_default().insert(KEYS_TAG.into(), Some(text));
}

/// Returns the checksum in a file's tags.
pub fn checksum_of(add: &Add) -> Option<u32> {
    u32::from_str_radix(tag(add, CHECKSUM_TAG)?, 16).ok()
}

/// What is wrong with a commit without bytes, which the library would take for one of no actions.
pub const EMPTY: &str = "the commit is empty";

/// Returns the error of a commit that is not what was written.
pub fn damaged(commit: &Location, offset: u64, reason: String) -> Error {
    Error::Damaged {
        path: commit.to_string().into(),
        offset,
        reason,
        advice: "Restore the file from a backup; `hourglass verify` reports what else is damaged",
    }
}

/// Reads the actions of a commit, which has one JSON object per line.
///
/// # Errors
/// [`Error::Damaged`] names the first line that is not an action.
pub async fn read_actions(store: &dyn ObjectStore, commit: &Location) -> Result<Vec<Action>> {
    let bytes = store::read(store, commit).await?;
    if bytes.is_empty() {
        return Err(damaged(commit, 0, EMPTY.into()));
    }
    let (mut actions, mut offset) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        actions.push(serde_json::from_slice(line).map_err(|error| {
            damaged(commit, offset, format!("not an action of the Delta log: {error}"))
        })?);
        offset += line.len() as u64;
    }
    Ok(actions)
}

pub fn add_action(
    schema: &EventSchema,
    hour: Hour,
    file: &DataFile,
    users: &(String, String),
    data_change: bool,
) -> Add {
    let rollup = &file.rollup;
    let mut min = json!({ "timestamp": milliseconds(rollup.first_us) });
    // Statistics hold milliseconds: the maximum is rounded up so that it bounds the microseconds
    // too.
    let mut max = json!({ "timestamp": milliseconds(rollup.last_us + 999) });
    let (first, last) = users;
    if last.len() <= MAX_STATISTICS_BYTES {
        min["user_id"] = json!(first.chars().take(32).collect::<String>());
        max["user_id"] = json!(last);
    }
    // Statistics may leave out columns: the nulls of dimensions are not counted.
    let columns = schema.file().fields().iter().filter(|field| !field.is_nullable());
    let nulls: serde_json::Value = columns.map(|field| (field.name().as_str(), 0)).collect();
    let stats = json!({ "numRecords": rollup.rows(), "minValues": min, "maxValues": max, "nullCount": nulls });
    let checksum =
        file.checksum.map(|checksum| (CHECKSUM_TAG.to_string(), Some(format!("{checksum:08x}"))));
    let rollup = (ROLLUP_TAG.to_string(), Some(tag::write(schema, rollup, file.hour)));
    let tags = [rollup].into_iter().chain(checksum);
    Add {
        path: path_in_table(&file.location).to_string(),
        partition_values: partition_values(hour),
        size: file.bytes as i64,
        modification_time: file.written_ms,
        data_change,
        stats: Some(stats.to_string()),
        tags: Some(tags.collect()),
        ..Add::default()
    }
}

/// Returns the tombstone of a file.
pub fn remove_action(hour: Hour, file: &DataFile, data_change: bool, now_us: i64) -> Remove {
    Remove {
        path: path_in_table(&file.location).to_string(),
        data_change,
        deletion_timestamp: Some(now_us / 1_000),
        extended_file_metadata: Some(true),
        partition_values: Some(partition_values(hour)),
        size: Some(file.bytes as i64),
        ..Remove::default()
    }
}

fn partition_values(hour: Hour) -> HashMap<String, Option<String>> {
    let values = [("date", hour.date().to_string()), ("hour", hour.of_day().to_string())];
    values.map(|(column, value)| (column.to_string(), Some(value))).into()
}

fn milliseconds(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us)
        .expect("a stored timestamp is in range")
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
