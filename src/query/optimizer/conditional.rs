//! Conditional aggregates as aggregates with a FILTER.
//!
//! `count(CASE WHEN event = 'click' THEN 1 END)` is `count(1) FILTER (WHERE event = 'click')`, and
//! so is `sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END)` where there are rows. Beside distinct
//! counts, [`answer`] rewrites the first form to the second, so that the rules that know FILTERs,
//! which come after it, have one form to know.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder,
};
use datafusion::prelude::{cast, lit, when};

/// The aggregates of the rewritten plan.
struct Aggregates {
    /// Number of columns before theirs.
    groups: usize,
    exprs: Vec<Expr>,
}

impl Aggregates {
    /// Adds an aggregate that is not there yet; returns its place among the columns.
    fn add(&mut self, expr: Expr) -> usize {
        let place = self.exprs.iter().position(|known| *known == expr).unwrap_or_else(|| {
            self.exprs.push(expr);
            self.exprs.len() - 1
        });
        self.groups + place
    }
}

/// A column of the result, by the places of aggregates.
enum Output {
    Of(usize),
    /// The first, or null where the second counts nothing.
    Sum(usize, usize),
    /// The first divided by the second, or null where that is zero.
    Mean(usize, usize),
}

/// Returns the aggregate with FILTERs in place of conditions; `None` if nothing is to be changed.
pub fn answer(aggregate: &Aggregate, _: &ConfigOptions) -> Result<Option<LogicalPlan>> {
    let aggregates: Vec<_> =
        aggregate.aggr_expr.iter().map(|expr| expr.clone().unalias()).collect();
    let is_distinct = |expr: &Expr| {
        matches!(expr, Expr::AggregateFunction(AggregateFunction { func, params })
            if func.name() == "count" && params.distinct)
    };
    if !aggregates.iter().any(is_distinct) {
        return Ok(None);
    }
    let groups = aggregate.group_expr.len();
    let mut all = Aggregates { groups, exprs: Vec::new() };
    let mut outputs = Vec::new();
    let mut is_changed = false;
    for expr in aggregates {
        let changed = changed(&expr, &mut all)?;
        is_changed |= changed.is_some();
        outputs.push(match changed {
            Some(output) => output,
            None => Output::Of(all.add(expr)),
        });
    }
    if !is_changed {
        return Ok(None);
    }
    let plan = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .aggregate(aggregate.group_expr.clone(), all.exprs)?
        .build()?;
    let columns = plan.schema().columns();
    let column = |place: usize| Expr::Column(columns[place].clone());
    let results = outputs.into_iter().map(|output| {
        let (value, rows) = match output {
            Output::Of(place) => return Ok(column(place)),
            Output::Sum(sum, rows) => (column(sum), rows),
            Output::Mean(sum, rows) => (float(column(sum)) / float(column(rows)), rows),
        };
        // Over no rows, there is no sum.
        when(column(rows).gt(lit(0_i64)), value).end()
    });
    let results = (0..groups).map(|place| Ok(column(place))).chain(results);
    let results = results.zip(aggregate.schema.iter()).map(|(result, (qualifier, field))| {
        let result = result?.cast_to(field.data_type(), plan.schema())?;
        Ok(result.alias_qualified(qualifier.cloned(), field.name()))
    });
    let results = results.collect::<Result<Vec<_>>>()?;
    Ok(Some(LogicalPlanBuilder::from(plan).project(results)?.build()?))
}

fn float(expr: Expr) -> Expr {
    cast(expr, DataType::Float64)
}

/// Returns what an aggregate over a condition is made of, after adding that; `None` for another
/// aggregate.
fn changed(expr: &Expr, all: &mut Aggregates) -> Result<Option<Output>> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return Ok(None) };
    let ([argument], true, None) =
        (&params.args[..], params.order_by.is_empty(), params.null_treatment)
    else {
        return Ok(None);
    };
    let Some(Conditional { condition, value, other }) = Conditional::of(argument) else {
        return Ok(None);
    };
    let own = params.filter.as_deref().cloned();
    let both = conjunction(own.clone().into_iter().chain([condition]));
    let counted = |filter: Option<Expr>| match filter {
        Some(filter) => count(lit(1_i64)).filter(filter).build(),
        None => Ok(count(lit(1_i64))),
    };
    Ok(match (func.name(), params.distinct, other) {
        // These leave nulls out.
        ("count" | "min" | "max" | "sum" | "avg", _, None) => {
            let (args, filter) = (vec![value.clone()], both.map(Box::new));
            let params = AggregateFunctionParams { args, filter, ..params.clone() };
            let expr = Expr::AggregateFunction(AggregateFunction { func: func.clone(), params });
            Some(Output::Of(all.add(expr)))
        }
        ("sum" | "avg", false, Some(other)) if is_number(value, 1.0) && is_number(other, 0.0) => {
            let (sum, rows) = (all.add(counted(both)?), all.add(counted(own)?));
            let is_sum = func.name() == "sum";
            Some(if is_sum { Output::Sum(sum, rows) } else { Output::Mean(sum, rows) })
        }
        _ => None,
    })
}

/// `CASE WHEN condition THEN value ELSE other END`.
pub struct Conditional<'a> {
    pub condition: Expr,
    /// A column or a literal: computing it for other rows, too, cannot fail.
    pub value: &'a Expr,
    /// `None` for null.
    pub other: Option<&'a Expr>,
}

impl<'a> Conditional<'a> {
    /// Returns the parts of an expression of this form, also of `CASE base WHEN …`.
    pub fn of(expr: &'a Expr) -> Option<Conditional<'a>> {
        let (expr, is_cast) = match expr {
            Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => {
                (cast.expr.as_ref(), true)
            }
            expr => (expr, false),
        };
        let Expr::Case(case) = expr else { return None };
        let [(when, value)] = &case.when_then_expr[..] else { return None };
        let condition = match &case.expr {
            Some(base) => base.as_ref().clone().eq(when.as_ref().clone()),
            None => when.as_ref().clone(),
        };
        let other = case.else_expr.as_deref();
        let other = other.filter(|other| !matches!(other, Expr::Literal(of, _) if of.is_null()));
        let is_plain = matches!(value.as_ref(), Expr::Column(_) | Expr::Literal(..));
        // An average casts what it averages: here, literals.
        (is_plain && (!is_cast || other.is_some())).then_some(Conditional {
            condition,
            value,
            other,
        })
    }
}

fn is_number(expr: &Expr, number: f64) -> bool {
    let Expr::Literal(value, _) = expr else { return false };
    // An average of decimals is rounded in its own way.
    !value.data_type().is_decimal()
        && value.cast_to(&DataType::Float64).ok() == Some(ScalarValue::Float64(Some(number)))
}
