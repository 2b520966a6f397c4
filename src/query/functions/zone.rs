//! `AT TIME ZONE` as in PostgreSQL: converts an instant to the local time of a zone, and a local
//! time to its instant. In DataFusion it is a cast that keeps an instant and changes only its zone.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable};
use datafusion::prelude::lit;

use super::function::{Function, constant_text, is_text, time};
use super::time_bucket::{instant_in, offset_at};
use super::trunc::micros;

/// Name of the function that converts an instant to a local time.
pub const CLOCK: &str = "clock_at";

const NAIVE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Rewrites the cast that the planner makes of `AT TIME ZONE` to one of our functions. No other
/// cast in SQL goes to nanoseconds, since TIMESTAMP is in microseconds.
pub fn at_time_zone(expr: Expr, field: FieldRef, schema: &DFSchema) -> Transformed<Expr> {
    let zone = match field.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)) => zone.to_string(),
        _ => return Transformed::no(Expr::Cast(Cast { expr: Box::new(expr), field })),
    };
    let of = expr.get_type(schema);
    let function = match of {
        Ok(DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64) => {
            Function::new("instant_at", instant_types, instants)
        }
        Ok(DataType::Timestamp(..)) => Function::new(CLOCK, clock_types, clocks),
        // A text is read as an instant.
        Ok(text) if is_text(&text) => Function::new(CLOCK, clock_types, clocks),
        _ => return Transformed::no(Expr::Cast(Cast { expr: Box::new(expr), field })),
    };
    Transformed::yes(function.udf().call(vec![expr, lit(zone)]))
}

fn clock_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [of, zone] if is_text(of) && is_text(zone) => Ok((vec![utc(), DataType::Utf8], NAIVE)),
        [of, zone] if is_text(zone) && time(of).is_some() => {
            Ok((vec![time(of).expect("checked"), DataType::Utf8], NAIVE))
        }
        _ => plan_err!("AT TIME ZONE takes a time and the name of a zone"),
    }
}

fn instant_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [_, zone] if is_text(zone) => Ok((vec![NAIVE, DataType::Utf8], utc())),
        _ => plan_err!("AT TIME ZONE takes a time and the name of a zone"),
    }
}

fn zone(arg: &ColumnarValue) -> Result<Tz> {
    let name = constant_text(arg, "the zone")?;
    name.parse().map_err(|_| {
        exec_datafusion_err!("'{name}' is no time zone: write it as +01:00 or Europe/Berlin")
    })
}

fn beyond() -> datafusion::error::DataFusionError {
    exec_datafusion_err!("a time is outside the range of the calendar")
}

fn clocks(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let zone = zone(&args[1])?;
    let clock =
        |us: i64| offset_at(zone, us).and_then(|offset| us.checked_add(offset)).ok_or_else(beyond);
    let clocks: TimestampMicrosecondArray = micros(&args[0], rows)?.try_unary(clock)?;
    Ok(Arc::new(clocks.with_timezone_opt(None::<Arc<str>>)))
}

/// Converts local times to instants. A local time that occurs twice means the second, which is
/// standard time, as in PostgreSQL.
fn instants(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let zone = zone(&args[1])?;
    let instant = |local: i64| -> Option<i64> {
        let standard = offset_at(zone, local.checked_add(super::time_bucket::DAY_US)?)?;
        instant_in(zone, local, standard)
    };
    let instants: TimestampMicrosecondArray =
        micros(&args[0], rows)?.try_unary(|local| instant(local).ok_or_else(beyond))?;
    Ok(Arc::new(instants.with_timezone("UTC")))
}
