//! Analyzer rule that makes statements compute with this engine's functions: times in microseconds,
//! integers that do not wrap around, intervals by length.
//!
//! It runs once the types of all expressions are known. DataFusion coerces times to nanoseconds,
//! which end in the year 2262, whereas our times end in 9999; the rule turns each such cast into
//! one to microseconds. No nanoseconds remain: the result of an expression that still makes them,
//! such as `arrow_cast`, is cast at once, and a constant finer than a microsecond is rejected.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    Column, DFSchema, DataFusionError, Result, ScalarValue, plan_datafusion_err, plan_err,
};
use datafusion::logical_expr::expr::{Between, Cast, InList, Sort, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator,
};
use datafusion::optimizer::AnalyzerRule;

use super::{cast, checked, interval, interval_text, text};

#[derive(Debug)]
pub struct ComputeRule;

impl AnalyzerRule for ComputeRule {
    fn name(&self) -> &str {
        "hourglass_compute"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_plan)?.data)
    }
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    // The planner reads limits itself and needs them as constants.
    if let LogicalPlan::Limit(_) = plan {
        return Ok(Transformed::no(plan));
    }
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            &scan.source.schema(),
        )?);
    }
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| rewrite(expr, &schema))?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.map_data(|plan| retyped(sorted_by_length(plan, &schema)?)?.recompute_schema())
}

/// Replaces sort keys that are intervals by their length.
fn sorted_by_length(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let LogicalPlan::Sort(mut sort) = plan else { return Ok(plan) };
    for Sort { expr, .. } in &mut sort.expr {
        if interval::is_interval(&expr.get_type(schema)?) {
            *expr = interval::length_of(expr.clone(), schema)?;
        }
    }
    Ok(LogicalPlan::Sort(sort))
}

/// Changes the row types that a plan node states itself to microseconds.
fn retyped(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Values(mut values)
            if values.schema.fields().iter().any(|field| is_nanos(field.data_type())) =>
        {
            let fields =
                values.schema.iter().map(|(table, field)| (table.cloned(), micros_field(field)));
            let schema =
                DFSchema::new_with_metadata(fields.collect(), values.schema.metadata().clone())?;
            values.schema = Arc::new(schema);
            Ok(LogicalPlan::Values(values))
        }
        LogicalPlan::TableScan(scan)
            if scan.projected_schema.fields().iter().any(|field| is_nanos(field.data_type())) =>
        {
            let columns = scan.projected_schema.iter().map(|(table, field)| {
                let column = Expr::Column(Column::new(table.cloned(), field.name()));
                if is_nanos(field.data_type()) {
                    cast_to(column, micros(field.data_type()))
                        .alias_qualified(table.cloned(), field.name())
                } else {
                    column
                }
            });
            let columns: Vec<Expr> = columns.collect();
            LogicalPlanBuilder::from(LogicalPlan::TableScan(scan)).project(columns)?.build()
        }
        other => Ok(other),
    }
}

fn is_nanos(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(TimeUnit::Nanosecond, _))
}

/// Returns the type with nanoseconds replaced by microseconds.
fn micros(of: &DataType) -> DataType {
    match of {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        other => other.clone(),
    }
}

fn micros_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(micros(field.data_type())))
}

fn cast_to(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to))
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(ns, zone), metadata) => {
            if ns.is_some_and(|ns| ns % 1_000 != 0) {
                return plan_err!(
                    "a time has microseconds at most: this one has {} nanoseconds",
                    ns.unwrap_or(0)
                );
            }
            let us = ScalarValue::TimestampMicrosecond(ns.map(|ns| ns / 1_000), zone);
            Transformed::yes(Expr::Literal(us, metadata))
        }
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)
            if interval.nanoseconds % 1_000 != 0 =>
        {
            return plan_err!(
                "an interval has microseconds at most: this one has {} nanoseconds",
                interval.nanoseconds
            );
        }
        Expr::Cast(Cast { expr, field }) => rewrite_cast(*expr, field, false, schema)?,
        Expr::TryCast(TryCast { expr, field }) => rewrite_cast(*expr, field, true, schema)?,
        Expr::OuterReferenceColumn(field, column) if is_nanos(field.data_type()) => {
            Transformed::yes(Expr::OuterReferenceColumn(micros_field(&field), column))
        }
        Expr::Negative(inner) if inner.get_type(schema)?.is_signed_integer() => match *inner {
            // A constant whose minus sign is not part of the literal.
            literal @ Expr::Literal(..) => Transformed::no(Expr::Negative(Box::new(literal))),
            inner => Transformed::yes(checked::negation(inner)),
        },
        Expr::BinaryExpr(binary) => rewrite_binary(binary, schema)?,
        Expr::Between(between) if interval::is_interval(&between.expr.get_type(schema)?) => {
            let length = |expr: Box<Expr>| {
                Ok::<_, DataFusionError>(Box::new(interval::length_of(*expr, schema)?))
            };
            Transformed::yes(Expr::Between(Between {
                expr: length(between.expr)?,
                negated: between.negated,
                low: length(between.low)?,
                high: length(between.high)?,
            }))
        }
        Expr::InList(InList { expr, list, negated })
            if interval::is_interval(&expr.get_type(schema)?) =>
        {
            let list = list
                .into_iter()
                .map(|value| interval::length_of(value, schema))
                .collect::<Result<_>>()?;
            Transformed::yes(Expr::InList(InList {
                expr: Box::new(interval::length_of(*expr, schema)?),
                list,
                negated,
            }))
        }
        Expr::ScalarFunction(function) => {
            let of = Expr::ScalarFunction(function.clone()).get_type(schema)?;
            if is_nanos(&of) {
                Transformed::yes(cast_to(Expr::ScalarFunction(function), micros(&of)))
            } else {
                Transformed::no(Expr::ScalarFunction(function))
            }
        }
        other => Transformed::no(other),
    })
}

