//! EXISTS and IN with a subquery as values: in the columns of a result, in CASE, in FILTER.
//!
//! DataFusion plans them only as conditions of WHERE. Elsewhere they are rewritten to counts:
//! `EXISTS (…)` becomes `(SELECT count(*) > 0 …)`, which DataFusion plans if the correlation with
//! the outer rows is an equality, and `x IN (SELECT c …)` becomes such an EXISTS with `c = x`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, Spans};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    lit, when,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

/// Rule that rewrites EXISTS and IN outside conditions to counts of rows.
#[derive(Debug)]
pub struct CountedSubqueries;

impl AnalyzerRule for CountedSubqueries {
    fn name(&self) -> &str {
        "counted_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut seen = Seen::default();
        Ok(plan.transform_up_with_subqueries(|plan| count_rows(plan, &mut seen))?.data)
    }
}

/// State of the rewrite.
#[derive(Default)]
struct Seen {
    /// Number of subqueries named so far.
    names: usize,
    /// Whether any value has replaced a subquery: plans around it may then be nullable where they
    /// were not.
    any: bool,
}

fn count_rows(plan: LogicalPlan, seen: &mut Seen) -> Result<Transformed<LogicalPlan>> {
    let plan = if seen.any { plan.recompute_schema()? } else { plan };
    let counted = match plan {
        LogicalPlan::Projection(_) => in_place(plan, &mut seen.names),
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let condition = as_condition(predicate, input.schema(), true, &mut seen.names)?;
            condition
                .map_data(|predicate| Ok(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
        }
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_) => {
            below(plan, &mut seen.names)
        }
        other => Ok(Transformed::no(other)),
    }?;
    seen.any |= counted.transformed;
    Ok(counted)
}

/// Rewrites the subqueries of a condition for which DataFusion's joins return wrong results. The
/// joins ignore nulls, which makes no difference if a row is kept only when the condition is true,
/// and if an IN within an OR is not negated.
fn as_condition(
    expr: Expr,
    outer: &DFSchema,
    is_alone: bool,
    names: &mut usize,
) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let is_alone = is_alone && op == Operator::And;
            let left = as_condition(*left, outer, is_alone, names)?;
            let right = as_condition(*right, outer, is_alone, names)?;
            let changed = left.transformed || right.transformed;
            let whole =
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
            Ok(if changed { Transformed::yes(whole) } else { Transformed::no(whole) })
        }
        Expr::Not(inner) if is_alone && matches!(*inner, Expr::InSubquery(_) | Expr::Exists(_)) => {
            let inner = counts(*inner)?;
            Ok(inner.update_data(|inner| Expr::Not(Box::new(inner))))
        }
        Expr::InSubquery(ref in_subquery) if is_alone || !in_subquery.negated => counts(expr),
        Expr::Exists(_) => counts(expr),
        other => other.transform_up(|expr| match (counts(expr)?, &mut *names) {
            (counted, _) if counted.transformed => Ok(counted),
            (expr, names) if matches!(expr.data, Expr::InSubquery(_)) => {
                let value = value(&expr.data, outer, names)?;
                Ok(value.map_or(expr, Transformed::yes))
            }
            (expr, _) => Ok(expr),
        }),
    }
}

/// Rewrites EXISTS and IN of a subquery that always has one row, such as `SELECT count(*)`: a join
/// would find none.
fn counts(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) if has_one_row(&subquery.subquery) => {
            Ok(Transformed::yes(lit(!negated)))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated })
            if has_one_row(&subquery.subquery) && !subquery.outer_ref_columns.is_empty() =>
        {
            let op = if negated { Operator::NotEq } else { Operator::Eq };
            let right = Box::new(Expr::ScalarSubquery(subquery));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(expr, op, right))))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => has_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => has_one_row(&alias.input),
        LogicalPlan::Sort(sort) => sort.fetch.is_none() && has_one_row(&sort.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

fn in_place(plan: LogicalPlan, names: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let Some(outer) = plan.inputs().first().map(|input| Arc::clone(input.schema())) else {
        return Ok(Transformed::no(plan));
    };
    let preserver = NamePreserver::new(&plan);
    let counted = plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let counted = expr.transform_up(|expr| match value(&expr, &outer, names)? {
            Some(value) => Ok(Transformed::yes(value)),
            None => Ok(Transformed::no(expr)),
        })?;
        Ok(counted.update_data(|expr| name.restore(expr)))
    })?;
    if counted.transformed { counted.map_data(LogicalPlan::recompute_schema) } else { Ok(counted) }
}

