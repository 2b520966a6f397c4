//! Subqueries that are values, and name columns of the rows around them in ways that DataFusion does
//! not plan: without an aggregate, or with a correlation that is no equality.
//!
//! `(SELECT b FROM t WHERE t.a = outer.a)` has at most one row for each row around it, or it is an
//! error. DataFusion wants an aggregate in it to be sure, and then only equalities. Here the rows
//! around it are numbered and joined to those of the subquery, and what belongs to one number is
//! aggregated: to a value that is the only one, or by the subquery's own aggregates.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result, ScalarValue, exec_err, plan_err};
use datafusion::functions_aggregate::expr_fn::array_agg;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, FetchType, Filter, Limit, LogicalPlan, LogicalPlanBuilder,
    Projection, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, SkipType, Subquery,
    Volatility, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;

/// Rule that plans such subqueries as joins.
#[derive(Debug)]
pub struct SingleRows;

impl AnalyzerRule for SingleRows {
    fn name(&self) -> &str {
        "single_rows"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut names = 0;
        Ok(plan.transform_up_with_subqueries(|plan| join_values(plan, &mut names))?.data)
    }
}

/// Reports whether an expression of the plan has such a subquery.
fn has_ours(plan: &LogicalPlan) -> Result<bool> {
    let mut is_there = false;
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            is_there |= matches!(expr, Expr::ScalarSubquery(subquery) if is_ours(subquery));
            Ok(if is_there { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(is_there)
}

fn join_values(plan: LogicalPlan, names: &mut usize) -> Result<Transformed<LogicalPlan>> {
    if !has_ours(&plan)? {
        return Ok(Transformed::no(plan));
    }
    match &plan {
        LogicalPlan::Projection(projection) => {
            let (exprs, input) = joined(plan.expressions(), &projection.input, &plan, names)?;
            match input {
                None => Ok(Transformed::no(plan)),
                Some(input) => {
                    let projection = Projection::try_new(exprs, Arc::new(input))?;
                    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
                }
            }
        }
        LogicalPlan::Filter(filter) => {
            let (mut exprs, input) = joined(plan.expressions(), &filter.input, &plan, names)?;
            match (input, exprs.pop()) {
                (Some(input), Some(predicate)) => {
                    let columns: Vec<Expr> = filter.input.schema().iter().map(Expr::from).collect();
                    let filtered = Filter::try_new(predicate, Arc::new(input))?;
                    let plan = LogicalPlanBuilder::from(LogicalPlan::Filter(filtered))
                        .project(columns)?
                        .build()?;
                    Ok(Transformed::yes(plan))
                }
                _ => Ok(Transformed::no(plan)),
            }
        }
        LogicalPlan::Aggregate(aggregate) => {
            let (exprs, input) = joined(plan.expressions(), &aggregate.input, &plan, names)?;
            match input {
                None => Ok(Transformed::no(plan)),
                Some(input) => Ok(Transformed::yes(plan.with_new_exprs(exprs, vec![input])?)),
            }
        }
        _ => Ok(Transformed::no(plan)),
    }
}

/// Replaces the subqueries of expressions by columns; returns the input that has these columns, or
/// none if nothing was replaced.
fn joined(
    exprs: Vec<Expr>,
    input: &Arc<LogicalPlan>,
    plan: &LogicalPlan,
    names: &mut usize,
) -> Result<(Vec<Expr>, Option<LogicalPlan>)> {
    let preserver = NamePreserver::new(plan);
    let mut wider: Option<LogicalPlan> = None;
    let replaced = exprs.into_iter().map(|expr| {
        let name = preserver.save(&expr);
        let replaced = expr.transform_up(|expr| match expr {
            Expr::ScalarSubquery(subquery) if is_ours(&subquery) => {
                *names += 1;
                let before = wider.take().unwrap_or_else(|| LogicalPlan::clone(input));
                let (after, value) = join(before, &subquery, *names)?;
                wider = Some(after);
                Ok(Transformed::yes(value))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(name.restore(replaced.data))
    });
    let replaced = replaced.collect::<Result<Vec<_>>>()?;
    Ok((replaced, wider))
}

/// Reports whether DataFusion does not plan the subquery itself: it plans aggregates whose
/// correlation is an equality.
fn is_ours(subquery: &Subquery) -> bool {
    if subquery.outer_ref_columns.is_empty() {
        return false;
    }
    match aggregate(&subquery.subquery) {
        None => subquery.subquery.max_rows().is_none_or(|rows| rows > 1),
        Some(_) if is_limited(&subquery.subquery) => true,
        Some(_) => {
            let mut is_equal = true;
            let _ = subquery.subquery.apply_with_subqueries(|plan| {
                if let LogicalPlan::Filter(filter) = plan {
                    let parts =
                        datafusion::logical_expr::utils::split_conjunction(&filter.predicate);
                    is_equal &=
                        parts.into_iter().filter(|part| part.contains_outer()).all(is_equality);
                }
                Ok(TreeNodeRecursion::Continue)
            });
            !is_equal
        }
    }
}

fn is_equality(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => {
            binary.op == datafusion::logical_expr::Operator::Eq
                && binary.left.contains_outer() != binary.right.contains_outer()
        }
        // A condition on the outer row alone.
        other => other.column_refs().is_empty(),
    }
}

/// Reports whether a limit keeps the one row of an aggregate.
fn keeps_first(limit: &Limit) -> bool {
    let fetch = matches!(limit.get_fetch_type(), Ok(FetchType::Literal(fetch)) if fetch != Some(0));
    fetch && matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)))
}

/// Reports whether a limit is above the aggregate of a subquery, where DataFusion does not plan it.
fn is_limited(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_limited(&projection.input),
        LogicalPlan::Limit(_) => true,
        _ => false,
    }
}

