//! Expressions over the seconds since 1970, as Grafana writes them for PostgreSQL:
//! `extract(epoch FROM timestamp) >= 1764151200` selects a range, and
//! `floor(extract(epoch FROM timestamp) / 3600) * 3600` is the start of an hour.
//!
//! Seconds are 64-bit floats, which tell microseconds apart up to [`EXACT_SECONDS`].

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator};
use datafusion::scalar::ScalarValue;

use crate::query::functions::time_bucket::{SECOND_US, TimeBucket};

/// Seconds below which every microsecond has a float of its own: the year 2106.
pub const EXACT_SECONDS: i64 = 1 << 32;

/// Returns the unit of an expression whose value is the start of its interval in seconds.
pub fn unit(expr: &Expr) -> Option<TimeBucket> {
    match expr {
        Expr::ScalarFunction(function) if function.func.name() == "date_part" => {
            let [Expr::Literal(part, _), of] = &function.args[..] else { return None };
            let part = part.try_as_str().flatten()?;
            TimeBucket::of(of).filter(|_| part.eq_ignore_ascii_case("epoch"))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Multiply, right }) => {
            let (of, width) = floored(left)?;
            let bucket = TimeBucket::of_width(width.checked_mul(SECOND_US)?);
            (whole(right) == Some(width)).then(|| unit(of)?.coarser(bucket)).flatten()
        }
        Expr::Cast(Cast { expr, field }) => {
            let is_kept = matches!(field.data_type(), DataType::Float64 | DataType::Int64);
            unit(expr).filter(|unit| is_kept && unit.is_hourly())
        }
        _ => None,
    }
}

/// Returns `x` and `n` of `floor(x / n)`.
fn floored(expr: &Expr) -> Option<(&Expr, i64)> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let [Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right })] = &function.args[..]
    else {
        return None;
    };
    (function.func.name() == "floor").then(|| Some((&**left, whole(right)?))).flatten()
}

/// Returns a constant that is a positive whole number of seconds.
fn whole(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expr else { return None };
    seconds(value).filter(|seconds| *seconds > 0)
}

/// Returns a value that is a whole number of seconds since 1970, up to [`EXACT_SECONDS`].
pub fn seconds(value: &ScalarValue) -> Option<i64> {
    let seconds = match value {
        ScalarValue::Int64(Some(seconds)) => *seconds,
        ScalarValue::Int32(Some(seconds)) => i64::from(*seconds),
        ScalarValue::Float64(Some(seconds)) if seconds.fract() == 0.0 => *seconds as i64,
        _ => return None,
    };
    (0..EXACT_SECONDS).contains(&seconds).then_some(seconds)
}
