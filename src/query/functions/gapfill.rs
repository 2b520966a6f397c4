//! Functions of gap filling, as in TimescaleDB: `time_bucket_gapfill`, `locf` and `interpolate`.
//!
//! These three only mark where gaps are filled: an analyzer rule replaces them
//! (`optimizer/gap_filling.rs`). It uses two functions that have no name in SQL: [`buckets`] and
//! [`between`].

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, Float64Array, Int64Array, ListBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::function::{Function, documentation, equal_by_name, identity, is_text, time};
use super::time_bucket::TimeBucket;

pub const TIME_BUCKET_GAPFILL: &str = "time_bucket_gapfill";
pub const LOCF: &str = "locf";
pub const INTERPOLATE: &str = "interpolate";

/// Maximum number of buckets that are made of one batch of groups: 16 MiB of times.
const MAX_BUCKETS: usize = 2 << 20;

/// A function that a rule replaces where it may stand.
#[derive(Debug)]
struct Mark {
    name: &'static str,
    aliases: Vec<String>,
    /// Returns the type of the result.
    answers: fn(&[DataType]) -> Result<DataType>,
    /// Where it may stand.
    place: &'static str,
    signature: Signature,
    documentation: Documentation,
}

equal_by_name!(Mark);

impl ScalarUDFImpl for Mark {
    identity!();

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.return_type(types)?;
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        (self.answers)(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} {}", self.name, self.place)
    }
}

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let mark = |name, parameters: &[&str], answers, place, told: (&str, &str)| {
        let signature = Signature::user_defined(Volatility::Immutable)
            .with_parameter_names(parameters.to_vec())
            .expect("a function that checks its own arguments may name them");
        let (aliases, documentation) = (Vec::new(), documentation(told.0, told.1));
        Arc::new(ScalarUDF::new_from_impl(Mark {
            name,
            aliases,
            answers,
            place,
            signature,
            documentation,
        }))
    };
    let in_select =
        "stands in a SELECT whose GROUP BY has time_bucket_gapfill, around its aggregates";
    vec![
        mark(
            TIME_BUCKET_GAPFILL,
            &["bucket_width", "ts", "start", "finish"],
            bucket_type,
            "stands alone in GROUP BY, once: GROUP BY time_bucket_gapfill('1 hour', timestamp)",
            (
                "Time buckets, also those without rows.",
                "time_bucket_gapfill('1 hour', timestamp[, start, finish])",
            ),
        ),
        mark(
            LOCF,
            &["value"],
            first,
            in_select,
            ("In a gap, the value of the last bucket with rows.", "locf(count(*))"),
        ),
        mark(
            INTERPOLATE,
            &["value"],
            |types| number_type(&first(types)?),
            in_select,
            (
                "In a gap, the value on the line between the buckets around it.",
                "interpolate(avg(x))",
            ),
        ),
    ]
}

fn bucket_type(types: &[DataType]) -> Result<DataType> {
    const USAGE: &str = "time_bucket_gapfill is called as \
                         time_bucket_gapfill('1 hour', timestamp[, start, finish])";
    let [width, of, ..] = types else { return plan_err!("{USAGE}") };
    let is_width = matches!(width, DataType::Interval(_)) || is_text(width);
    // What comes after them is checked where it is used.
    match time(of).filter(|_| is_width && !of.is_string() && !of.is_null()) {
        Some(time) => Ok(time),
        None => plan_err!("{USAGE}"),
    }
}

fn first(types: &[DataType]) -> Result<DataType> {
    match types {
        [of, ..] => Ok(of.clone()),
        [] => plan_err!("a value is missing"),
    }
}

/// Returns the type in which numbers are interpolated: whole ones stay whole.
fn number_type(of: &DataType) -> Result<DataType> {
    match of {
        DataType::Null => Ok(DataType::Float64),
        of if of.is_integer() => Ok(DataType::Int64),
        of if of.is_numeric() => Ok(DataType::Float64),
        _ => plan_err!("interpolate takes a number, not {of}"),
    }
}

/// Returns the function `(width, origin, start, finish, bucket, before, after)`, whose value is the
/// array of the buckets of a row: its own, the gap after it, and the gap before it if it is the
/// first of its group. `before` and `after` are the buckets of the group's rows around it, null at
/// its ends; without a bucket of its own, the row stands for a group without rows. Buckets are made
/// from that of `start` up to `finish`, exclusively.
pub fn buckets() -> Arc<ScalarUDF> {
    Function::new("gapfill_buckets", buckets_types, fill).udf()
}

fn buckets_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let [width, _, _, _, bucket, _, _] = types else {
        return plan_err!("gapfill_buckets takes seven values");
    };
    let time = time(bucket).unwrap_or_else(|| bucket.clone());
    let origin = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut types = vec![width.clone(), origin];
    types.resize(7, time.clone());
    Ok((types, DataType::List(Arc::new(Field::new_list_field(time, true)))))
}

