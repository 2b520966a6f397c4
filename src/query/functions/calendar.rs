//! Functions between times: `date_diff`, `age`, `make_timestamp`, `epoch_ms`, `to_unixtime`, and
//! `width_bucket` for numbers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use chrono::{DateTime, Months, NaiveDate, NaiveDateTime};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::functions::datetime;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use super::function::{Function, constant_text, is_text, time};
use super::time_bucket::{DAY_US, SECOND_US, TimeBucket};
use super::trunc::{local_micros, micros};

/// Maximum bytes of the texts in one batch.
const MAX_BYTES: usize = 32 << 20;

const NAIVE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("date_diff", diff_types, diff)
            .told("The number of boundaries of a unit between two times.", "date_diff('day', a, b)")
            .or("datediff")
            .udf(),
        age_udf(),
        Function::new("make_timestamp", make_types, make)
            .told(
                "The time of a year, month, day, hour, minute and second.",
                "make_timestamp(year, month, day, hour, minute, second)",
            )
            .udf(),
        Function::new("epoch_ms", epoch_ms_types, epoch_ms)
            .told(
                "Converts a time to milliseconds since 1970, or milliseconds to a time.",
                "epoch_ms(timestamp)",
            )
            .udf(),
        Function::new("to_unixtime", unixtime_types, unixtime)
            .in_place_of(&datetime::to_unixtime())
            .udf(),
        Function::new("width_bucket", bucket_types, bucket)
            .told(
                "The number of the equal-width bucket that a value falls into.",
                "width_bucket(x, low, high, count)",
            )
            .udf(),
    ]
}

pub fn age_udf() -> Arc<ScalarUDF> {
    Function::new("age", age_types, age)
        .told("The months, days and time between two times.", "age(later, earlier)")
        .udf()
}

pub fn to_char_udf() -> Arc<ScalarUDF> {
    Function::new("to_char", char_types, to_char)
        .or("date_format")
        .in_place_of(&datetime::to_char())
        .udf()
}

fn diff_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [unit, a, b] if is_text(unit) => match (time(a), time(b)) {
            (Some(a), Some(b)) => Ok((vec![DataType::Utf8, a, b], DataType::Int64)),
            _ => plan_err!("date_diff takes a unit and two times: date_diff('day', a, b)"),
        },
        _ => plan_err!("date_diff takes a unit and two times: date_diff('day', a, b)"),
    }
}

/// Returns the number of times that a unit begins between two times.
fn diff(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let name = constant_text(&args[0], "the unit of date_diff")?;
    let unit = TimeBucket::named(name)
        .ok_or_else(|| exec_datafusion_err!("'{name}' is no unit of date_diff"))?;
    let (from, to) = (local_micros(&args[1], rows)?, local_micros(&args[2], rows)?);
    let diff = |a, b| Some(unit.index(b)? - unit.index(a)?);
    Ok(Arc::new(Int64Array::from_iter(from.iter().zip(&to).map(|(a, b)| diff(a?, b?)))))
}

fn age_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        // The time until the last midnight; rewritten to another expression before the statement
        // runs.
        [a] if time(a).is_some() => Ok((types.to_vec(), INTERVAL)),
        [a, b] => match (time(a), time(b)) {
            (Some(a), Some(b)) => Ok((vec![a, b], INTERVAL)),
            _ => plan_err!("age takes two times: age(later, earlier)"),
        },
        _ => plan_err!("age takes one time or two: age(later, earlier)"),
    }
}

