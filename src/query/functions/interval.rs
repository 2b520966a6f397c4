//! Length of intervals: a month is 30 days and a day 24 hours, as in comparisons of PostgreSQL.
//! DataFusion compares months, then days, then nanoseconds, so that there 25 hours are less than a
//! day.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, ScalarUDF};

use super::function::Function;

const LENGTH: DataType = DataType::Decimal128(38, 0);

static INTERVAL_LENGTH: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Function::new("interval_length", types, length).udf());

pub fn is_interval(of: &DataType) -> bool {
    matches!(of, DataType::Interval(_))
}

/// Returns the length of an interval, in nanoseconds.
pub fn length_of(interval: Expr, schema: &DFSchema) -> Result<Expr> {
    // A difference of times keeps its own unit: it may be too long for an interval.
    let of = match interval {
        Expr::Cast(Cast { expr, .. })
            if matches!(expr.get_type(schema)?, DataType::Duration(_)) =>
        {
            *expr
        }
        other => other,
    };
    Ok(INTERVAL_LENGTH.call(vec![of]))
}

fn types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [of @ (DataType::Interval(_) | DataType::Duration(_))] => Ok((vec![of.clone()], LENGTH)),
        _ => internal_err!("interval_length takes an interval"),
    }
}

fn length(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    const DAY: i128 = 86_400_000_000_000;
    let array = args[0].to_array(rows)?;
    let lengths: Decimal128Array = match array.data_type() {
        DataType::Duration(unit) => {
            let scale = match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            };
            cast(&array, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .unary(|n| i128::from(n) * scale)
        }
        _ => {
            let intervals = cast(&array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            intervals.as_primitive::<IntervalMonthDayNanoType>().unary(|interval| {
                (i128::from(interval.months) * 30 + i128::from(interval.days)) * DAY
                    + i128::from(interval.nanoseconds)
            })
        }
    };
    Ok(Arc::new(lengths.with_precision_and_scale(38, 0)?))
}
