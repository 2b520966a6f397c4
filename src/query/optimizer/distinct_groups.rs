//! Exact distinct values by group, beside counts.
//!
//! For `count(DISTINCT user_id)` beside `count(*)`, grouped by page, DataFusion keeps a set of
//! users for each page: tens of kilobytes for each group, however few users it has, which cannot be
//! spilled. [`answer`] rewrites such an aggregate to two: one by page and user, which
//! counts rows, and one over that by page, which counts its rows and adds up their counts. Where
//! distinct users are counted with a FILTER, the first also finds out whether any row passes it.
//! DataFusion has the same rewrite (`single_distinct_aggregation_to_group_by`), but not where there
//! are counts, means or filters.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Column, Result};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::expr_fn::{bool_or, count, sum};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder,
};
use datafusion::prelude::{cast, lit};

/// Name of the column of distinct values between the two aggregates.
const VALUE: &str = "distinct_value";

/// An aggregate that two levels compute.
enum Measure {
    Distinct {
        value: Expr,
        filter: Option<Expr>,
    },
    /// Computed for each group and value, then combined by this function.
    Parts {
        of: Expr,
        combine: Arc<AggregateUDF>,
        is_count: bool,
    },
    /// The sum and the number of what is averaged.
    Mean([Expr; 2]),
}

impl Measure {
    fn of(expr: &Expr) -> Option<Measure> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        let [argument] = &params.args[..] else { return None };
        let of = |func: &Arc<AggregateUDF>| {
            let (func, params) = (func.clone(), params.clone());
            Expr::AggregateFunction(AggregateFunction { func, params })
        };
        match (func.name(), params.distinct) {
            ("count", true) => Some(Measure::Distinct {
                value: argument.clone(),
                filter: params.filter.as_deref().cloned(),
            }),
            ("count", false) => {
                Some(Measure::Parts { of: of(func), combine: sum_udaf(), is_count: true })
            }
            ("sum" | "min" | "max" | "bool_and" | "bool_or", false) => {
                Some(Measure::Parts { of: of(func), combine: func.clone(), is_count: false })
            }
            ("avg", false) => Some(Measure::Mean([of(&sum_udaf()), of(&count_udaf())])),
            _ => None,
        }
    }

    fn is_count(&self) -> bool {
        matches!(self, Measure::Parts { is_count: true, .. })
    }

    /// Reports whether it is a distinct count that DataFusion itself rewrites.
    fn is_plain_distinct(&self) -> bool {
        matches!(self, Measure::Distinct { filter: None, .. })
    }
}

/// Reports whether an aggregate is not distinct, and can be combined of those of parts.
pub fn is_of_parts(expr: &Expr) -> bool {
    matches!(Measure::of(expr), Some(Measure::Parts { .. } | Measure::Mean(_)))
}

/// Returns the aggregate as two; `None` if it is of another shape, or one that DataFusion itself
/// rewrites.
pub fn answer(aggregate: &Aggregate, _: &ConfigOptions) -> Result<Option<LogicalPlan>> {
    match measures(aggregate) {
        Some(measures) if measures.iter().all(Measure::is_plain_distinct) => Ok(None),
        _ => in_two(aggregate),
    }
}

fn measures(aggregate: &Aggregate) -> Option<Vec<Measure>> {
    aggregate.aggr_expr.iter().map(|expr| Measure::of(&expr.clone().unalias())).collect()
}

/// Returns the aggregate as two; `None` if it is of another shape.
pub fn in_two(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let groups = &aggregate.group_expr;
    let Some(measures) = measures(aggregate) else { return Ok(None) };
    let mut values = measures.iter().filter_map(|measure| match measure {
        Measure::Distinct { value, .. } => Some(value),
        Measure::Parts { .. } | Measure::Mean(_) => None,
    });
    let Some(value) = values.next().cloned() else { return Ok(None) };
    let schema = aggregate.schema.as_arrow();
    let is_mean_of_other = |(i, measure): (usize, &Measure)| {
        let field = schema.field(groups.len() + i);
        matches!(measure, Measure::Mean(_)) && *field.data_type() != DataType::Float64
    };
    // Equal floats may differ in their bits.
    if values.any(|other| *other != value)
        || measures.iter().enumerate().any(is_mean_of_other)
        || value.get_type(aggregate.input.schema())?.is_floating()
    {
        return Ok(None);
    }
    let named = |what: &str, i: usize| format!("{what}_{i}");
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let float = |expr| cast(expr, DataType::Float64);
    let by_both = groups.iter().enumerate().map(|(i, expr)| expr.clone().alias(named("group", i)));
    let by_both = by_both.chain([value.alias(VALUE)]);
    let (mut inner, mut outer) = (Vec::new(), Vec::new());
    for (i, measure) in measures.iter().enumerate() {
        let (part, rows) = (named("part", i), named("rows", i));
        let over_parts = match measure {
            Measure::Distinct { filter: None, .. } => count(column(VALUE)),
            Measure::Distinct { filter: Some(filter), .. } => {
                inner.push(bool_or(filter.clone()).alias(&part));
                count(column(VALUE)).filter(column(&part)).build()?
            }
            Measure::Parts { of, combine, .. } => {
                inner.push(of.clone().alias(&part));
                combine.call(vec![column(&part)])
            }
            Measure::Mean([total, number]) => {
                inner.push(total.clone().alias(&part));
                inner.push(number.clone().alias(&rows));
                outer.push(sum(column(&rows)).alias(&rows));
                sum(column(&part))
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
        match measure {
            Measure::Mean(_) => float(total) / float(column(&named("rows", i))),
            measure if measure.is_count() => coalesce(vec![total, lit(0_i64)]),
            _ => total,
        }
    });
    let results = (0..groups.len()).map(group).chain(totals);
    let columns = aggregate.schema.iter().zip(results).map(|((qualifier, field), result)| {
        let result = result.cast_to(field.data_type(), plan.schema())?;
        Ok(result.alias_qualified(qualifier.cloned(), field.name()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Some(plan.project(columns)?.build()?))
}
