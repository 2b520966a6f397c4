//! Exact distinct values by group, beside counts.
//!
//! For `count(DISTINCT user_id)` beside `count(*)`, grouped by page, DataFusion keeps a set of
//! users for each page: tens of kilobytes for each group, however few users it has, which cannot be
//! spilled. [`DistinctGroupsRule`] rewrites such an aggregate to two: one by page and user, which
//! counts rows, and one over that by page, which counts its rows and adds up their counts.
//! DataFusion has the same rewrite (`single_distinct_aggregation_to_group_by`), but not where there
//! are counts, or filters on them.

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
    /// Computed for each group and value, then combined.
    Parts {
        of: Expr,
        combine: fn(Expr) -> Expr,
        is_count: bool,
    },
}

impl Measure {
    fn of(expr: &Expr) -> Option<Measure> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        let [argument] = &params.args[..] else { return None };
        let parts = |combine, is_count| Measure::Parts { of: expr.clone(), combine, is_count };
        match (func.name(), params.distinct, &params.filter) {
            ("count", true, None) => Some(Measure::Distinct(argument.clone())),
            ("count", false, _) => Some(parts(sum, true)),
            ("min", false, _) => Some(parts(min, false)),
            ("max", false, _) => Some(parts(max, false)),
            _ => None,
        }
    }

    fn is_count(&self) -> bool {
        matches!(self, Measure::Parts { is_count: true, .. })
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
        Measure::Parts { .. } => None,
    });
    let Some(value) = values.next().cloned() else { return Ok(None) };
    // Equal floats may differ in their bits.
    if values.any(|other| *other != value)
        || !measures.iter().any(Measure::is_count)
        || value.get_type(aggregate.input.schema())?.is_floating()
    {
        return Ok(None);
    }
    let named = |what: &str, i: usize| format!("{what}_{i}");
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let by_both = groups.iter().enumerate().map(|(i, expr)| expr.clone().alias(named("group", i)));
    let by_both = by_both.chain([value.alias(VALUE)]);
    let (mut inner, mut outer) = (Vec::new(), Vec::new());
    for (i, measure) in measures.iter().enumerate() {
        let over_parts = match measure {
            Measure::Distinct(_) => count(column(VALUE)),
            Measure::Parts { of, combine, .. } => {
                inner.push(of.clone().alias(named("part", i)));
                combine(column(&named("part", i)))
            }
        };
        outer.push(over_parts.alias(named("total", i)));
    }
    let group = |i| column(&named("group", i));
    let plan = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .aggregate(by_both, inner)?
        .aggregate((0..groups.len()).map(group), outer)?;
    let totals = measures.iter().enumerate().map(|(i, measure)| {
        let total = column(&named("total", i));
        if measure.is_count() { coalesce(vec![total, lit(0_i64)]) } else { total }
    });
    let results = (0..groups.len()).map(group).chain(totals);
    let columns = aggregate.schema.iter().zip(results).map(|((qualifier, field), result)| {
        result.alias_qualified(qualifier.cloned(), field.name())
    });
    Ok(Some(plan.project(columns.collect::<Vec<_>>())?.build()?))
}
