//! Aggregates whose measures are best computed by different plans, in parts.
//!
//! Distinct users come from sets, or have a plan of their own ([`distinct`]), which also computes
//! what most ask beside them; the distinct values of an expression need a second aggregate
//! ([`distinct_groups`](super::distinct_groups)), and a median needs neither. Beside each other,
//! none of these would apply, and DataFusion would keep a set for each group. [`answer`] computes
//! each kind of measure by an aggregate of its own, and puts their rows together by group: the
//! events are read more than once, which takes less than the sets.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::aggregate::{is_same_each_time, unite};
use super::distinct::{self, is_simple, measure};
use super::rollup::{self, AggregateInput};

/// Returns the aggregate in parts; `None` if one plan computes all its measures. It must run
/// between the rollup rule, which may answer all of them at once, and the rules for each kind.
pub fn answer(aggregate: &Aggregate, options: &ConfigOptions) -> Result<Option<LogicalPlan>> {
    let Some(kinds) = kinds(aggregate)? else { return Ok(None) };
    let parts = parts(aggregate, &kinds)?;
    let of_counters = parts.iter().map(|part| rollup::answer(&part.aggregate, options));
    let of_counters = of_counters.collect::<Result<Vec<_>>>()?;
    if of_counters.iter().all(Option::is_none)
        && let Some(plan) = distinct::answer(aggregate, options)?
    {
        return Ok(Some(plan));
    }
    let plan = |part: Part| (LogicalPlan::Aggregate(part.aggregate), part.measures);
    unite(aggregate, parts.into_iter().map(plan).collect())
}

/// The kinds of measures.
#[derive(Debug, PartialEq)]
enum Kind {
    Users,
    Distinct(Expr),
    Count,
    Other,
}

impl Kind {
    fn of(expr: &Expr, below: &AggregateInput<'_>) -> Kind {
        match (measure(expr, below), expr) {
            (Some(measure), _) if measure.is_of_users() => Kind::Users,
            (Some(measure), _) if measure.is_of_rows() => Kind::Count,
            (_, Expr::AggregateFunction(call)) if call.params.distinct => {
                let value = call.params.args.first().filter(|value| !has_few_values(value));
                value.map_or(Kind::Other, |value| Kind::Distinct(value.clone()))
            }
            _ => Kind::Other,
        }
    }
}

/// Reports whether an expression has so few values that sets of them are small.
fn has_few_values(expr: &Expr) -> bool {
    let mut columns = expr.column_refs().into_iter();
    columns.all(|column| matches!(column.name.as_str(), "event" | "date" | "hour"))
}

/// Returns the kind of each measure; `None` if one plan computes them all.
fn kinds(aggregate: &Aggregate) -> Result<Option<Vec<Kind>>> {
    let Some(below) = AggregateInput::of(&aggregate.input)?.filter(|below| !below.of_sets) else {
        return Ok(None);
    };
    for group in below.inline_all(&aggregate.group_expr)? {
        if !is_simple(&group)? {
            return Ok(None);
        }
    }
    let measures = below.inline_all(&aggregate.aggr_expr)?;
    // Read twice, they might differ.
    for expr in measures.iter().chain(&below.predicates) {
        if !is_same_each_time(expr)? {
            return Ok(None);
        }
    }
    let mut kinds: Vec<Kind> = measures.iter().map(|expr| Kind::of(expr, &below)).collect();
    let of_users = kinds.contains(&Kind::Users);
    // Counts cost nothing beside users, nor beside the other measures.
    for kind in kinds.iter_mut().filter(|kind| **kind == Kind::Count) {
        *kind = if of_users { Kind::Users } else { Kind::Other };
    }
    let mut distinct = kinds.iter().filter(|kind| matches!(kind, Kind::Distinct(_)));
    let first = distinct.next();
    let of_several = distinct.any(|kind| Some(kind) != first);
    let is_mixed = of_users && kinds.iter().any(|kind| *kind != Kind::Users);
    Ok((is_mixed || of_several).then_some(kinds))
}

/// An aggregate of some of the measures.
struct Part {
    aggregate: Aggregate,
    /// Their places among all.
    measures: Vec<usize>,
}

/// Divides the measures by kind.
fn parts(aggregate: &Aggregate, kinds: &[Kind]) -> Result<Vec<Part>> {
    let first = |at: usize| !kinds[..at].contains(&kinds[at]);
    let part = |at: usize| {
        let measures: Vec<usize> =
            (0..kinds.len()).filter(|other| kinds[*other] == kinds[at]).collect();
        let exprs = measures.iter().map(|i| aggregate.aggr_expr[*i].clone()).collect();
        let (input, groups) = (aggregate.input.clone(), aggregate.group_expr.clone());
        Ok(Part { aggregate: Aggregate::try_new(input, groups, exprs)?, measures })
    };
    (0..kinds.len()).filter(|at| first(*at)).map(part).collect()
}
