//! Functions that are other spellings of existing expressions: `time_bucket`, `dayname`,
//! `count_if`, `arg_max` and the like. They are rewritten before types are known, so that pruning
//! and rollups apply to them as well.

mod aggregates;
mod scalars;

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Cast, ScalarFunction,
};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Expr, ExprSchemable, Operator, WindowFunctionDefinition,
};
use datafusion::prelude::lit;

pub use self::aggregates::aggregates;
pub use self::scalars::{NAMED_CAST, functions, time_bucket};

use self::aggregates::AggregateSpelling;
use self::scalars::{NAIVE, Spelling, age_since_midnight, cast, only};

/// Rewrites the spellings to the expressions they stand for.
#[derive(Debug)]
pub struct SpellingRewrite;

impl FunctionRewrite for SpellingRewrite {
    fn name(&self) -> &str {
        "hourglass_spellings"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(Cast { expr, field }) => Ok(super::zone::at_time_zone(*expr, field, schema)),
            Expr::BinaryExpr(binary) => Ok(date_and_interval(binary, schema)),
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                if func.name() == "age" && args.len() == 1 {
                    return Ok(Transformed::yes(age_since_midnight(only(args)?)));
                }
                if let ("arrow_cast" | "arrow_try_cast", [of, _]) = (func.name(), &args[..])
                    && !of.get_type(schema).is_ok_and(|of| of.is_numeric())
                {
                    return Ok(Transformed::yes(
                        func.call(args.into_iter().map(in_micros).collect()),
                    ));
                }
                match (func.inner().as_ref() as &dyn Any).downcast_ref::<Spelling>() {
                    Some(spelling) => Ok(Transformed::yes((spelling.expand)(args)?)),
                    None => {
                        Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })))
                    }
                }
            }
            Expr::AggregateFunction(AggregateFunction { func, params }) => match spelled(&func) {
                Some(spelling) => {
                    let (func, params) = spelling.expanded(params)?;
                    Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction {
                        func,
                        params,
                    })))
                }
                None => {
                    Ok(Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params })))
                }
            },
            Expr::WindowFunction(mut window) => {
                let WindowFunctionDefinition::AggregateUDF(func) = &window.fun else {
                    return Ok(Transformed::no(Expr::WindowFunction(window)));
                };
                let Some(spelling) = spelled(func) else {
                    return Ok(Transformed::no(Expr::WindowFunction(window)));
                };
                let params = AggregateFunctionParams {
                    args: window.params.args.clone(),
                    distinct: window.params.distinct,
                    filter: window.params.filter.clone(),
                    order_by: Vec::new(),
                    null_treatment: window.params.null_treatment,
                };
                let (func, params) = spelling.expanded(params)?;
                if !params.order_by.is_empty() {
                    return plan_err!(
                        "{} cannot be used with OVER: use it with GROUP BY",
                        spelling.name
                    );
                }
                window.fun = WindowFunctionDefinition::AggregateUDF(func);
                window.params.args = params.args;
                window.params.distinct = params.distinct;
                window.params.filter = params.filter;
                Ok(Transformed::yes(Expr::WindowFunction(window)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Replaces nanoseconds by microseconds in the name of a type.
fn in_micros(arg: Expr) -> Expr {
    let name = match &arg {
        Expr::Literal(value, _) => value.try_as_str().flatten().unwrap_or_default(),
        _ => "",
    };
    if name.trim_start().starts_with("Timestamp(") {
        lit(name.replacen("Nanosecond", "Microsecond", 1).replacen("(ns", "(µs", 1))
    } else {
        arg
    }
}

/// Casts a date to a time where an interval is added to it, as in PostgreSQL; DataFusion drops the
/// hours.
fn date_and_interval(binary: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    let types = (binary.left.get_type(schema), binary.right.get_type(schema));
    let is_sum = matches!(binary.op, Operator::Plus | Operator::Minus);
    let as_time = |expr: Box<Expr>| Box::new(cast(*expr, NAIVE));
    let BinaryExpr { left, op, right } = binary;
    let (left, right, is_other) = match types {
        (Ok(DataType::Date32 | DataType::Date64), Ok(DataType::Interval(_))) if is_sum => {
            (as_time(left), right, true)
        }
        (Ok(DataType::Interval(_)), Ok(DataType::Date32 | DataType::Date64)) if is_sum => {
            (left, as_time(right), true)
        }
        _ => (left, right, false),
    };
    let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
    if is_other { Transformed::yes(expr) } else { Transformed::no(expr) }
}

fn spelled(func: &Arc<AggregateUDF>) -> Option<&AggregateSpelling> {
    (func.inner().as_ref() as &dyn Any).downcast_ref::<AggregateSpelling>()
}