fn fill(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [ColumnarValue::Scalar(width), ColumnarValue::Scalar(origin), times @ ..] = args else {
        return exec_err!("the width of time_bucket_gapfill must be a constant");
    };
    let ScalarValue::TimestampMicrosecond(Some(origin), _) = origin else {
        return exec_err!("the origin of time_bucket_gapfill must be a constant");
    };
    let Some(unit) = TimeBucket::bin(width, *origin) else {
        return exec_err!(
            "the width of time_bucket_gapfill must be positive, and months or a time: {width}"
        );
    };
    let columns = times.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let column = |i: usize| columns[i].as_primitive::<TimestampMicrosecondType>();
    let at = |i: usize, row: usize| column(i).is_valid(row).then(|| column(i).value(row));
    let of = column(2).data_type().clone();
    let values = TimestampMicrosecondArray::builder(rows).with_data_type(of);
    let mut lists = ListBuilder::new(values);
    for row in 0..rows {
        let (Some(start), Some(finish)) = (at(0, row), at(1, row)) else {
            return exec_err!("the start and finish of time_bucket_gapfill must not be null");
        };
        let gap = |lists: &mut Lists, from: i64, to: i64| {
            add_gap(unit, from.max(start), to.min(finish), lists)
        };
        match at(2, row) {
            None => gap(&mut lists, start, finish)?,
            Some(bucket) => {
                if at(3, row).is_none() {
                    gap(&mut lists, start, bucket)?;
                }
                lists.values().append_value(bucket);
                let next = unit.interval(bucket).map_or(i64::MAX, |(_, next)| next);
                gap(&mut lists, next, at(4, row).unwrap_or(i64::MAX))?;
            }
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

type Lists = ListBuilder<arrow::array::TimestampMicrosecondBuilder>;

/// Adds the buckets that begin before `to`, from that of `from` on.
fn add_gap(unit: TimeBucket, from: i64, to: i64, lists: &mut Lists) -> Result<()> {
    if from >= to {
        return Ok(());
    }
    let mut next = unit.start(from);
    while let Some(bucket) = next.filter(|bucket| *bucket < to) {
        if lists.values().len() >= MAX_BUCKETS {
            return exec_err!(
                "time_bucket_gapfill would make more than {MAX_BUCKETS} rows: choose wider buckets, \
                 a shorter range, or fewer groups"
            );
        }
        lists.values().append_value(bucket);
        next = unit.interval(bucket).map(|(_, next)| next);
    }
    Ok(())
}

/// Returns the function `(value, time, next value, next time, at)`, whose value is that at the time
/// `at` on the line between the two values; null if one of them is. Between whole numbers it is cut
/// to one, as in TimescaleDB.
pub fn between() -> Arc<ScalarUDF> {
    Function::new("gapfill_between", between_types, interpolated).udf()
}

fn between_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let [value, _, _, _, at] = types else {
        return plan_err!("gapfill_between takes five values");
    };
    let (number, time) = (number_type(value)?, at.clone());
    Ok((vec![number.clone(), time.clone(), number.clone(), time.clone(), time], number))
}

fn interpolated(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let columns = args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let [value, time, next_value, next_time, at] = &columns[..] else {
        return exec_err!("gapfill_between takes five values");
    };
    let us = |of: &ArrayRef, row: usize| {
        let of = of.as_primitive::<TimestampMicrosecondType>();
        of.is_valid(row).then(|| of.value(row))
    };
    // The part of the way from the one time to the other, as a fraction.
    let way = |row: usize| {
        let (from, to, at) = (us(time, row)?, us(next_time, row)?, us(at, row)?);
        (from < to).then(|| (i128::from(at - from), i128::from(to - from)))
    };
    let is_there = |row: usize| value.is_valid(row) && next_value.is_valid(row);
    Ok(if value.data_type() == &DataType::Int64 {
        let (value, next) =
            (value.as_primitive::<Int64Type>(), next_value.as_primitive::<Int64Type>());
        let number = |row: usize| {
            let (part, whole) = way(row).filter(|_| is_there(row))?;
            let (first, last) = (i128::from(value.value(row)), i128::from(next.value(row)));
            i64::try_from((first * (whole - part) + last * part) / whole).ok()
        };
        Arc::new((0..rows).map(number).collect::<Int64Array>())
    } else {
        let (value, next) =
            (value.as_primitive::<Float64Type>(), next_value.as_primitive::<Float64Type>());
        let number = |row: usize| {
            let (part, whole) = way(row).filter(|_| is_there(row))?;
            let (first, last) = (value.value(row), next.value(row));
            Some((first * (whole - part) as f64 + last * part as f64) / whole as f64)
        };
        Arc::new((0..rows).map(number).collect::<Float64Array>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = crate::hour::HOUR_US;

    /// Returns the buckets of an hour for one row, as hours.
    fn filled(start: i64, finish: i64, bucket: Option<i64>, around: [Option<i64>; 2]) -> Vec<i64> {
        let time = |hour: Option<i64>| {
            ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(hour.map(|h| h * HOUR), None))
        };
        let width = ScalarValue::new_interval_mdn(0, 0, HOUR * 1_000);
        let [before, after] = around;
        let times = [Some(0), Some(start), Some(finish), bucket, before, after].map(time);
        let args: Vec<_> = [ColumnarValue::Scalar(width)].into_iter().chain(times).collect();
        let lists = fill(&args, 1).unwrap();
        let values = lists.as_list::<i32>().value(0);
        values
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .map(|us| us.unwrap() / HOUR)
            .collect()
    }

    #[test]
    fn a_row_has_the_gap_after_it_and_the_first_one_that_before_it() {
        assert_eq!(filled(2, 8, Some(4), [None, Some(6)]), [2, 3, 4, 5]);
        assert_eq!(filled(2, 8, Some(6), [Some(4), None]), [6, 7]);
        assert_eq!(filled(2, 8, Some(5), [Some(4), Some(6)]), [5]);
    }

    #[test]
    fn rows_outside_of_the_range_stay_and_no_row_is_the_whole_range() {
        assert_eq!(filled(2, 4, None, [None, None]), [2, 3]);
        assert_eq!(filled(2, 4, Some(0), [None, None]), [0, 2, 3]);
        assert_eq!(filled(2, 4, Some(9), [None, None]), [2, 3, 9]);
        assert_eq!(filled(4, 2, Some(9), [None, None]), [9]);
        assert!(filled(4, 2, None, [None, None]).is_empty());
    }
}
