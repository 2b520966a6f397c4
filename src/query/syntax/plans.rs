//! Analyzer rules that correct plans of DataFusion that would return wrong results.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ExprSchema, JoinType, NullEquality, Result, Spans, plan_err};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprFunctionExt, ExprSchemable, Filter, Join, LogicalPlan,
    LogicalPlanBuilder, Operator, Subquery,
};
use datafusion::optimizer::AnalyzerRule;

/// Rule that makes EXCEPT ALL and INTERSECT ALL count how often a row occurs.
///
/// DataFusion joins the two sides, so that a row of the left side is kept or dropped regardless of
/// how often it occurs on the right: `VALUES (1), (1) EXCEPT ALL VALUES (1)` was empty, not 1. This
/// rule numbers equal rows on both sides and joins on the numbers too.
#[derive(Debug)]
pub struct MultisetRule;

impl AnalyzerRule for MultisetRule {
    fn name(&self) -> &str {
        "multiset"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(number_rows)?.data)
    }
}

/// Numbers the rows of a set operation with ALL. Before the optimizer runs, only set operations
/// join on nulls; those without ALL have a DISTINCT on the left.
fn number_rows(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = &plan else { return Ok(Transformed::no(plan)) };
    let is_set = join.null_equality == NullEquality::NullEqualsNull
        && matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti);
    if !is_set || matches!(*join.left, LogicalPlan::Distinct(_) | LogicalPlan::Window(_)) {
        return Ok(Transformed::no(plan));
    }
    let (left, left_number) = numbered(&join.left)?;
    let (right, right_number) = numbered(&join.right)?;
    let mut on = join.on.clone();
    on.push((left_number, right_number));
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    let answer = LogicalPlanBuilder::from(LogicalPlan::Join(joined))
        .project(columns(join.left.schema()))?
        .build()?;
    Ok(Transformed::yes(answer))
}

fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(Expr::from).collect()
}

/// Returns the rows, each numbered among its equals, and the column of the numbers.
fn numbered(plan: &Arc<LogicalPlan>) -> Result<(LogicalPlan, Expr)> {
    let number = row_number().partition_by(columns(plan.schema())).build()?;
    let plan = LogicalPlanBuilder::from(Arc::clone(plan)).window(vec![number])?.build()?;
    let number = plan.schema().iter().last().map(Expr::from);
    match number {
        Some(number) => Ok((plan, number)),
        None => plan_err!("a set operation has no columns"),
    }
}

/// Rule that makes a NOT IN whose subquery names columns of the outer statement respect nulls.
///
/// DataFusion plans it as an anti join that ignores nulls: `x NOT IN (SELECT …)` was true where the
/// subquery has a null, though the result is unknown. This rule rewrites it to a NOT EXISTS of a
/// row that is equal, or not known to differ.
#[derive(Debug)]
pub struct NullAwareRule;

impl AnalyzerRule for NullAwareRule {
    fn name(&self) -> &str {
        "null_aware"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(heed_nulls)?.data)
    }
}

fn heed_nulls(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let predicate = as_condition(predicate, input.schema())?;
            LogicalPlan::Filter(Filter::try_new(predicate, input)?)
        }
        other => other,
    };
    // Outside conditions, unknown differs from false.
    let mut left = false;
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            left |= matches!(expr, Expr::InSubquery(not_in) if not_in.negated && needs_nulls(not_in, &plan)?);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if left {
        plan_err!(
            "NOT IN with a subquery of columns around it is answered in WHERE alone: write NOT EXISTS"
        )
    } else {
        Ok(Transformed::yes(plan))
    }
}

fn needs_nulls(not_in: &InSubquery, plan: &LogicalPlan) -> Result<bool> {
    let inputs = plan.inputs();
    let Some(input) = inputs.first() else { return Ok(false) };
    is_unknown_possible(not_in, input.schema())
}

/// Reports whether this may be unknown and DataFusion's null-aware join cannot be used: that join
/// requires a column of the outer rows, and a subquery that names none.
fn is_unknown_possible(in_subquery: &InSubquery, outer: &DFSchema) -> Result<bool> {
    let InSubquery { expr, subquery, negated: _ } = in_subquery;
    let is_nullable = expr.nullable(outer)?
        || subquery.subquery.schema().fields().iter().any(|field| field.is_nullable());
    Ok(is_nullable && (!subquery.outer_ref_columns.is_empty() || expr.column_refs().is_empty()))
}

/// Rewrites a condition that must be true for a row to be kept: there, unknown counts as false.
fn as_condition(expr: Expr, outer: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let left = as_condition(*left, outer)?;
            let right = as_condition(*right, outer)?;
            Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
        }
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(InSubquery { expr, subquery, negated: false }) => {
                as_condition(Expr::InSubquery(InSubquery { expr, subquery, negated: true }), outer)
            }
            other => Ok(Expr::Not(Box::new(other))),
        },
        Expr::InSubquery(not_in) if not_in.negated && is_unknown_possible(&not_in, outer)? => {
            not_exists(not_in, outer)
        }
        other => Ok(other),
    }
}

/// Returns the condition that the subquery has no row which is equal or unknown.
fn not_exists(not_in: InSubquery, outer: &DFSchema) -> Result<Expr> {
    let InSubquery { expr, subquery, negated: _ } = not_in;
    let is_correlated = !subquery.outer_ref_columns.is_empty();
    let rows = Arc::unwrap_or_clone(subquery.subquery);
    let Some(column) = rows.schema().iter().next().map(Expr::from) else {
        return plan_err!("a subquery has no columns");
    };
    // If the filter leaves no row, an aggregate still returns one; and of two columns with the same
    // name, one would be compared with itself.
    let is_counted = rows.exists(|plan| {
        Ok(matches!(
            plan,
            LogicalPlan::Aggregate(_) | LogicalPlan::Limit(_) | LogicalPlan::Window(_)
        ))
    })?;
    if is_counted && is_correlated || expr.exists(|part| Ok(*part == column))? {
        return plan_err!(
            "NOT IN with such a subquery of columns around it is not answered here: write NOT EXISTS"
        );
    }
    let value = expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(outer.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let matches =
        column.clone().eq(value.data.clone()).or(column.is_null()).or(value.data.is_null());
    let rows = LogicalPlanBuilder::from(rows).filter(matches)?.build()?;
    let outer_ref_columns = rows.all_out_ref_exprs();
    let subquery = Subquery { subquery: Arc::new(rows), outer_ref_columns, spans: Spans::new() };
    Ok(Expr::Exists(Exists { subquery, negated: true }))
}
