//! Intervals multiplied by a number, `3 * INTERVAL '1 hour'`, and divided by one, as in PostgreSQL:
//! a fraction of a month becomes days, at 30 to the month, and a fraction of a day becomes time.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DFSchema, Result, exec_datafusion_err, internal_err};
use datafusion::logical_expr::planner::{PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::function::Function;

const DAY_NS: f64 = 86_400e9;

static TIMES: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("interval_times", types, |args, rows| scaled(args, rows, |x, n| x * n)).udf()
});
static BY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("interval_by", types, |args, rows| scaled(args, rows, |x, n| x / n)).udf()
});

/// Plans an interval multiplied or divided by a number; returns other expressions unchanged.
pub fn plan(expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let is_times = expr.op == BinaryOperator::Multiply;
    if !is_times && expr.op != BinaryOperator::Divide {
        return Ok(PlannerResult::Original(expr));
    }
    // The types of parameters are still unknown; beside an interval there can only be a number.
    let of = |side: &Expr| side.get_type(schema).unwrap_or(DataType::Null);
    let is_interval = |side: &Expr| matches!(of(side), DataType::Interval(_));
    let is_number = |side: &Expr| matches!(side, Expr::Placeholder(_)) || of(side).is_numeric();
    let RawBinaryExpr { left, right, .. } = &expr;
    Ok(match (is_interval(left) && is_number(right), is_number(left) && is_interval(right)) {
        (true, _) if is_times => PlannerResult::Planned(TIMES.call(vec![expr.left, expr.right])),
        (true, _) => PlannerResult::Planned(BY.call(vec![expr.left, expr.right])),
        (_, true) if is_times => PlannerResult::Planned(TIMES.call(vec![expr.right, expr.left])),
        _ => PlannerResult::Original(expr),
    })
}

fn types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    match types {
        [DataType::Interval(_), number] if number.is_numeric() || number.is_null() => {
            Ok((vec![interval.clone(), DataType::Float64], interval))
        }
        _ => internal_err!("an interval is multiplied or divided by a number"),
    }
}

fn scaled(args: &[ColumnarValue], rows: usize, scale: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (intervals, numbers) = (args[0].to_array(rows)?, args[1].to_array(rows)?);
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let numbers = numbers.as_primitive::<Float64Type>();
    let each = intervals.iter().zip(numbers).map(|(interval, number)| match (interval, number) {
        (Some(interval), Some(number)) => {
            let scaled = of_parts(interval, |part| scale(part, number));
            scaled.map(Some).ok_or_else(|| {
                exec_datafusion_err!(
                    "an interval multiplied or divided by {number} is out of range"
                )
            })
        }
        _ => Ok(None),
    });
    Ok(Arc::new(each.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

fn of_parts(
    interval: IntervalMonthDayNano,
    scale: impl Fn(f64) -> f64,
) -> Option<IntervalMonthDayNano> {
    let months = scale(interval.months.into());
    let days = scale(interval.days.into()) + months.fract() * 30.0;
    // Rounded to microseconds: anything smaller is a floating-point error.
    let micros = ((scale(interval.nanoseconds as f64) + days.fract() * DAY_NS) / 1e3).round();
    let is_within = |part: f64, limit: f64| part.is_finite() && part.abs() < limit;
    let fits = is_within(months, 2e9) && is_within(days, 2e9) && is_within(micros, 9e15);
    fits.then(|| IntervalMonthDayNano::new(months as i32, days as i32, micros as i64 * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_part_becomes_smaller_parts() {
        let hour = 3_600_000_000_000;
        let half = |months, days, ns| {
            of_parts(IntervalMonthDayNano::new(months, days, ns), |part| part / 2.0)
        };
        assert_eq!(half(1, 0, 0), Some(IntervalMonthDayNano::new(0, 15, 0)));
        assert_eq!(half(3, 3, 2 * hour), Some(IntervalMonthDayNano::new(1, 16, 13 * hour)));
        assert_eq!(
            of_parts(IntervalMonthDayNano::new(0, 0, hour), |part| part * 36.0)
                .unwrap()
                .nanoseconds,
            36 * hour
        );
        assert_eq!(of_parts(IntervalMonthDayNano::new(0, 1, 0), |part| part / 0.0), None);
    }
}
