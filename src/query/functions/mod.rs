//! SQL functions of this engine: those over times in microseconds, integer arithmetic that reports
//! overflow, intervals compared by length, and functions known from other engines.
//!
//! [`rule`] rewrites every statement to use them, [`function`] defines a scalar function,
//! [`mod@time_bucket`] is the arithmetic of time, [`text`] parses times, and [`spelling`] holds the
//! functions that are rewritten to other expressions.

mod array_text;
pub mod bitmap;
pub mod bounded;
mod bytea;
mod calendar;
mod cast;
mod checked;
mod counted;
mod format;
mod from_text;
mod function;
pub mod gapfill;
mod instant;
mod interval;
mod interval_text;
mod matching;
mod part;
mod repeated;
mod rule;
mod scale;
mod series;
pub mod similar;
mod spelling;
pub mod stoppable;
mod string_agg;
mod sum;
mod text;
pub mod time_bucket;
mod trunc;
mod unordered;
pub mod visitors;
mod zone;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, TypePlanner};
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, TimezoneInfo};

pub use self::bytea::parse as parse_bytea;
pub use self::calendar::to_char_udf as to_char;
pub use self::interval_text::{
    Interval, is_of_postgres as is_interval_of_postgres, parse as parse_interval,
};
pub use self::matching::Patterns;
pub use self::spelling::{NAMED_CAST, time_bucket as time_bucket_of};
pub use self::sum::udaf as sum;
pub use self::text::{parse_date, parse_time};
pub use self::trunc::date_trunc;
pub use self::zone::CLOCK;
#[cfg(test)]
pub use self::zone::at_time_zone;
use crate::query::schema::POSTGRES_OID;

/// Returns the product of two integers, which is an error on overflow.
pub fn product(left: &Expr, right: &Expr) -> Expr {
    let op = datafusion::logical_expr::Operator::Multiply;
    checked::arithmetic(left, op, right).expect("a product may overflow")
}

/// Formats a time for DataFusion's own parser; `None` if the text is not a time or its year does
/// not have four digits.
pub fn written_out(time: &str, is_instant: bool) -> Option<String> {
    let us = text::parse_time(time, is_instant.then_some("UTC")).ok()?;
    let time = chrono::DateTime::from_timestamp_micros(us)
        .filter(|time| (0..=9999).contains(&chrono::Datelike::year(time)))?;
    Some(format!("{}{}", time.format("%Y-%m-%dT%H:%M:%S%.6f"), if is_instant { "Z" } else { "" }))
}

/// Installs the planners of these functions, before DataFusion's own.
pub fn plan(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder
        .with_type_planner(Arc::new(Microseconds))
        .with_expr_planners(vec![Arc::new(Microseconds)])
        .with_analyzer_rule(Arc::new(rule::ComputeRule))
}

/// Registers the functions, some of which replace DataFusion's.
pub fn register(state: &mut SessionState) -> Result<()> {
    let of_time = [trunc::date_trunc(), trunc::date_bin(), part::udf()];
    let others = [
        vec![similar::udf()],
        calendar::functions(),
        instant::functions(),
        spelling::functions(),
        gapfill::functions(),
        bitmap::functions(),
    ]
    .concat();
    for function in of_time.into_iter().chain(others) {
        state.register_udf(function)?;
    }
    let aggregates =
        [spelling::aggregates(), counted::aggregates(), bitmap::aggregates(), vec![sum::udaf()]];
    for aggregate in aggregates.concat() {
        state.register_udaf(aggregate)?;
    }
    for (name, includes_end) in [("generate_series", true), ("range", false)] {
        if let Some(integers) = state.table_functions().get(name).cloned() {
            let integers = integers.function().clone();
            state.register_udtf(name, Arc::new(series::Series { name, includes_end, integers }));
        }
    }
    // PostgreSQL makes rows of it outside of FROM, DuckDB an array: neither is guessed.
    state.deregister_udf("generate_series")?;
    state.register_function_rewrite(Arc::new(string_agg::DelimiterRewrite))?;
    state.register_function_rewrite(Arc::new(spelling::SpellingRewrite))
}

/// Types of PostgreSQL's catalogs: their names, their OIDs and those of their arrays.
const OF_CATALOGS: [(&str, u32, u32, DataType); 3] = [
    ("oid", 26, 1028, DataType::UInt32),
    ("xid", 28, 1011, DataType::UInt32),
    ("name", 19, 1003, DataType::Utf8),
];

/// Returns a type of PostgreSQL's catalogs, with its OID for a client that is told the type.
fn of_catalogs(of: &SqlType) -> Option<FieldRef> {
    let (element, is_array) = match of {
        SqlType::Array(ArrayElemTypeDef::SquareBracket(element, None)) => (&**element, true),
        of => (of, false),
    };
    let SqlType::Custom(name, modifiers) = element else { return None };
    let name = name.to_string().to_lowercase();
    let found = OF_CATALOGS.iter().find(|(own, ..)| modifiers.is_empty() && *own == name);
    let (_, oid, array_oid, of) = found?;
    let (oid, of) = match is_array {
        false => (oid, of.clone()),
        true => (array_oid, DataType::List(Arc::new(Field::new_list_field(of.clone(), true)))),
    };
    let metadata = [(POSTGRES_OID.to_string(), oid.to_string())].into();
    Some(Arc::new(Field::new("", of, true).with_metadata(metadata)))
}

/// Planner that maps SQL's TIMESTAMP to microseconds, the unit of the table, and `extract` to our
/// `date_part`.
#[derive(Debug)]
struct Microseconds;

impl TypePlanner for Microseconds {
    fn plan_type_field(&self, of: &SqlType) -> Result<Option<FieldRef>> {
        let zone = match of {
            SqlType::Timestamp(
                None | Some(6 | 9),
                TimezoneInfo::Tz | TimezoneInfo::WithTimeZone,
            ) => Some("UTC".into()),
            SqlType::Timestamp(None | Some(6 | 9), _) | SqlType::Datetime(None | Some(6 | 9)) => {
                None
            }
            of => return Ok(of_catalogs(of)),
        };
        Ok(Some(Arc::new(Field::new("", DataType::Timestamp(TimeUnit::Microsecond, zone), true))))
    }
}

impl ExprPlanner for Microseconds {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        match scale::plan(expr, schema)? {
            PlannerResult::Original(expr) => array_text::plan(expr, schema),
            planned => Ok(planned),
        }
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(part::udf().call(args)))
    }
}