/// Returns the aggregate without groups that a plan is, below projections.
fn aggregate(plan: &LogicalPlan) -> Option<&Aggregate> {
    match plan {
        LogicalPlan::Projection(projection) => aggregate(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => aggregate(&alias.input),
        LogicalPlan::Limit(limit) if keeps_first(limit) => aggregate(&limit.input),
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => Some(aggregate),
        _ => None,
    }
}

/// Joins a plan to a subquery; returns the plan with one column more, and the value made of it.
fn join(outer: LogicalPlan, subquery: &Subquery, name: usize) -> Result<(LogicalPlan, Expr)> {
    let (number, found) = (format!("outer_row_{name}"), format!("found_{name}"));
    let columns: Vec<Expr> = outer.schema().iter().map(Expr::from).collect();
    let numbered =
        LogicalPlanBuilder::from(outer).window(vec![row_number().alias(&number)])?.build()?;
    let rows = LogicalPlan::clone(&subquery.subquery);
    let (below, aggregates, value) = parts(rows, name)?;
    let mut pulled = PullUpCorrelatedExpr::new();
    let below = below.rewrite(&mut pulled)?.data;
    if !pulled.can_pull_up
        || below.contains_outer_reference()
        || !below.all_out_ref_exprs().is_empty()
    {
        return plan_err!(
            "a subquery that names columns around it in this way is not answered here: write a join"
        );
    }
    // Names of their own keep its columns apart from those around it.
    let own: Vec<Expr> = below.schema().iter().map(Expr::from).collect();
    let renamed = |at: usize| format!("subquery_{name}_{at}");
    let mut columns_below: Vec<Expr> =
        own.iter().enumerate().map(|(at, column)| column.clone().alias(renamed(at))).collect();
    columns_below.push(lit(true).alias(&found));
    let below = LogicalPlanBuilder::from(below).project(columns_below)?.build()?;
    let inward = |expr: Expr| {
        let inward = expr.transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
            other => match own.iter().position(|column| *column == other) {
                Some(at) => Ok(Transformed::yes(Expr::Column(Column::from_name(renamed(at))))),
                None => Ok(Transformed::no(other)),
            },
        });
        inward.map(|inward| inward.data)
    };
    let on = pulled.join_filters.into_iter().map(inward).collect::<Result<Vec<_>>>()?;
    let joined = LogicalPlanBuilder::from(numbered).join_on(below, JoinType::Left, on)?.build()?;
    let is_found = Expr::Column(Column::from_name(&found)).is_not_null();
    let mut groups = vec![Expr::Column(Column::from_name(&number))];
    groups.extend(columns);
    let aggregates = aggregates.into_iter().map(|expr| of_found(inward(expr)?, &is_found));
    let aggregates = aggregates.collect::<Result<Vec<_>>>()?;
    let grouped = LogicalPlanBuilder::from(joined).aggregate(groups, aggregates)?.build()?;
    Ok((grouped, value))
}