/// Computes the values in a projection below a node that cannot compute them itself.
fn below(plan: LogicalPlan, names: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
    let input = input.clone();
    let mut columns: Vec<Expr> = input.schema().iter().map(Expr::from).collect();
    let own = columns.len();
    let answer: Vec<Expr> = plan.schema().iter().map(Expr::from).collect();
    let is_wider = !matches!(plan, LogicalPlan::Aggregate(_));
    let preserver = NamePreserver::new(&plan);
    let replaced = plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let replaced = expr.transform_up(|expr| match value(&expr, input.schema(), names)? {
            Some(value) => {
                let column = format!("subquery_{}", columns.len() - own + 1);
                columns.push(value.alias(&column));
                Ok(Transformed::yes(Expr::Column(Column::from_name(column))))
            }
            None => Ok(Transformed::no(expr)),
        })?;
        Ok(replaced.update_data(|expr| name.restore(expr)))
    })?;
    if !replaced.transformed {
        return Ok(replaced);
    }
    let input = LogicalPlanBuilder::from(input).project(columns)?.build()?;
    let plan = replaced.data.with_new_exprs(replaced.data.expressions(), vec![input])?;
    // A window or a sort would pass the new columns on.
    let plan =
        if is_wider { LogicalPlanBuilder::from(plan).project(answer)?.build()? } else { plan };
    Ok(Transformed::yes(plan))
}

/// Returns the value that replaces an EXISTS or IN; `None` if there is none.
fn value(expr: &Expr, outer: &DFSchema, names: &mut usize) -> Result<Option<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) if has_one_row(&subquery.subquery) => {
            Ok(Some(lit(!negated)))
        }
        Expr::Exists(Exists { subquery, negated }) => {
            let rows = LogicalPlan::clone(&subquery.subquery);
            let exists = counted(rows, count(lit(1_i64)).gt(lit(0_i64)))?;
            Ok(Some(if *negated { Expr::Not(Box::new(exists)) } else { exists }))
        }
        Expr::InSubquery(in_subquery) if in_subquery.subquery.outer_ref_columns.is_empty() => {
            *names += 1;
            let is_in = is_in(in_subquery, outer, *names)?;
            Ok(Some(if in_subquery.negated { Expr::Not(Box::new(is_in)) } else { is_in }))
        }
        _ => Ok(None),
    }
}

/// Returns whether a value is among the rows of a subquery: unknown if it is not found and it or
/// one of them is null.
fn is_in(in_subquery: &InSubquery, outer: &DFSchema, name: usize) -> Result<Expr> {
    let InSubquery { expr, subquery, negated: _ } = in_subquery;
    // A name of its own keeps its columns apart from those of the outer tables.
    let rows = LogicalPlanBuilder::from(LogicalPlan::clone(&subquery.subquery))
        .alias(format!("in_{name}"))?
        .build()?;
    let Some((qualifier, field)) = rows.schema().iter().next() else {
        return datafusion::common::plan_err!("a subquery has no columns");
    };
    let column = Expr::from((qualifier, field));
    let outside = expr.as_ref().clone().transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(outer.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let is_nullable = field.is_nullable() || expr.nullable(outer)?;
    let equal =
        LogicalPlanBuilder::from(rows.clone()).filter(column.clone().eq(outside.data))?.build()?;
    let found = counted(equal, count(lit(1_i64)).gt(lit(0_i64)))?;
    if !is_nullable {
        return Ok(found);
    }
    let is_empty = counted(rows.clone(), count(lit(1_i64)).eq(lit(0_i64)))?;
    let has_nulls = counted(rows, count(lit(1_i64)).gt(count(column)))?;
    let unknown = Expr::Literal(ScalarValue::Boolean(None), None);
    when(found, lit(true))
        .when(is_empty, lit(false))
        .when(expr.as_ref().clone().is_null().or(has_nulls), unknown)
        .otherwise(lit(false))
}

/// Returns an aggregate over the rows of a subquery as a value.
fn counted(rows: LogicalPlan, value: Expr) -> Result<Expr> {
    let mut aggregates = Vec::new();
    value.apply(|expr| {
        if matches!(expr, Expr::AggregateFunction(_)) && !aggregates.contains(expr) {
            aggregates.push(expr.clone());
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    let over = |expr: Expr| match expr {
        Expr::AggregateFunction(_) => {
            Ok(Transformed::yes(Expr::Column(Column::from_name(expr.schema_name().to_string()))))
        }
        other => Ok(Transformed::no(other)),
    };
    let value = value.transform_down(over)?.data;
    let rows = LogicalPlanBuilder::from(rows)
        .aggregate(Vec::<Expr>::new(), aggregates)?
        .project([value])?
        .build()?;
    let outer_ref_columns = rows.all_out_ref_exprs();
    Ok(Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(rows),
        outer_ref_columns,
        spans: Spans::new(),
    }))
}
