//! Casts of text columns to times and dates, parsed in the same way as constants: DataFusion's own
//! parser accepts fewer formats.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimeUnit};
use datafusion::common::{Result, exec_datafusion_err, internal_err};

use super::text;

/// Reports whether this module implements the cast.
pub fn is_one(from: &DataType, to: &DataType) -> bool {
    from.is_string()
        && matches!(to, DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Date32)
}

/// Parses texts as times or dates; with `or_null`, a text that cannot be parsed becomes null.
pub fn read(texts: &ArrayRef, to: &DataType, or_null: bool) -> Result<ArrayRef> {
    let texts = cast(texts, &DataType::Utf8)?;
    let texts = texts.as_string();
    Ok(match to {
        DataType::Timestamp(_, zone) => {
            let times = each(texts, or_null, |written| text::parse_time(written, zone.as_deref()))?;
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone_opt(zone.clone()))
        }
        DataType::Date32 => {
            let day = |written: &str| text::parse_date(written).map(Date32Type::from_naive_date);
            Arc::new(Date32Array::from(each(texts, or_null, day)?))
        }
        other => return internal_err!("text cannot be converted to {other}"),
    })
}

fn each<T>(
    texts: &StringArray,
    or_null: bool,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<Option<T>>> {
    let one = |written: Option<&str>| match written.map(&read) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) if or_null => Ok(None),
        Some(Err(reason)) => Err(exec_datafusion_err!("{reason}")),
    };
    texts.iter().map(one).collect()
}
