//! Schema of the store in SQL: the names of its tables, and the values of a partition's columns.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::scalar::ScalarValue;

use crate::hour::Hour;

/// Name of the table of events.
pub const EVENTS: &str = "events";
/// Name of the view of hours.
pub const HOURS: &str = "hours";
/// Name of the view of the users of each hour and kind.
pub const VISITORS: &str = "visitors";
/// Name of the table function that lists partitions.
pub const SHOW_CHUNKS: &str = "show_chunks";

/// Key of a column's metadata with the OID of the type that PostgreSQL has for it, where the Arrow
/// type does not say it.
pub const POSTGRES_OID: &str = "postgres_oid";

/// Returns the values of the partition columns for an hour.
pub fn partition_values(hour: Hour) -> [ScalarValue; 2] {
    let days = hour.0.div_euclid(24) as i32;
    [ScalarValue::Date32(Some(days)), ScalarValue::Int32(Some(hour.of_day()))]
}

/// Returns the hour with these values of the partition columns.
fn hour_of(values: &[ScalarValue]) -> Option<Hour> {
    match values {
        [ScalarValue::Date32(Some(days)), ScalarValue::Int32(Some(hour))] => {
            Some(Hour(i64::from(*days) * 24 + i64::from(*hour)))
        }
        _ => None,
    }
}

/// Returns the file with the bounds of its hour as those of its timestamps, where `schema` is that
/// of the table: a scan reads such files in the order that a statement asks for, and passes over
/// those that it need not read.
pub fn with_hour_bounds(file: PartitionedFile, schema: &Schema) -> PartitionedFile {
    let (Some(hour), Ok(timestamp)) =
        (hour_of(&file.partition_values), schema.index_of("timestamp"))
    else {
        return file;
    };
    let at = |us| Precision::Exact(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
    let mut statistics = Statistics::new_unknown(schema);
    let column = &mut statistics.column_statistics[timestamp];
    column.min_value = at(hour.start_us());
    column.max_value = at(hour.end_us() - 1);
    column.null_count = Precision::Exact(0);
    PartitionedFile { statistics: Some(Arc::new(statistics)), ..file }
}

/// Returns the statistics of a scan of which no more is known than about how many rows it has: a
/// join keeps the rows of its smaller side.
pub fn about_rows(schema: &Schema, rows: Option<usize>) -> Statistics {
    let rows = rows.map_or(Precision::Absent, Precision::Inexact);
    Statistics::new_unknown(schema).with_num_rows(rows)
}