fn rewrite_binary(binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let BinaryExpr { left, op, right } = &binary;
    let is_arithmetic = matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply);
    let is_comparison = op.supports_propagation()
        || matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
    if !is_arithmetic && !is_comparison {
        return Ok(Transformed::no(Expr::BinaryExpr(binary)));
    }
    let (left_type, right_type) = (left.get_type(schema)?, right.get_type(schema)?);
    if is_arithmetic && left_type.is_integer() && left_type == right_type {
        return Ok(match checked::arithmetic(left, *op, right) {
            Some(checked) => Transformed::yes(checked),
            None => Transformed::no(Expr::BinaryExpr(binary)),
        });
    }
    if is_comparison && (interval::is_interval(&left_type) || interval::is_interval(&right_type)) {
        let length = |expr: &Expr| {
            Ok::<_, DataFusionError>(Box::new(interval::length_of(expr.clone(), schema)?))
        };
        let (left, right) = (length(left)?, length(right)?);
        return Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op: *op, right })));
    }
    Ok(Transformed::no(Expr::BinaryExpr(binary)))
}

/// Rewrites a cast; with `or_null`, a value that cannot be cast becomes null.
fn rewrite_cast(
    expr: Expr,
    field: FieldRef,
    or_null: bool,
    schema: &DFSchema,
) -> Result<Transformed<Expr>> {
    let to = micros(field.data_type());
    if let Some(literal) = of_text(&expr, &to, or_null)? {
        return Ok(Transformed::yes(literal));
    }
    let from = expr.get_type(schema)?;
    let again = |expr: Expr, to: DataType| {
        if or_null { Expr::TryCast(TryCast::new(Box::new(expr), to)) } else { cast_to(expr, to) }
    };
    if let Some(source) = cast::Source::of(&from, &to) {
        return Ok(Transformed::yes(cast::cast(source, expr, to, or_null)));
    }
    if let DataType::Timestamp(TimeUnit::Microsecond, zone) = &to
        && from.is_integer()
    {
        // A number is seconds since 1970, as in DataFusion.
        let seconds = again(expr, DataType::Timestamp(TimeUnit::Second, zone.clone()));
        return Ok(Transformed::yes(again(seconds, to)));
    }
    Ok(match (to == *field.data_type(), or_null) {
        (true, true) => Transformed::no(Expr::TryCast(TryCast { expr: Box::new(expr), field })),
        (true, false) => Transformed::no(Expr::Cast(Cast { expr: Box::new(expr), field })),
        (false, _) => Transformed::yes(again(expr, to)),
    })
}

/// Converts a constant text to a time, a date, or an interval as PostgreSQL prints it.
fn of_text(expr: &Expr, to: &DataType, or_null: bool) -> Result<Option<Expr>> {
    let Expr::Literal(value, _) = expr else { return Ok(None) };
    let Some(Some(written)) = value.try_as_str() else { return Ok(None) };
    let literal = match to {
        DataType::Timestamp(unit, zone) => {
            text::parse_time(written, zone.as_deref()).map(|us| match unit {
                TimeUnit::Second => {
                    ScalarValue::TimestampSecond(Some(us.div_euclid(1_000_000)), zone.clone())
                }
                TimeUnit::Millisecond => {
                    ScalarValue::TimestampMillisecond(Some(us.div_euclid(1_000)), zone.clone())
                }
                _ => ScalarValue::TimestampMicrosecond(Some(us), zone.clone()),
            })
        }
        DataType::Date32 => text::parse_date(written).map(|date| {
            use arrow::datatypes::Date32Type;
            ScalarValue::Date32(Some(Date32Type::from_naive_date(date)))
        }),
        DataType::Interval(IntervalUnit::MonthDayNano)
            if interval_text::is_of_postgres(written) =>
        {
            interval_text::parse(written).and_then(|interval| {
                let ns = interval.us.checked_mul(1_000).ok_or("its hours are too many")?;
                let (months, days) = (interval.months, interval.days);
                Ok(ScalarValue::new_interval_mdn(months, days, ns))
            })
        }
        _ => return Ok(None),
    };
    match (literal, or_null) {
        (Ok(literal), _) => Ok(Some(Expr::Literal(literal, None))),
        (Err(_), true) => Ok(Some(Expr::Literal(ScalarValue::try_from(to)?, None))),
        (Err(reason), false) => Err(plan_datafusion_err!("{reason}")),
    }
}
