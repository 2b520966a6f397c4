//! Scalar functions that are rewritten to other expressions.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::prelude::lit;

use super::super::function::{documentation, equal_by_name, identity, is_text, time};
use super::super::{calendar, instant, part, trunc};

pub const NAIVE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A scalar function that is rewritten to an expression.
#[derive(Debug)]
pub struct Spelling {
    name: &'static str,
    aliases: Vec<String>,
    /// Returns the type of the result; `None` if the function does not take these arguments.
    answers: fn(&[DataType]) -> Option<DataType>,
    /// The syntax of a call, for error messages.
    usage: &'static str,
    pub expand: fn(Vec<Expr>) -> Result<Expr>,
    signature: Signature,
    documentation: Documentation,
}

equal_by_name!(Spelling);

impl ScalarUDFImpl for Spelling {
    identity!();

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.return_type(types)?;
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.answers)(types) {
            Some(answers) => Ok(answers),
            None => plan_err!("{} is called as {}", self.name, self.usage),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} should have been rewritten to another function", self.name)
    }
}

fn call(function: Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    function.call(args)
}

pub fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to))
}

pub fn only(args: Vec<Expr>) -> Result<Expr> {
    match <[Expr; 1]>::try_from(args) {
        Ok([arg]) => Ok(arg),
        Err(_) => internal_err!("one argument is expected"),
    }
}

fn one_time(types: &[DataType]) -> Option<DataType> {
    match types {
        [of] => time(of),
        _ => None,
    }
}

fn to_char(args: Vec<Expr>, format: &str) -> Result<Expr> {
    Ok(call(calendar::to_char_udf(), vec![only(args)?, lit(format)]))
}

macro_rules! part_of {
    ($name:literal, $part:literal) => {
        spelling(
            $name,
            &[],
            |types| one_time(types).map(|_| DataType::Int32),
            concat!($name, "(timestamp)"),
            |args| Ok(call(part::udf(), vec![lit($part), only(args)?])),
        )
    };
}

macro_rules! start_of {
    ($name:literal, $unit:literal) => {
        spelling($name, &[], one_time, concat!($name, "(timestamp)"), |args| {
            Ok(call(trunc::date_trunc(), vec![lit($unit), only(args)?]))
        })
    };
}

fn spelling(
    name: &'static str,
    aliases: &[&str],
    answers: fn(&[DataType]) -> Option<DataType>,
    usage: &'static str,
    expand: fn(Vec<Expr>) -> Result<Expr>,
) -> Arc<ScalarUDF> {
    let aliases = aliases.iter().map(|alias| (*alias).to_string()).collect();
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Spelling {
        name,
        aliases,
        answers,
        usage,
        expand,
        signature,
        documentation: documentation(
            "Short for another expression, as other engines have it.",
            usage,
        ),
    }))
}

/// Name of the function that returns its first argument, and is named by its second.
pub const NAMED_CAST: &str = "named_cast";

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let text = |types: &[DataType]| one_time(types).map(|_| DataType::Utf8);
    let date = |types: &[DataType]| one_time(types).map(|_| DataType::Date32);
    vec![
        spelling(
            NAMED_CAST,
            &[],
            |types| types.first().cloned(),
            "named_cast(value, name)",
            |mut args| Ok(args.swap_remove(0)),
        ),
        spelling(
            "time_bucket",
            &[],
            bucket_type,
            "time_bucket(INTERVAL '1 hour', timestamp)",
            time_bucket,
        ),
        spelling(
            "tostartofinterval",
            &[],
            |types| bucket_type(&[types.get(1)?.clone(), types.first()?.clone()]),
            "toStartOfInterval(timestamp, INTERVAL '1 hour')",
            |args| Ok(call(trunc::date_bin(), args.into_iter().rev().collect())),
        ),
        spelling("mod", &[], modulo_type, "mod(n, divisor)", |mut args| {
            match (args.pop(), args.pop()) {
                (Some(divisor), Some(n)) => Ok(n % divisor),
                _ => internal_err!("two arguments are expected"),
            }
        }),
        spelling("date", &["todate"], date, "date(timestamp)", |args| {
            Ok(cast(only(args)?, DataType::Date32))
        }),
        spelling("dayname", &[], text, "dayname(timestamp)", |args| to_char(args, "%A")),
        spelling("monthname", &[], text, "monthname(timestamp)", |args| to_char(args, "%B")),
        spelling("strftime", &[], strftime_type, "strftime(timestamp, '%Y-%m-%d')", strftime),
        spelling("last_day", &[], date, "last_day(timestamp)", |args| {
            let month = call(trunc::date_trunc(), vec![lit("month"), only(args)?]);
            let next = month + lit(ScalarValue::new_interval_mdn(1, 0, 0));
            Ok(cast(next - lit(ScalarValue::new_interval_mdn(0, 1, 0)), DataType::Date32))
        }),
        part_of!("year", "year"),
        part_of!("quarter", "quarter"),
        part_of!("month", "month"),
        part_of!("week", "week"),
        part_of!("weekofyear", "week"),
        part_of!("day", "day"),
        part_of!("dayofmonth", "day"),
        part_of!("dayofweek", "dow"),
        part_of!("isodow", "isodow"),
        part_of!("dayofyear", "doy"),
        part_of!("hour", "hour"),
        part_of!("minute", "minute"),
        start_of!("tostartofsecond", "second"),
        start_of!("tostartofminute", "minute"),
        start_of!("tostartofhour", "hour"),
        start_of!("tostartofday", "day"),
        start_of!("tomonday", "week"),
        start_of!("tostartofmonth", "month"),
        start_of!("tostartofquarter", "quarter"),
        start_of!("tostartofyear", "year"),
    ]
}

