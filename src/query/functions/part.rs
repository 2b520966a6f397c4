//! `date_part` and `extract`: parts of a time, a date, a time of day or an interval, with the
//! results of PostgreSQL.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, TimestampMicrosecondArray};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use chrono::NaiveDateTime;
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::function::is_text;

pub fn udf() -> Arc<ScalarUDF> {
    let documentation = datafusion::functions::datetime::date_part().documentation().cloned();
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Part {
        signature,
        aliases: vec!["datepart".into()],
        documentation,
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    signature: Signature,
    aliases: Vec<String>,
    documentation: Option<Documentation>,
}

#[derive(Clone, Copy, Debug)]
enum PartKind {
    /// A part that Arrow computes, a whole number.
    Whole(DatePart),
    /// The year divided by a number of years.
    Years(i32),
    Century(i32),
    /// Seconds within the minute, with their fraction, in units of the given number of nanoseconds.
    Seconds(f64),
    Microseconds,
    Nanoseconds,
    /// Seconds since 1970, or the seconds of an interval.
    Epoch,
    /// Offset of the zone from UTC, in seconds.
    Offset,
}

impl FromStr for PartKind {
    type Err = datafusion::error::DataFusionError;

    fn from_str(name: &str) -> Result<PartKind> {
        let name = name.trim_matches(['\'', '"']).to_ascii_lowercase();
        Ok(match name.as_str() {
            "year" | "years" | "yr" | "yrs" | "y" => PartKind::Whole(DatePart::Year),
            "isoyear" => PartKind::Whole(DatePart::YearISO),
            "quarter" | "quarters" | "qtr" => PartKind::Whole(DatePart::Quarter),
            "month" | "months" | "mon" | "mons" => PartKind::Whole(DatePart::Month),
            "week" | "weeks" | "w" => PartKind::Whole(DatePart::Week),
            "day" | "days" | "d" => PartKind::Whole(DatePart::Day),
            "doy" => PartKind::Whole(DatePart::DayOfYear),
            "dow" => PartKind::Whole(DatePart::DayOfWeekSunday0),
            "isodow" => PartKind::Whole(DatePart::DayOfWeekMonday1),
            "hour" | "hours" | "hr" | "hrs" | "h" => PartKind::Whole(DatePart::Hour),
            "minute" | "minutes" | "min" | "mins" | "m" => PartKind::Whole(DatePart::Minute),
            "second" | "seconds" | "sec" | "secs" | "s" => PartKind::Seconds(1e9),
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => PartKind::Seconds(1e6),
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => PartKind::Microseconds,
            "nanosecond" | "nanoseconds" | "ns" | "nanos" => PartKind::Nanoseconds,
            "decade" | "decades" => PartKind::Years(10),
            "century" | "centuries" => PartKind::Century(100),
            "millennium" | "millennia" => PartKind::Century(1_000),
            "epoch" => PartKind::Epoch,
            "timezone" => PartKind::Offset,
            _ => {
                return plan_err!(
                    "'{name}' is no part of a time: year, quarter, month, week, day, dow, doy, hour, minute, second, \
                     millisecond, microsecond and epoch are, and isoyear, isodow, decade, century and millennium"
                );
            }
        })
    }
}

impl PartKind {
    fn answers(self) -> DataType {
        match self {
            PartKind::Whole(_) | PartKind::Years(_) | PartKind::Century(_) | PartKind::Offset => {
                DataType::Int32
            }
            PartKind::Seconds(_) | PartKind::Epoch => DataType::Float64,
            PartKind::Microseconds | PartKind::Nanoseconds => DataType::Int64,
        }
    }

    fn of(self, array: &ArrayRef) -> Result<ArrayRef> {
        // A difference of times is split into days and a time of less than one day.
        let whole = match (self, array.data_type()) {
            (
                PartKind::Whole(_) | PartKind::Years(_) | PartKind::Century(_),
                DataType::Duration(_),
            ) => days_and_time(array)?,
            _ => array.clone(),
        };
        let number = |part| match without_zone(&whole) {
            Some(times) => part_in_utc(&times, part),
            None => Ok(date_part(&whole, part)?),
        };
        let years = |of: &dyn Fn(i32) -> i32| -> Result<ArrayRef> {
            Ok(Arc::new(
                number(DatePart::Year)?.as_primitive::<Int32Type>().unary::<_, Int32Type>(of),
            ))
        };
        Ok(match self {
            PartKind::Whole(part) => number(part)?,
            PartKind::Years(many) => years(&|year| year.div_euclid(many))?,
            PartKind::Century(many) => years(&|year| (year - 1).div_euclid(many) + 1)?,
            PartKind::Seconds(unit) => Arc::new(Float64Array::from_iter(
                nanos(array)?.iter().map(|n| Some(n? as f64 / unit)),
            )),
            PartKind::Microseconds => {
                Arc::new(nanos(array)?.unary::<_, Int64Type>(|ns| ns / 1_000))
            }
            PartKind::Nanoseconds => Arc::new(nanos(array)?),
            PartKind::Epoch => Arc::new(epoch(array)?),
            PartKind::Offset => offset(array)?,
        })
    }
}

/// Returns times in microseconds whose clock is that of UTC, without their zone; `None` for others.
fn without_zone(times: &ArrayRef) -> Option<TimestampMicrosecondArray> {
    match times.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, zone)
            if zone.as_deref().is_none_or(|zone| ["UTC", "Z", "+00:00"].contains(&zone)) =>
        {
            let times = times.as_primitive::<TimestampMicrosecondType>();
            Some(times.clone().with_timezone_opt(None::<Arc<str>>))
        }
        _ => None,
    }
}

