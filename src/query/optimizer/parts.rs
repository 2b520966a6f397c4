//! Aggregates whose measures are best computed by different plans, in parts.
//!
//! Distinct users have a plan of their own ([`distinct`](super::distinct)), or come from sets; the
//! distinct values of another column need a second aggregate
//! ([`distinct_groups`](super::distinct_groups)), and a maximum needs neither. Beside each other,
//! none of these would apply, and DataFusion would keep a set for each group. [`answer`] computes
//! each kind of measure by an aggregate of its own, and puts their rows together by group: the
//! events are read more than once, which takes less than the sets.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};

use super::aggregate::is_same_each_time;
use super::distinct::{is_simple, measure};
use super::rollup::AggregateInput;

/// Returns the aggregate in parts; `None` if one plan computes all its measures. It must run
/// between the rollup rule, which may answer all of them at once, and the rules for each kind.
pub fn answer(aggregate: &Aggregate, _: &ConfigOptions) -> Result<Option<LogicalPlan>> {
    kinds(aggregate)?.map(|kinds| in_parts(aggregate, &kinds)).transpose()
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
    let types = aggregate.schema.fields().iter().skip(aggregate.group_expr.len());
    if !types.map(|field| field.data_type()).all(has_maximum) {
        return Ok(None);
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

fn has_maximum(of: &DataType) -> bool {
    match of {
        DataType::Interval(_) => false,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => true,
        of => of.is_primitive(),
    }
}

fn in_parts(aggregate: &Aggregate, kinds: &[Kind]) -> Result<LogicalPlan> {
    let groups = aggregate.group_expr.len();
    let field = |i: usize| aggregate.schema.field(i);
    let name = |i: usize| if i < groups { format!("group_{i}") } else { format!("measure_{i}") };
    let column = |i: usize| Expr::Column(Column::from_name(name(i)));
    let mut parts: Option<LogicalPlanBuilder> = None;
    for (at, kind) in kinds.iter().enumerate() {
        if kinds[..at].contains(kind) {
            continue;
        }
        let is_here = |i: usize| kinds[i] == *kind;
        let exprs = aggregate.aggr_expr.iter().enumerate().filter(|(i, _)| is_here(*i));
        let exprs: Vec<Expr> = exprs.map(|(_, expr)| expr.clone()).collect();
        let part = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
            .aggregate(aggregate.group_expr.clone(), exprs)?
            .build()?;
        let mut own = part.schema().columns().into_iter().map(Expr::Column);
        let columns = (0..groups + kinds.len()).map(|i| {
            let own = if i < groups || is_here(i - groups) { own.next() } else { None };
            let value = match own {
                Some(column) => column,
                None => Expr::Literal(ScalarValue::try_from(field(i).data_type())?, None),
            };
            Ok(value.alias(name(i)))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let part = LogicalPlanBuilder::from(part).project(columns)?;
        parts = Some(match parts {
            Some(others) => others.union(part.build()?)?,
            None => part,
        });
    }
    let parts = parts.expect("there are measures");
    // Each group has its measure in one row, and null in the others.
    let measures = (groups..groups + kinds.len()).map(|i| max(column(i)).alias(name(i)));
    let results = (0..groups + kinds.len()).zip(aggregate.schema.iter());
    let results = results
        .map(|(i, (qualifier, field))| column(i).alias_qualified(qualifier.cloned(), field.name()));
    let plan = parts.aggregate((0..groups).map(column), measures)?;
    plan.project(results.collect::<Vec<_>>())?.build()
}
