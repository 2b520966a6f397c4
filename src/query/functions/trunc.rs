//! `date_trunc` and `date_bin`: the start of the interval that contains a time. They compute in
//! microseconds and so cover every year to 9999; DataFusion's compute in nanoseconds, which end in
//! 2262.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, PrimitiveArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, IntervalUnit, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, Months};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::functions::datetime;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};
use datafusion::scalar::ScalarValue;

use super::function::{Function, constant_text, is_text, time};
use super::time_bucket::{DAY_US, TimeBucket};
use crate::hour::HOUR_US;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const CLOCK: DataType = DataType::Time64(TimeUnit::Nanosecond);

pub fn date_trunc() -> Arc<ScalarUDF> {
    Function::new("date_trunc", trunc_types, trunc)
        .or("datetrunc")
        .in_place_of(&datetime::date_trunc())
        .rising_with(1)
        .udf()
}

/// Returns the function `date_bin(width, time[, origin[, zone]])`.
pub fn date_bin() -> Arc<ScalarUDF> {
    Function::new("date_bin", bin_types, bin)
        .in_place_of(&datetime::date_bin())
        .rising_with(1)
        .udf()
}

fn trunc_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let usage = "date_trunc takes a unit, a time, and optionally a time zone: date_trunc('hour', \
        timestamp)";
    match types {
        [unit, DataType::Time32(_) | DataType::Time64(_)] if is_text(unit) => {
            Ok((vec![DataType::Utf8, CLOCK], CLOCK))
        }
        [unit, of] if is_text(unit) => match time(of) {
            Some(time) => Ok((vec![DataType::Utf8, time.clone()], time)),
            None => plan_err!("{usage}"),
        },
        [unit, of @ DataType::Timestamp(_, Some(_)), zone] if is_text(unit) && is_text(zone) => {
            let time = time(of).expect("a timestamp is a time");
            Ok((vec![DataType::Utf8, time.clone(), DataType::Utf8], time))
        }
        _ => plan_err!("{usage}"),
    }
}

fn trunc(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let name = constant_text(&args[0], "the unit of date_trunc")?;
    let unit = TimeBucket::named(name).ok_or_else(|| {
        exec_datafusion_err!(
            "'{name}' is no unit of date_trunc: microsecond, millisecond, second, minute, hour, day, week, month, quarter, \
             year, decade, century and millennium are"
        )
    })?;
    let zone = args.get(2).map(|zone| constant_text(zone, "the zone of date_trunc")).transpose()?;
    let array = args[1].to_array(rows)?;
    match (array.data_type(), unit) {
        (DataType::Time64(_), TimeBucket::Fixed { width, .. }) if width <= HOUR_US => {
            clock(&array, width * 1_000, 0)
        }
        (DataType::Time64(_), _) => exec_err!("a time of day has no '{name}'"),
        _ => starts(&array, zone, |us, zone| match zone {
            None => unit.start(us),
            Some(zone) => unit.start_in(zone, us),
        }),
    }
}

/// Rounds times of day, in nanoseconds, down to `width` from `origin`.
fn clock(array: &ArrayRef, width: i64, origin: i64) -> Result<ArrayRef> {
    let day = DAY_US * 1_000;
    let start = |ns: i64| (ns - (ns - origin).rem_euclid(width)).rem_euclid(day);
    let starts: PrimitiveArray<Time64NanosecondType> =
        array.as_primitive::<Time64NanosecondType>().unary(start);
    Ok(Arc::new(starts))
}

/// Returns the zone whose local clock applies; `None` for UTC.
fn zone_of(name: Option<&str>) -> Result<Option<Tz>> {
    match name {
        None | Some("UTC" | "+00:00") => Ok(None),
        Some(name) => {
            Ok(Some(name.parse().map_err(|_| exec_datafusion_err!("'{name}' is no time zone"))?))
        }
    }
}

/// Replaces each time by the start of its interval, on the local clock of `zone` or of the times'
/// own zone.
fn starts(
    array: &ArrayRef,
    zone: Option<&str>,
    start: impl Fn(i64, Option<Tz>) -> Option<i64>,
) -> Result<ArrayRef> {
    let DataType::Timestamp(_, of) = array.data_type() else {
        return exec_err!("a time is expected, not {}", array.data_type());
    };
    let tz = zone_of(zone.or(of.as_deref()))?;
    let start = |us| start(us, tz).ok_or_else(beyond);
    let starts: TimestampMicrosecondArray =
        array.as_primitive::<TimestampMicrosecondType>().try_unary(start)?;
    Ok(Arc::new(starts.with_timezone_opt(of.clone())))
}

fn beyond() -> DataFusionError {
    exec_datafusion_err!("a time is outside the range of the calendar")
}