/// Returns a part of each time as Arrow does, which makes a date of each: an hour and a minute need
/// none.
fn part_in_utc(times: &TimestampMicrosecondArray, part: DatePart) -> Result<ArrayRef> {
    const MINUTE_US: i64 = 60_000_000;
    let (first, last) = (NaiveDateTime::MIN.and_utc(), NaiveDateTime::MAX.and_utc());
    let dates = first.timestamp_micros()..=last.timestamp_micros();
    let of = |unit_us: i64, cycle: i64| -> Result<ArrayRef> {
        let part = |us: i64| (us.div_euclid(unit_us)).rem_euclid(cycle) as i32;
        // A time of which there is no date has no parts. Stored times all have one, and a loop
        // without that question takes a fraction of the time.
        if times.values().iter().all(|us| dates.contains(us)) {
            return Ok(Arc::new(times.unary::<_, Int32Type>(part)));
        }
        let part = |us| dates.contains(&us).then(|| part(us));
        Ok(Arc::new(times.unary_opt::<_, Int32Type>(part)))
    };
    match part {
        DatePart::Minute => of(MINUTE_US, 60),
        DatePart::Hour => of(60 * MINUTE_US, 24),
        _ => Ok(date_part(times, part)?),
    }
}

fn days_and_time(differences: &ArrayRef) -> Result<ArrayRef> {
    const DAY_NS: i128 = 86_400_000_000_000;
    let (differences, scale): (_, i128) = match differences.data_type() {
        DataType::Duration(TimeUnit::Nanosecond) => (differences.clone(), 1),
        _ => (cast(differences, &DataType::Duration(TimeUnit::Microsecond))?, 1_000),
    };
    let whole = cast(&differences, &DataType::Int64)?;
    let split = |n: i64| {
        let ns = i128::from(n) * scale;
        IntervalMonthDayNano::new(0, (ns / DAY_NS) as i32, (ns % DAY_NS) as i64)
    };
    Ok(Arc::new(whole.as_primitive::<Int64Type>().unary::<_, IntervalMonthDayNanoType>(split)))
}

/// Returns the nanoseconds within the minute.
fn nanos(array: &ArrayRef) -> Result<Int64Array> {
    const MINUTE: i64 = 60_000_000_000;
    let within = |array: &ArrayRef, nanos: i64, of: DataType| -> Result<Int64Array> {
        let whole = cast(&cast(array, &of)?, &DataType::Int64)?;
        Ok(whole.as_primitive::<Int64Type>().unary(|n| n.rem_euclid(MINUTE / nanos) * nanos))
    };
    Ok(match array.data_type() {
        DataType::Date32 | DataType::Date64 => {
            let days = cast(array, &DataType::Date32)?;
            days.as_primitive::<Date32Type>().unary(|_| 0)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            within(array, 1, array.data_type().clone())?
        }
        DataType::Timestamp(_, zone) => {
            within(array, 1_000, DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            within(array, 1, DataType::Time64(TimeUnit::Nanosecond))?
        }
        DataType::Interval(_) => {
            let intervals = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            intervals
                .as_primitive::<IntervalMonthDayNanoType>()
                .unary(|interval| interval.nanoseconds % MINUTE)
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            let whole = cast(array, &DataType::Int64)?;
            whole.as_primitive::<Int64Type>().unary(|ns| ns % MINUTE)
        }
        DataType::Duration(_) => {
            let whole =
                cast(&cast(array, &DataType::Duration(TimeUnit::Microsecond))?, &DataType::Int64)?;
            whole.as_primitive::<Int64Type>().unary(|us| us % (MINUTE / 1_000) * 1_000)
        }
        other => return exec_err!("{other} has no seconds"),
    })
}

fn epoch(array: &ArrayRef) -> Result<Float64Array> {
    let seconds = |of: DataType, unit: f64| -> Result<Float64Array> {
        let whole = cast(&cast(array, &of)?, &DataType::Int64)?;
        Ok(Float64Array::from_iter(
            whole.as_primitive::<Int64Type>().iter().map(|n| Some(n? as f64 / unit)),
        ))
    };
    match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            Ok(Float64Array::from_iter(days.iter().map(|day| Some(f64::from(day?) * 86_400.0))))
        }
        DataType::Date64 => seconds(DataType::Date64, 1e3),
        of @ DataType::Timestamp(TimeUnit::Nanosecond, _) => seconds(of.clone(), 1e9),
        DataType::Timestamp(_, zone) => {
            seconds(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()), 1e6)
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            seconds(DataType::Time64(TimeUnit::Nanosecond), 1e9)
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            seconds(DataType::Duration(TimeUnit::Nanosecond), 1e9)
        }
        DataType::Duration(_) => seconds(DataType::Duration(TimeUnit::Microsecond), 1e6),
        DataType::Interval(_) => {
            let intervals = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            // A year has 365.25 days and a month 30, as in PostgreSQL.
            Ok(Float64Array::from_iter(
                intervals.as_primitive::<IntervalMonthDayNanoType>().iter().map(|interval| {
                    let interval = interval?;
                    let days = f64::from(interval.months / 12) * 365.25
                        + f64::from(interval.months % 12) * 30.0
                        + f64::from(interval.days);
                    Some(days * 86_400.0 + interval.nanoseconds as f64 / 1e9)
                }),
            ))
        }
        other => exec_err!("{other} has no epoch"),
    }
}

