//! Functions that make times: `now`, `to_timestamp` and its family, `from_unixtime`. All return
//! microseconds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, TimeUnit};
use chrono::format::{Parsed, StrftimeItems, parse_and_remainder};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{
    Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err,
};
use datafusion::functions::datetime;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::format::reading_templates;
use super::function::{Function, is_text};
use super::text::parse_time;

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let config = ConfigOptions::default();
    vec![
        now(),
        Function::new("to_timestamp", types, |args, rows| times(args, rows, 1_000_000))
            .in_place_of(&datetime::to_timestamp(&config))
            .udf(),
        Function::new("to_timestamp_seconds", types, |args, rows| times(args, rows, 1_000_000))
            .in_place_of(&datetime::to_timestamp_seconds(&config))
            .udf(),
        Function::new("to_timestamp_millis", types, |args, rows| times(args, rows, 1_000))
            .in_place_of(&datetime::to_timestamp_millis(&config))
            .udf(),
        Function::new("to_timestamp_micros", types, |args, rows| times(args, rows, 1))
            .in_place_of(&datetime::to_timestamp_micros(&config))
            .udf(),
        Function::new("to_timestamp_nanos", types, |args, rows| times(args, rows, 0))
            .in_place_of(&datetime::to_timestamp_nanos(&config))
            .udf(),
        Function::new("from_unixtime", unixtime_types, |args, rows| {
            times(&args[..1], rows, 1_000_000)
        })
        .in_place_of(&datetime::from_unixtime())
        .udf(),
    ]
}

pub fn now() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Now {
        signature: Signature::nullary(Volatility::Stable),
        aliases: ["current_timestamp", "transaction_timestamp", "statement_timestamp"]
            .map(String::from)
            .into(),
    }))
}

/// The function `now`: the time at which the statement began.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    signature: Signature,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        "now"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(utc())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), utc(), false)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("now() is a constant by the time a statement runs")
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match info.query_execution_start_time() {
            None => ExprSimplifyResult::Original(args),
            Some(now) => {
                let now = ScalarValue::TimestampMicrosecond(
                    Some(now.timestamp_micros()),
                    Some("UTC".into()),
                );
                ExprSimplifyResult::Simplified(Expr::Literal(now, None))
            }
        })
    }
}

fn types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let [of, formats @ ..] = types else {
        return plan_err!("to_timestamp takes a number or a text");
    };
    if !formats.iter().all(is_text) {
        return plan_err!(
            "to_timestamp takes formats as texts: to_timestamp('06.01.2025', '%d.%m.%Y')"
        );
    }
    let coerced = match of {
        text if is_text(text) => DataType::Utf8,
        of if of.is_integer() => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => DataType::Decimal128(38, 9),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => utc(),
        other => return plan_err!("to_timestamp takes a number or a text, not {other}"),
    };
    let coerced = std::iter::once(coerced).chain(formats.iter().map(|_| DataType::Utf8));
    Ok((coerced.collect(), utc()))
}

fn unixtime_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [of] if of.is_integer() || of.is_null() => Ok((vec![DataType::Int64], utc())),
        _ => plan_err!(
            "from_unixtime takes seconds since 1970; for another zone write from_unixtime(s) AT TIME ZONE '…'"
        ),
    }
}