fn bin_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let usage = "date_bin takes an interval, a time, and optionally an origin: \
                 date_bin(INTERVAL '15 minutes', timestamp)";
    let is_width =
        |of: &DataType| matches!(of, DataType::Interval(_) | DataType::Duration(_)) || is_text(of);
    match types {
        [width, of, rest @ ..] if is_width(width) && rest.len() <= 2 => {
            if let DataType::Time32(_) | DataType::Time64(_) = of {
                let coerced = [INTERVAL, CLOCK].into_iter().chain(rest.iter().map(|_| CLOCK));
                return Ok((coerced.collect(), CLOCK));
            }
            let Some(time) = time(of) else { return plan_err!("{usage}") };
            let coerced = [INTERVAL, time.clone(), time.clone(), DataType::Utf8]
                .into_iter()
                .take(types.len());
            Ok((coerced.collect(), time))
        }
        _ => plan_err!("{usage}"),
    }
}

fn bin(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let constant = |i: usize, what: &str| match args.get(i) {
        Some(ColumnarValue::Scalar(value)) => Ok(Some(value)),
        Some(ColumnarValue::Array(_)) => {
            exec_err!("{what} of date_bin must be the same for all rows")
        }
        None => Ok(None),
    };
    let array = args[1].to_array(rows)?;
    let width = constant(0, "the interval")?.expect("date_bin has an interval");
    let origin = constant(2, "the origin")?;
    if width.is_null() || origin.is_some_and(ScalarValue::is_null) {
        return Ok(arrow::array::new_null_array(array.data_type(), rows));
    }
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = width else {
        return exec_err!("the interval of date_bin has an unsupported type");
    };
    if interval.months != 0 && (interval.days != 0 || interval.nanoseconds != 0) {
        return exec_err!("the interval of date_bin must not mix months with days or times");
    }
    let zone = args.get(3).map(|zone| constant_text(zone, "the zone of date_bin")).transpose()?;
    if let (DataType::Time64(_), origin) = (array.data_type(), origin) {
        let Some(TimeBucket::Fixed { width: width @ 1..DAY_US, .. }) = TimeBucket::bin(width, 0)
        else {
            return exec_err!(
                "the interval of date_bin over a time of day must be of whole microseconds and within a day"
            );
        };
        let Some(ScalarValue::Time64Nanosecond(origin)) = origin else {
            return clock(&array, width * 1_000, 0);
        };
        return clock(&array, width * 1_000, origin.unwrap_or(0));
    }
    let origin = match origin {
        Some(ScalarValue::TimestampMicrosecond(Some(us), _)) => *us,
        _ => 0,
    };
    let unit = TimeBucket::bin(width, origin);
    let months = i64::from(interval.months);
    if unit.is_none() && months <= 0 {
        return exec_err!(
            "the interval of date_bin must be longer than nothing, and of whole microseconds"
        );
    }
    let start = move |us| match unit {
        Some(unit) => unit.start(us),
        None => start_of_months(us, months, origin),
    };
    let utc = zone.is_none().then_some("UTC");
    starts(&array, zone.or(utc), |us, zone| match zone {
        None => start(us),
        Some(zone) => {
            let offset = super::time_bucket::offset_at(zone, us)?;
            super::time_bucket::instant_in(zone, start(us.checked_add(offset)?)?, offset)
        }
    })
}

/// Returns the start of the month interval that contains `us`, for an origin within a month. It
/// begins on the origin's day of the month, or on the last day of a shorter month.
fn start_of_months(us: i64, width: i64, origin: i64) -> Option<i64> {
    let unit =
        TimeBucket::bin(&interval_of_months(width)?, TimeBucket::named("month")?.start(origin)?)?;
    let from = DateTime::from_timestamp_micros(origin)?;
    let begins = |index: i64| -> Option<i64> {
        let months = index.checked_mul(width)?;
        let shift = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        let date = if months < 0 {
            from.checked_sub_months(shift)
        } else {
            from.checked_add_months(shift)
        };
        Some(date?.timestamp_micros())
    };
    let index = unit.index(us)? - unit.index(origin)?;
    let start = begins(index)?;
    if start > us { begins(index - 1) } else { Some(start) }
}

fn interval_of_months(months: i64) -> Option<ScalarValue> {
    Some(ScalarValue::new_interval_mdn(i32::try_from(months).ok()?, 0, 0))
}

/// Converts a column of times of any type to microseconds.
pub fn micros(arg: &ColumnarValue, rows: usize) -> Result<TimestampMicrosecondArray> {
    let array = arg.to_array(rows)?;
    let array = match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => array,
        DataType::Timestamp(_, zone) => {
            cast(&array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
        }
        _ => cast(&array, &DataType::Timestamp(TimeUnit::Microsecond, None))?,
    };
    Ok(array.as_primitive::<TimestampMicrosecondType>().clone())
}

/// Converts a column of times to microseconds of the local clock of their own zone.
pub fn local_micros(arg: &ColumnarValue, rows: usize) -> Result<TimestampMicrosecondArray> {
    let times = micros(arg, rows)?;
    let Some(zone) = zone_of(times.timezone())? else {
        return Ok(times.with_timezone_opt(None::<Arc<str>>));
    };
    let local = |us: i64| {
        super::time_bucket::offset_at(zone, us)
            .and_then(|offset| us.checked_add(offset))
            .ok_or_else(beyond)
    };
    times.with_timezone_opt(None::<Arc<str>>).try_unary(local)
}
