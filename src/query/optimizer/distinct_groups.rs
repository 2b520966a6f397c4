//! Exact distinct values by group, beside counts.
//!
//! For `count(DISTINCT user_id)` beside `count(*)`, grouped by page, DataFusion keeps a set of users
//! for each page: tens of kilobytes for each group, however few users it has, which cannot be
//! spilled. [`DistinctGroupsRule`] rewrites such an aggregate to two: one by page and user, which
//! counts rows, and one over that by page, which counts its rows and adds up their counts. DataFusion
//! has the same rewrite (`single_distinct_aggregation_to_group_by`), but not where there are counts,
//! or filters on them.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::prelude::lit;

/// Name of the column of distinct values between the two aggregates.
const VALUE: &str = "distinct_value";

/// Optimizer rule for distinct values by group.
#[derive(Debug, Default)]
pub struct DistinctGroupsRule;

impl OptimizerRule for DistinctGroupsRule {
    fn name(&self) -> &str {
        "hourglass_distinct_groups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        match two_level(aggregate)? {
            Some(rewritten) => Ok(Transformed::yes(rewritten)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// An aggregate that two levels compute.
enum Measure {
    Distinct(Expr),
    Count(Expr),
    Least(Expr),
    Greatest(Expr),
}

impl Measure {
    fn of(expr: &Expr) -> Option<Measure> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        match (func.name(), params.distinct, &params.args[..], &params.filter) {
            ("count", true, [value], None) => Some(Measure::Distinct(value.clone())),
            ("count", false, [_], _) => Some(Measure::Count(expr.clone())),
            ("min", false, [_], _) => Some(Measure::Least(expr.clone())),
            ("max", false, [_], _) => Some(Measure::Greatest(expr.clone())),
            _ => None,
        }
    }
}

/// Returns the aggregate as two; `None` if it is of another shape.
fn two_level(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let groups = &aggregate.group_expr;
    if groups.is_empty() || groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
        return Ok(None);
    }
    let measures: Option<Vec<Measure>> =
        aggregate.aggr_expr.iter().map(|expr| Measure::of(&expr.clone().unalias())).collect();
    let Some(measures) = measures else { return Ok(None) };
    let mut values = measures.iter().filter_map(|measure| match measure {
        Measure::Distinct(value) => Some(value),
        _ => None,
    });
    let Some(value) = values.next().cloned() else { return Ok(None) };
    let has_counts = measures.iter().any(|measure| matches!(measure, Measure::Count(_)));
    // Equal floats may differ in their bits.
    if values.any(|other| *other != value)
        || !has_counts
        || value.get_type(aggregate.input.schema())?.is_floating()
    {
        return Ok(None);
    }
    let group = |i: usize| format!("group_{i}");
    let total = |i: usize| format!("total_{i}");
    let part = |i: usize| Expr::Column(Column::from_name(format!("part_{i}")));
    let column = |name: String| Expr::Column(Column::from_name(name));
    let by_both = groups.iter().enumerate().map(|(i, expr)| expr.clone().alias(group(i)));
    let by_both = by_both.chain([value.alias(VALUE)]);
    let (mut inner, mut outer) = (Vec::new(), Vec::new());
    for (i, measure) in measures.iter().enumerate() {
        let over_parts = match measure {
            Measure::Distinct(_) => count(Expr::Column(Column::from_name(VALUE))),
            Measure::Count(expr) => {
                inner.push(expr.clone().alias(format!("part_{i}")));
                sum(part(i))
            }
            Measure::Least(expr) => {
                inner.push(expr.clone().alias(format!("part_{i}")));
                min(part(i))
            }
            Measure::Greatest(expr) => {
                inner.push(expr.clone().alias(format!("part_{i}")));
                max(part(i))
            }
        };
        outer.push(over_parts.alias(total(i)));
    }
    let plan = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .aggregate(by_both, inner)?
        .aggregate((0..groups.len()).map(|i| column(group(i))), outer)?;
    let totals = measures.iter().enumerate().map(|(i, measure)| match measure {
        Measure::Count(_) => coalesce(vec![column(total(i)), lit(0_i64)]),
        _ => column(total(i)),
    });
    let results = (0..groups.len()).map(|i| column(group(i))).chain(totals);
    let named = aggregate.schema.iter().zip(results).map(|((qualifier, field), result)| {
        result.alias_qualified(qualifier.cloned(), field.name())
    });
    Ok(Some(plan.project(named.collect::<Vec<_>>())?.build()?))
}