fn age(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let (later, earlier) = (local_micros(&args[0], rows)?, local_micros(&args[1], rows)?);
    let ages = later.iter().zip(&earlier).map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => age_of(a, b)
            .map(Some)
            .ok_or_else(|| exec_datafusion_err!("a time is outside the range of the calendar")),
        _ => Ok(None),
    });
    Ok(Arc::new(ages.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// Returns the months, days and time between two times, counted as in PostgreSQL.
fn age_of(later: i64, earlier: i64) -> Option<IntervalMonthDayNano> {
    if later < earlier {
        let age = age_of(earlier, later)?;
        return Some(IntervalMonthDayNano::new(-age.months, -age.days, -age.nanoseconds));
    }
    let (from, to) =
        (DateTime::from_timestamp_micros(earlier)?, DateTime::from_timestamp_micros(later)?);
    let fields = |of: DateTime<chrono::Utc>| {
        use chrono::Datelike;
        (i64::from(of.year()) * 12 + i64::from(of.month0()), i64::from(of.day()))
    };
    let ((from_month, from_day), (to_month, to_day)) = (fields(from), fields(to));
    let (mut months, mut days) = (to_month - from_month, to_day - from_day);
    let mut clock = later.rem_euclid(DAY_US) - earlier.rem_euclid(DAY_US);
    if clock < 0 {
        clock += DAY_US;
        days -= 1;
    }
    if days < 0 {
        // The length of the month that the earlier time lies in.
        let first = from.date_naive() - chrono::Days::new(u64::try_from(from_day).ok()? - 1);
        days += (first.checked_add_months(Months::new(1))? - first).num_days();
        months -= 1;
    }
    Some(IntervalMonthDayNano::new(
        i32::try_from(months).ok()?,
        i32::try_from(days).ok()?,
        clock * 1_000,
    ))
}

fn make_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types.len() {
        6 => Ok(([vec![DataType::Int64; 5], vec![DataType::Float64]].concat(), NAIVE)),
        _ => plan_err!("make_timestamp takes year, month, day, hour, minute and second"),
    }
}

fn make(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let columns = args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let mut times = Vec::with_capacity(rows);
    for row in 0..rows {
        if columns.iter().any(|column| column.is_null(row)) {
            times.push(None);
            continue;
        }
        let number = |i: usize| columns[i].as_primitive::<Int64Type>().value(row);
        let second = columns[5].as_primitive::<Float64Type>().value(row);
        let part = |i: usize| u32::try_from(number(i)).ok();
        let midnight = || -> Option<NaiveDateTime> {
            let date = NaiveDate::from_ymd_opt(i32::try_from(number(0)).ok()?, part(1)?, part(2)?)?;
            date.and_hms_opt(part(3)?, part(4)?, 0)
        };
        let micros = (second * 1e6).round();
        match midnight() {
            Some(minute) if (0.0..=60e6).contains(&micros) => {
                times.push(Some(minute.and_utc().timestamp_micros() + micros as i64));
            }
            _ => return exec_err!("make_timestamp: there is no such time"),
        }
    }
    Ok(Arc::new(TimestampMicrosecondArray::from(times)))
}

fn epoch_ms_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [number] if number.is_integer() => Ok((vec![DataType::Int64], NAIVE)),
        [of] if time(of).is_some() => Ok((vec![time(of).expect("checked")], DataType::Int64)),
        _ => plan_err!("epoch_ms takes a time, or milliseconds since 1970"),
    }
}

fn epoch_ms(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let array = args[0].to_array(rows)?;
    if *array.data_type() != DataType::Int64 {
        return Ok(Arc::new(
            micros(&args[0], rows)?.unary::<_, Int64Type>(|us| us.div_euclid(1_000)),
        ));
    }
    let times =
        array.as_primitive::<Int64Type>().try_unary::<_, TimestampMicrosecondType, _>(|ms| {
            ms.checked_mul(1_000).ok_or_else(|| {
                exec_datafusion_err!("{ms} milliseconds are outside the range of the calendar")
            })
        })?;
    Ok(Arc::new(times))
}

fn unixtime_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [of] if time(of).is_some() => Ok((vec![time(of).expect("checked")], DataType::Int64)),
        [number] if number.is_numeric() => Ok((vec![DataType::Int64], DataType::Int64)),
        _ => plan_err!("to_unixtime takes a time"),
    }
}

fn unixtime(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let array = args[0].to_array(rows)?;
    match array.data_type() {
        DataType::Int64 => Ok(array),
        _ => Ok(Arc::new(
            micros(&args[0], rows)?.unary::<_, Int64Type>(|us| us.div_euclid(SECOND_US)),
        )),
    }
}