/// Restricts an aggregate to the rows that the join found.
fn of_found(expr: Expr, is_found: &Expr) -> Result<Expr> {
    let restricted = expr.transform_up(|expr| match expr {
        Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
            params.filter = Some(Box::new(match params.filter {
                Some(filter) => filter.and(is_found.clone()),
                None => is_found.clone(),
            }));
            Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(restricted?.data)
}

/// Splits a subquery into the rows below its aggregate, the aggregates, named apart from those of
/// other subqueries, and its value in terms of these.
fn parts(plan: LogicalPlan, name: usize) -> Result<(LogicalPlan, Vec<Expr>, Expr)> {
    if aggregate(&plan).is_none() {
        let list = format!("value_{name}");
        let (below, value) = apart(plan)?;
        let aggregates = vec![array_agg(value).alias(&list)];
        return Ok((
            below,
            aggregates,
            one_row().call(vec![Expr::Column(Column::from_name(list))]),
        ));
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let (below, aggregates, _) =
                parts(Arc::unwrap_or_clone(projection.input.clone()), name)?;
            let columns: Vec<Expr> = projection.input.schema().iter().map(Expr::from).collect();
            let value = projection.expr[0].clone().unalias();
            let value = value.transform_up(|expr| match &expr {
                Expr::Column(_) => match columns.iter().position(|column| *column == expr) {
                    Some(at) => Ok(Transformed::yes(Expr::Column(Column::from_name(format!(
                        "value_{name}_{at}"
                    ))))),
                    None => Ok(Transformed::no(expr)),
                },
                _ => Ok(Transformed::no(expr)),
            })?;
            Ok((below, aggregates, value.data))
        }
        LogicalPlan::SubqueryAlias(alias) => parts(Arc::unwrap_or_clone(alias.input), name),
        LogicalPlan::Limit(limit) => parts(Arc::unwrap_or_clone(limit.input), name),
        LogicalPlan::Aggregate(aggregate) => {
            let below = Arc::unwrap_or_clone(aggregate.input);
            let named = (0..).zip(aggregate.aggr_expr);
            let named = named.map(|(at, expr): (usize, Expr)| {
                expr.unalias().alias(format!("value_{name}_{at}"))
            });
            let value = Expr::Column(Column::from_name(format!("value_{name}_0")));
            Ok((below, named.collect(), value))
        }
        _ => plan_err!("a subquery of this kind is not answered here: write a join"),
    }
}

/// Returns the rows below the value of a subquery, and the value.
fn apart(plan: LogicalPlan) -> Result<(LogicalPlan, Expr)> {
    match plan {
        // It may name columns around the subquery.
        LogicalPlan::Projection(projection) => {
            let value = projection.expr[0].clone().unalias();
            Ok((Arc::unwrap_or_clone(projection.input), value))
        }
        other => {
            let value = other.schema().iter().next().map(Expr::from);
            match value {
                Some(value) => Ok((other, value)),
                None => plan_err!("a subquery has no columns"),
            }
        }
    }
}

/// Returns the function that returns the only element of an array: null if there is none, and an
/// error if there are several.
fn one_row() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(OneRow {
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OneRow {
    signature: Signature,
}

impl ScalarUDFImpl for OneRow {
    fn name(&self) -> &str {
        "one_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::List(item)] => Ok(item.data_type().clone()),
            _ => plan_err!("one_row takes an array"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = args.args[0].to_array(args.number_rows)?;
        let lists = lists.as_list::<i32>();
        let of = args.return_field.data_type();
        let one = |row: usize| {
            let is_none = lists.is_null(row) || lists.value_length(row) == 0;
            match (is_none, lists.value_length(row)) {
                (true, _) => ScalarValue::try_from(of),
                (false, 1) => ScalarValue::try_from_array(&lists.value(row), 0),
                _ => exec_err!("more than one row returned by a subquery used as an expression"),
            }
        };
        if lists.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(of)));
        }
        let values = (0..lists.len()).map(one).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(values)?))
    }
}
