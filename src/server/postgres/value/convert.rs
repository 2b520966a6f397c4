//! Conversion of a column to the few Arrow types that have a form of their own in PostgreSQL.
//!
//! A duration becomes what PostgreSQL makes of the difference of two times: days of 24 hours and
//! the rest. Nanoseconds are cut off. Structs, maps and lists of more levels than an array has
//! become JSON.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, IntervalMonthDayNanoArray, PrimitiveArray,
    StringBuilder,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::error::ValueError;
use super::types::{Base, described};
use crate::rows;

const DAY_NS: i64 = 86_400_000_000_000;

/// Returns a column of any kind of texts as one kind.
pub fn text(column: &ArrayRef) -> Result<ArrayRef, ValueError> {
    cast(column, &DataType::Utf8)
}

/// Returns the column as booleans, Int16, Int32, Int64, UInt32, Float32, Float64, Decimal128 or 256, a
/// string or binary type, Date32, times and timestamps in microseconds, intervals of months, days
/// and nanoseconds, or lists.
pub fn plain(column: &ArrayRef) -> Result<ArrayRef, ValueError> {
    use DataType::*;
    if matches!(described(column.data_type()), (Base::Json, _, false)) {
        return json(column);
    }
    match column.data_type() {
        Dictionary(_, of) => plain(&cast(column, of)?),
        RunEndEncoded(_, of) => plain(&cast(column, of.data_type())?),
        ListView(of) => cast(column, &List(of.clone())),
        LargeListView(of) => cast(column, &LargeList(of.clone())),
        Int8 | UInt8 => cast(column, &Int16),
        UInt16 => cast(column, &Int32),
        UInt64 => cast(column, &Decimal128(20, 0)),
        Float16 => cast(column, &Float32),
        Decimal32(precision, scale) | Decimal64(precision, scale) => {
            cast(column, &Decimal128(*precision, *scale))
        }
        Date64 => dates(column),
        Time32(unit) | Time64(unit) => {
            let times = micros::<Time64MicrosecondType>(column, *unit, "time")?;
            Ok(Arc::new(times))
        }
        Timestamp(unit, zone) => {
            let times = micros::<TimestampMicrosecondType>(column, *unit, "timestamp")?;
            Ok(Arc::new(times.with_timezone_opt(zone.clone())))
        }
        Interval(IntervalUnit::MonthDayNano) => Ok(column.clone()),
        Interval(_) => cast(column, &Interval(IntervalUnit::MonthDayNano)),
        Duration(unit) => durations(column, *unit),
        Union(..) => displayed(column),
        _ => Ok(column.clone()),
    }
}

/// Casts; a value that the type lacks is an error.
fn cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ValueError> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    Ok(cast_with_options(column, to, &options)?)
}

fn dates(column: &ArrayRef) -> Result<ArrayRef, ValueError> {
    let days = |ms: i64| {
        let days = ms.div_euclid(86_400_000);
        i32::try_from(days)
            .map_err(|_| ValueError::out_of_range("date", format_args!("day {days} since 1970")))
    };
    let dates: Date32Array =
        column.as_primitive::<Date64Type>().try_unary::<_, Date32Type, _>(days)?;
    Ok(Arc::new(dates))
}

/// The numbers of times in any unit, in microseconds.
fn micros<T>(column: &ArrayRef, unit: TimeUnit, of: &str) -> Result<PrimitiveArray<T>, ValueError>
where
    T: arrow::datatypes::ArrowPrimitiveType<Native = i64>,
{
    let numbers: Int64Array = cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
    Ok(match unit {
        TimeUnit::Microsecond => numbers.reinterpret_cast(),
        TimeUnit::Nanosecond => numbers.unary(|ns| ns.div_euclid(1_000)),
        TimeUnit::Second | TimeUnit::Millisecond => {
            let scale = if unit == TimeUnit::Second { 1_000_000 } else { 1_000 };
            numbers.try_unary(|n| {
                let beyond = || ValueError::out_of_range(of, format_args!("{n} {unit} since 1970"));
                n.checked_mul(scale).ok_or_else(beyond)
            })?
        }
    })
}

fn durations(column: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, ValueError> {
    let numbers: Int64Array = cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
    let scale = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let (per_day, beyond) = (DAY_NS / scale, |n| ValueError::out_of_range("interval", n));
    let intervals: IntervalMonthDayNanoArray = numbers
        .try_unary::<_, IntervalMonthDayNanoType, _>(|n| {
            let days = i32::try_from(n / per_day).map_err(|_| beyond(n))?;
            Ok::<_, ValueError>(IntervalMonthDayNano::new(0, days, n % per_day * scale))
        })?;
    Ok(Arc::new(intervals))
}

fn json(column: &ArrayRef) -> Result<ArrayRef, ValueError> {
    let texts = rows::for_people(column)?;
    if texts.data_type().is_string() { Ok(texts) } else { displayed(column) }
}

/// The values as Arrow displays them, for types that have no other form.
fn displayed(column: &ArrayRef) -> Result<ArrayRef, ValueError> {
    let options = FormatOptions::default().with_display_error(false);
    let (formatter, nulls) = (ArrayFormatter::try_new(column, &options)?, column.logical_nulls());
    let mut texts = StringBuilder::with_capacity(column.len(), 0);
    for row in 0..column.len() {
        match nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            true => texts.append_null(),
            false => texts.append_value(formatter.value(row).try_to_string()?),
        }
    }
    Ok(Arc::new(texts.finish()))
}
