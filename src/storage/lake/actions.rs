//! Actions of the Delta log: what an `add` records about a data file, written and read.

use deltalake_core::kernel::{Action, Add};
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

/// Tag key of a commit's [`KeyFileRecord`], among the tags of its first file.
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
            Error::Config(format!(
                "{location}: not a partition of hours: {:?}",
                add.partition_values
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

/// Returns the key file record of the commit that added `add`, if this is the file that carries it.
pub fn key_file_of(add: &Add) -> Option<KeyFileRecord> {
    serde_json::from_str(tag(add, KEYS_TAG)?).ok()
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
    now_us: i64,
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
    let partition = [("date", hour.date().to_string()), ("hour", hour.of_day().to_string())];
    let checksum =
        file.checksum.map(|checksum| (CHECKSUM_TAG.to_string(), Some(format!("{checksum:08x}"))));
    let rollup = (ROLLUP_TAG.to_string(), Some(tag::write(schema, rollup, file.hour)));
    let tags = [rollup].into_iter().chain(checksum);
    Add {
        path: path_in_table(&file.location).to_string(),
        partition_values: partition.map(|(column, value)| (column.to_string(), Some(value))).into(),
        size: file.bytes as i64,
        modification_time: now_us / 1_000,
        data_change: true,
        stats: Some(stats.to_string()),
        tags: Some(tags.collect()),
        ..Add::default()
    }
}

fn milliseconds(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us)
        .expect("a stored timestamp is in range")
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