fn offset(array: &ArrayRef) -> Result<ArrayRef> {
    let DataType::Timestamp(_, zone) = array.data_type() else {
        return exec_err!("{} has no time zone", array.data_type());
    };
    let zone = zone.as_deref().unwrap_or("UTC");
    let tz = zone.parse().map_err(|_| exec_datafusion_err!("'{zone}' is no time zone"))?;
    let times = super::trunc::micros(&ColumnarValue::Array(array.clone()), array.len())?;
    let offset =
        |us| super::time_bucket::offset_at(tz, us).map_or(0, |offset| (offset / 1_000_000) as i32);
    Ok(Arc::new(times.unary::<_, Int32Type>(offset)))
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &str {
        "date_part"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [part, of] if is_text(part) => {
                let of = match of {
                    text if is_text(text) => DataType::Timestamp(TimeUnit::Microsecond, None),
                    of if of.is_temporal() => of.clone(),
                    _ => {
                        return plan_err!(
                            "date_part takes a part and a time: date_part('hour', timestamp)"
                        );
                    }
                };
                Ok(vec![DataType::Utf8, of])
            }
            _ => plan_err!("date_part takes a part and a time: date_part('hour', timestamp)"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let part = args
            .scalar_arguments
            .first()
            .copied()
            .flatten()
            .and_then(|part| part.try_as_str().flatten());
        let Some(part) = part else {
            return plan_err!("the part of date_part must be a constant: 'hour'");
        };
        let answers = PartKind::from_str(part)?.answers();
        Ok(Arc::new(Field::new(
            self.name(),
            answers,
            args.arg_fields.iter().any(|field| field.is_nullable()),
        )))
    }

    /// Returns the range of times that have a given year.
    fn preimage(
        &self,
        args: &[Expr],
        value: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        datafusion::functions::datetime::date_part().preimage(args, value, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.documentation.as_ref()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let part = PartKind::from_str(super::function::constant_text(
            &args.args[0],
            "the part of date_part",
        )?)?;
        match &args.args[1] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(part.of(array)?)),
            ColumnarValue::Scalar(value) => {
                let answer = part.of(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_minutes_are_those_of_arrow() {
        let day = 86_400_000_000_i64;
        let near = [-1, 0, 1, 59_999_999, 60_000_000, 3_599_999_999, 3_600_000_000, day - 1];
        let starts = [0, day, -day, 1_709_164_800_000_000, -62_135_596_800_000_000];
        let times = starts.iter().flat_map(|start| near.iter().map(move |us| Some(start + us)));
        let usual: Vec<_> = times.chain([None]).collect();
        let ends = [Some(i64::MIN), Some(i64::MAX), Some(8_210_266_876_799_999_999), None, Some(0)];
        for times in [usual, ends.to_vec()] {
            let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
            for part in [DatePart::Hour, DatePart::Minute, DatePart::Second, DatePart::Day] {
                let expected = date_part(&times, part).unwrap();
                let times: ArrayRef = Arc::new(times.clone());
                assert_eq!(&PartKind::Whole(part).of(&times).unwrap(), &expected, "{part:?}");
            }
        }
    }
}
