//! Casts of times that do not preserve order. DataFusion assumes that every cast between temporal
//! types does, so that `ORDER BY CAST(timestamp AS TIME)` over sorted rows is not sorted.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use datafusion::common::Result;

/// Reports whether a cast may put a later time before an earlier one: a time of day starts over
/// each day, and local clocks are put back.
pub fn may_reorder(from: &DataType, to: &DataType) -> bool {
    let is_utc = |zone: &Arc<str>| ["UTC", "+00:00"].contains(&&**zone);
    match (from, to) {
        (DataType::Timestamp(..) | DataType::Date64, DataType::Time32(_) | DataType::Time64(_)) => {
            true
        }
        (
            DataType::Timestamp(_, Some(zone)),
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64,
        ) => !is_utc(zone),
        (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(zone))) => !is_utc(zone),
        _ => false,
    }
}

/// Casts the times to `to`; with `or_null`, a value that cannot be cast becomes null.
pub fn convert(times: &ArrayRef, to: &DataType, or_null: bool) -> Result<ArrayRef> {
    let options = CastOptions { safe: or_null, ..CastOptions::default() };
    Ok(cast_with_options(times, to, &options)?)
}