fn modulo_type(types: &[DataType]) -> Option<DataType> {
    match types {
        [n, divisor] => {
            BinaryTypeCoercer::new(n, &Operator::Modulo, divisor).get_result_type().ok()
        }
        _ => None,
    }
}

fn strftime_type(types: &[DataType]) -> Option<DataType> {
    match types {
        [of, format] if is_text(format) && time(of).is_some() => Some(DataType::Utf8),
        [format, of] if is_text(format) && time(of).is_some() => Some(DataType::Utf8),
        _ => None,
    }
}

/// Rewrites `strftime` to `to_char`. The format may come first, as in SQLite.
fn strftime(mut args: Vec<Expr>) -> Result<Expr> {
    let is_format = |expr: &Expr| match expr {
        Expr::Literal(value, _) => {
            value.try_as_str().flatten().is_some_and(|text| text.contains('%'))
        }
        _ => false,
    };
    if is_format(&args[0]) && !is_format(&args[1]) {
        args.reverse();
    }
    Ok(call(calendar::to_char_udf(), args))
}

fn bucket_type(types: &[DataType]) -> Option<DataType> {
    let [width, of, rest @ ..] = types else { return None };
    let is_width = matches!(width, DataType::Interval(_)) || is_text(width);
    let answers = if *of == DataType::Date32 { NAIVE } else { time(of)? };
    (is_width && rest.len() <= 3).then_some(answers)
}

/// Rewrites `time_bucket(width, time[, zone][, origin or offset])`, as in TimescaleDB: buckets of
/// days and shorter begin on Monday, 3 January 2000, those of months on 1 January 2000.
pub fn time_bucket(args: Vec<Expr>) -> Result<Expr> {
    let mut args = args.into_iter();
    let (Some(width), Some(of)) = (args.next(), args.next()) else {
        return internal_err!("checked by the type");
    };
    let width = match &width {
        Expr::Literal(value, _) => {
            value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano))?
        }
        _ => return plan_err!("the width of time_bucket must be a constant: INTERVAL '1 hour'"),
    };
    let is_months =
        matches!(width, ScalarValue::IntervalMonthDayNano(Some(width)) if width.months != 0);
    // 3 January and 1 January 2000.
    let first = if is_months { 946_684_800_000_000 } else { 946_857_600_000_000 };
    let mut origin = lit(ScalarValue::TimestampMicrosecond(Some(first), None));
    let mut zone = None;
    let mut offset = None;
    for arg in args {
        match &arg {
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)
                if interval.months == 0 =>
            {
                offset = Some(arg.clone());
                let us = i64::from(interval.days) * super::super::time_bucket::DAY_US
                    + interval.nanoseconds / 1_000;
                origin = lit(ScalarValue::TimestampMicrosecond(Some(first + us), None));
            }
            Expr::Literal(value, _)
                if value.try_as_str().flatten().is_some() && offset.is_none() =>
            {
                let text = value.try_as_str().flatten().unwrap_or_default();
                match text.parse::<arrow::array::timezone::Tz>() {
                    Ok(_) => zone = Some(lit(text)),
                    Err(_) => origin = cast(arg, NAIVE),
                }
            }
            // The origin's own zone is ignored: buckets follow the clock.
            _ => origin = arg,
        }
    }
    let args = [lit(width), of, origin].into_iter().chain(zone);
    Ok(call(trunc::date_bin(), args.collect()))
}

/// Rewrites `age(a)` to the time from `a` to the last midnight.
pub fn age_since_midnight(of: Expr) -> Expr {
    let midnight = call(trunc::date_trunc(), vec![lit("day"), call(instant::now(), vec![])]);
    call(calendar::age_udf(), vec![midnight, of])
}