/// Converts numbers or texts to times. Numbers are in units of `unit` microseconds, 0 for
/// nanoseconds.
fn times(args: &[ColumnarValue], rows: usize, unit: i64) -> Result<ArrayRef> {
    let array = args[0].to_array(rows)?;
    let scale = i128::from(if unit == 0 { 1 } else { unit });
    let fit = |us: i128| {
        i64::try_from(us).ok().filter(|us| DateTime::from_timestamp_micros(*us).is_some())
    };
    let beyond = || exec_datafusion_err!("a time is outside the range of the calendar");
    let times: TimestampMicrosecondArray = match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().try_unary(|n| {
            if unit == 0 && n % 1_000 != 0 {
                return exec_err!(
                    "a time has microseconds at most: {n} nanoseconds are no whole number of them"
                );
            }
            let n = i128::from(n);
            fit(if unit == 0 { n / 1_000 } else { n * scale }).ok_or_else(beyond)
        })?,
        DataType::Float64 => array.as_primitive::<Float64Type>().try_unary(|n| {
            let us = if unit == 0 { n / 1e3 } else { n * unit as f64 };
            let us = if us.is_finite() { fit(us.round() as i128) } else { None };
            us.ok_or_else(beyond)
        })?,
        DataType::Decimal128(..) => {
            array.as_primitive::<arrow::datatypes::Decimal128Type>().try_unary(|n| {
                let us = match unit {
                    0 => Some(n.div_euclid(1_000_000_000_000)),
                    _ => n.checked_mul(scale).map(|us| us.div_euclid(1_000_000_000)),
                };
                us.and_then(fit).ok_or_else(beyond)
            })?
        }
        DataType::Utf8 => {
            let formats =
                args[1..].iter().map(|format| format.to_array(rows)).collect::<Result<Vec<_>>>()?;
            let time = |row: usize| {
                if array.is_null(row) {
                    Ok(None)
                } else {
                    of_text(array.as_string::<i32>().value(row), &formats, row)
                }
            };
            (0..rows).map(time).collect::<Result<_>>()?
        }
        _ => {
            let array = cast(&array, &utc())?;
            array.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone()
        }
    };
    Ok(Arc::new(times.with_timezone("UTC")))
}

/// Parses a text by the first of the formats that fits, or by [`parse_time`] if there are none. A
/// format is one of chrono's if it has a percent sign, else one of PostgreSQL's.
fn of_text(text: &str, formats: &[ArrayRef], row: usize) -> Result<Option<i64>> {
    let formats = formats
        .iter()
        .filter(|format| format.is_valid(row))
        .map(|format| format.as_string::<i32>().value(row));
    let formats: Vec<&str> = formats.collect();
    if formats.is_empty() {
        return parse_time(text, Some("UTC"))
            .map(Some)
            .map_err(|reason| exec_datafusion_err!("{reason}"));
    }
    let by = |format: &&str| -> Option<i64> {
        let with_zone = DateTime::parse_from_str(text, format).map(|time| time.timestamp_micros());
        let local = || {
            NaiveDateTime::parse_from_str(text, format)
                .map(|time| time.and_utc().timestamp_micros())
        };
        let date = || {
            let date = NaiveDate::parse_from_str(text, format);
            date.map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros())
        };
        with_zone.or_else(|_| local()).or_else(|_| date()).ok()
    };
    let mut by_either = |format: &&str| match format.contains('%') {
        true => by(format),
        false => by_templates(text, format),
    };
    match formats.iter().find_map(&mut by_either) {
        Some(us) => Ok(Some(us)),
        None => exec_err!(
            "'{text}' does not fit '{}': %Y, %m, %d, %H, %M and %S are parts of a format, or YYYY, MM, DD, HH24, MI and SS",
            formats.join("', '")
        ),
    }
}

/// Reads a text by a format of PostgreSQL, which may say less than a time and end before the text.
/// What it does not say is the least that it may be.
fn by_templates(text: &str, format: &str) -> Option<i64> {
    let letters = reading_templates(format).ok()?;
    let mut parts = Parsed::new();
    parse_and_remainder(&mut parts, text.trim_start(), StrftimeItems::new(&letters)).ok()?;
    let date = |parts: &Parsed| parts.to_naive_date().ok();
    if date(&parts).is_none() {
        if parts.isoweek().is_some() && parts.weekday().is_none() {
            parts.set_weekday(chrono::Weekday::Mon).ok()?;
        } else if parts.ordinal().is_none() {
            if parts.month().is_none() {
                parts.set_month(1).ok()?;
            }
            if parts.day().is_none() {
                parts.set_day(1).ok()?;
            }
        }
    }
    if parts.hour_mod_12().is_none() {
        parts.set_hour(0).ok()?;
    } else if parts.hour_div_12().is_none() {
        parts.set_ampm(false).ok()?;
    }
    if parts.minute().is_none() {
        parts.set_minute(0).ok()?;
    }
    let time = parts.to_naive_time().ok()?;
    Some(date(&parts)?.and_time(time).and_utc().timestamp_micros())
}
