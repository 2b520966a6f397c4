//! Schema of the store in SQL: the names of its tables, and the columns of `events`, which are
//! those of a data file and of its partition.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;

use crate::event;
use crate::hour::Hour;

/// Name of the table of events.
pub const EVENTS: &str = "events";
/// Name of the view of hours.
pub const HOURS: &str = "hours";
/// Name of the table function that lists partitions.
pub const SHOW_CHUNKS: &str = "show_chunks";

pub fn partition_columns() -> [FieldRef; 2] {
    [
        Field::new("date", DataType::Date32, false).into(),
        Field::new("hour", DataType::Int32, false).into(),
    ]
}

/// Returns the schema of `events`: `timestamp`, `user_id`, `event`, `date`, `hour`.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields: Vec<FieldRef> =
            event::file_schema().fields().iter().cloned().chain(partition_columns()).collect();
        Arc::new(Schema::new(fields))
    });
    SCHEMA.clone()
}

/// Returns the values of the partition columns for an hour.
pub fn partition_values(hour: Hour) -> [ScalarValue; 2] {
    let days = hour.0.div_euclid(24) as i32;
    [ScalarValue::Date32(Some(days)), ScalarValue::Int32(Some(hour.of_day()))]
}