fn bucket_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let is_number = |of: &DataType| of.is_numeric() || of.is_null();
    if types.len() == 4 && types.iter().all(is_number) {
        Ok(([vec![DataType::Float64; 3], vec![DataType::Int64]].concat(), DataType::Int64))
    } else {
        plan_err!("width_bucket takes a number, the two ends of a range and a count of buckets")
    }
}

/// Returns the bucket of a number among `count` buckets of one width: 0 below them, `count + 1`
/// above.
fn bucket(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let columns = args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let number = |i: usize| columns[i].as_primitive::<Float64Type>().iter();
    let counts = columns[3].as_primitive::<Int64Type>().iter();
    let buckets =
        number(0).zip(number(1)).zip(number(2).zip(counts)).map(|((x, low), (high, count))| {
            let (Some(x), Some(low), Some(high), Some(count)) = (x, low, high, count) else {
                return Ok(None);
            };
            if count < 1
                || count > i64::from(i32::MAX)
                || low == high
                || !low.is_finite()
                || !high.is_finite()
                || x.is_nan()
            {
                return exec_err!(
                    "width_bucket needs two different, finite ends and at least one bucket"
                );
            }
            // The range may be descending.
            let (above, width) =
                if low < high { (x - low, high - low) } else { (low - x, low - high) };
            Ok(Some(match above {
                above if above < 0.0 => 0,
                above if above >= width => count + 1,
                above => ((above / width * count as f64) as i64).min(count - 1) + 1,
            }))
        });
    Ok(Arc::new(buckets.collect::<Result<Int64Array>>()?))
}

fn char_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [of, format] if is_text(format) => {
            let of = match of {
                DataType::Date32 | DataType::Date64 => Some(NAIVE),
                DataType::Time32(_) | DataType::Time64(_) => {
                    Some(DataType::Time64(TimeUnit::Nanosecond))
                }
                DataType::Duration(_) => Some(of.clone()),
                other => time(other),
            };
            match of {
                Some(of) => Ok((vec![of, DataType::Utf8], DataType::Utf8)),
                None => {
                    plan_err!("to_char takes a time and a format: to_char(timestamp, '%Y-%m-%d')")
                }
            }
        }
        _ => plan_err!("to_char takes a time and a format: to_char(timestamp, '%Y-%m-%d')"),
    }
}

fn to_char(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let array = args[0].to_array(rows)?;
    let formats = match &args[1] {
        ColumnarValue::Scalar(format) => vec![format.try_as_str().flatten().map(str::to_string)],
        ColumnarValue::Array(array) => {
            array.as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
        }
    };
    let mut texts = Vec::with_capacity(rows);
    let mut formatter = super::format::Formatter::new(&array)?;
    let mut bytes = 0;
    for row in 0..rows {
        let format = &formats[if formats.len() == 1 { 0 } else { row }];
        texts.push(match format {
            Some(format) if array.is_valid(row) => Some(formatter.format(row, format)?),
            _ => None,
        });
        bytes += texts.last().and_then(Option::as_ref).map_or(0, String::len);
        if bytes > MAX_BYTES {
            return exec_err!(
                "to_char would produce more than {MAX_BYTES} bytes for a batch of rows"
            );
        }
    }
    Ok(Arc::new(StringArray::from(texts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_counted_in_months_days_and_time() {
        let at = |text: &str| super::super::text::parse_time(text, None).unwrap();
        let age = |a: &str, b: &str| {
            let age = age_of(at(a), at(b)).unwrap();
            (age.months, age.days, age.nanoseconds / 1_000_000_000)
        };
        assert_eq!(age("2001-04-10", "1957-06-13"), (43 * 12 + 9, 27, 0));
        assert_eq!(age("2024-03-01", "2024-01-31"), (1, 1, 0));
        assert_eq!(age("2024-01-31", "2024-03-01"), (-1, -1, 0));
        assert_eq!(age("2024-03-01 01:00", "2024-02-29 23:00"), (0, 0, 7_200));
        assert_eq!(age("9999-12-31", "1970-01-01"), (8029 * 12 + 11, 30, 0));
    }
}
