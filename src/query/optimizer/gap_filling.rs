//! Gap filling: rows for time buckets without any, as TimescaleDB's `time_bucket_gapfill` makes
//! them.
//!
//! [`GapFillRule`] replaces the call in GROUP BY by `time_bucket`, so that the aggregate below is
//! planned like any other, by rollups too, and fills the gaps above it, and above HAVING:
//!
//! ```text
//! Projection   the aggregates where a bucket is that of the row, otherwise null;
//!              locf and interpolate in the gaps after it
//!   Unnest     a row for each bucket: its own, those of the gap after it, and, in the first row of
//!              a group, those of the gap before it
//!     Window   the buckets before and after each row of a group, and the next values
//!       Aggregate
//! ```
//!
//! A group without any row has no gaps, unless the bucket is all that is grouped by: then a left
//! join with one row makes the row whose gap is the whole range.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result, plan_err};
use datafusion::functions::core::expr_fn::{greatest, least};
use datafusion::functions_window::expr_fn::{lag, lead};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, ExprFunctionExt, ExprSchemable, Filter, LogicalPlan,
    LogicalPlanBuilder, Operator, cast, lit, when,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use crate::query::functions::gapfill::{INTERPOLATE, LOCF, TIME_BUCKET_GAPFILL, between, buckets};
use crate::query::functions::time_bucket_of;

// Columns between the aggregate and the rows that are filled.
const BUCKET: &str = "gapfill_bucket";
const BEFORE: &str = "gapfill_before";
const AFTER: &str = "gapfill_after";
const NEXT: &str = "gapfill_next";
const FILLED: &str = "gapfill_filled";

/// Analyzer rule for gap filling. It must run before types are coerced.
#[derive(Debug)]
pub struct GapFillRule;

impl AnalyzerRule for GapFillRule {
    fn name(&self) -> &str {
        "hourglass_gap_filling"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let filled = plan.transform_down_with_subqueries(fill_block)?;
        if !filled.transformed {
            return Ok(filled.data);
        }
        // Aggregates that had no nulls have some now.
        let renewed = filled
            .data
            .transform_up_with_subqueries(|plan| plan.recompute_schema().map(Transformed::yes))?;
        Ok(renewed.data)
    }
}

/// Fills the gaps of a SELECT, which is everything from a projection to its aggregate.
fn fill_block(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = &plan else { return Ok(Transformed::no(plan)) };
    let mut calls = Calls::default();
    calls.collect(&plan)?;
    let mut below = &*projection.input;
    while aggregate_of(below)?.is_none() {
        let (LogicalPlan::Window(_) | LogicalPlan::Filter(_) | LogicalPlan::Sort(_)) = below else {
            return Ok(Transformed::no(plan));
        };
        calls.collect(below)?;
        below = below.inputs()[0];
    }
    let filled = Gaps::of(below)?.fill(&calls)?;
    replace(plan, &calls, filled).map(Transformed::yes)
}

/// Returns a SELECT over other rows, with its calls replaced by their columns.
fn replace(plan: LogicalPlan, calls: &Calls, filled: LogicalPlan) -> Result<LogicalPlan> {
    if aggregate_of(&plan)?.is_some() {
        return Ok(filled);
    }
    let input = replace(plan.inputs()[0].clone(), calls, filled)?;
    let preserver = NamePreserver::new(&plan);
    let replaced = plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let column = |expr: Expr| {
            Ok(match calls.0.iter().position(|call| *call == expr) {
                Some(i) => Transformed::yes(filled_column(i)),
                None => Transformed::no(expr),
            })
        };
        Ok(expr.transform_down(column)?.update_data(|expr| name.restore(expr)))
    })?;
    let expressions = replaced.data.expressions();
    replaced.data.with_new_exprs(expressions, vec![input])
}

fn filled_column(i: usize) -> Expr {
    Expr::Column(Column::new_unqualified(format!("{FILLED}_{i}")))
}

/// The calls of `locf` and `interpolate` in a SELECT.
#[derive(Default)]
struct Calls(Vec<Expr>);

impl Calls {
    fn collect(&mut self, plan: &LogicalPlan) -> Result<()> {
        plan.apply_expressions(|expr| {
            expr.apply(|part| {
                if name_of(part).is_some_and(|name| name == LOCF || name == INTERPOLATE) {
                    if !self.0.contains(part) {
                        self.0.push(part.clone());
                    }
                    return Ok(TreeNodeRecursion::Jump);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(())
    }
}

/// Returns the name of the function that an expression calls.
fn name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::ScalarFunction(function) => Some(function.func.name()),
        _ => None,
    }
}

fn is_gapfill(expr: &Expr) -> bool {
    name_of(expr) == Some(TIME_BUCKET_GAPFILL)
}

/// Returns an expression without the names that it was given.
fn bare(expr: &Expr) -> &Expr {
    if let Expr::Alias(alias) = expr { bare(&alias.expr) } else { expr }
}

/// Returns the aggregate below HAVING, if it groups by `time_bucket_gapfill`.
fn aggregate_of(plan: &LogicalPlan) -> Result<Option<&Aggregate>> {
    match plan {
        LogicalPlan::Filter(filter) => aggregate_of(&filter.input),
        LogicalPlan::Aggregate(aggregate) => {
            let mut calls = 0;
            for group in &aggregate.group_expr {
                group.apply(|part| {
                    calls += usize::from(is_gapfill(part));
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            let alone = aggregate.group_expr.iter().filter(|group| is_gapfill(bare(group))).count();
            match (calls, alone) {
                (0, _) => Ok(None),
                (1, 1) => Ok(Some(aggregate)),
                _ => plan_err!(
                    "time_bucket_gapfill stands alone in GROUP BY, once, and not in ROLLUP, CUBE or \
                     GROUPING SETS: GROUP BY time_bucket_gapfill('1 hour', timestamp), event"
                ),
            }
        }
        _ => Ok(None),
    }
}

/// An aggregate whose gaps are filled.
struct Gaps {
    /// The aggregate, by `time_bucket`, and HAVING.
    rows: LogicalPlan,
    /// Its bucket among the columns.
    bucket: usize,
    /// Number of columns that are grouped by.
    groups: usize,
    width: Expr,
    origin: Expr,
    start: Expr,
    finish: Expr,
}

impl Gaps {
    fn of(plan: &LogicalPlan) -> Result<Gaps> {
        let Some(aggregate) = aggregate_of(plan)? else {
            return plan_err!("there is no time_bucket_gapfill");
        };
        let bucket = aggregate.group_expr.iter().position(|group| is_gapfill(bare(group)));
        let bucket = bucket.unwrap_or_default();
        let Expr::ScalarFunction(call) = bare(&aggregate.group_expr[bucket]) else {
            return plan_err!("there is no time_bucket_gapfill");
        };
        let [width, time, range @ ..] = &call.args[..] else {
            return plan_err!("time_bucket_gapfill takes a width and a time");
        };
        if range.len() > 2 {
            return plan_err!(
                "time_bucket_gapfill with a time zone is not answered here: write \
                 time_bucket_gapfill('1 day', timestamp AT TIME ZONE 'Europe/Berlin', start, finish)"
            );
        }
        let Expr::ScalarFunction(binned) = time_bucket_of(vec![width.clone(), time.clone()])?
        else {
            return plan_err!("time_bucket is another function");
        };
        let [width, _, origin] = &binned.args[..] else {
            return plan_err!("time_bucket is another function");
        };
        let (width, origin) = (width.clone(), origin.clone());
        let bounds = Bounds::of(&aggregate.input, time)?;
        let start = bounds.chosen(range.first(), &bounds.starts, "start", greatest)?;
        let finish = bounds.chosen(range.get(1), &bounds.ends, "finish", least)?;
        let name = aggregate.group_expr[bucket].schema_name().to_string();
        let mut group_expr = aggregate.group_expr.clone();
        group_expr[bucket] = Expr::ScalarFunction(binned).alias(name);
        let groups = group_expr.len();
        let aggregate =
            Aggregate::try_new(aggregate.input.clone(), group_expr, aggregate.aggr_expr.clone())?;
        let rows = below_having(plan, aggregate)?;
        Ok(Gaps { rows, bucket, groups, width, origin, start, finish })
    }

    /// Returns the rows with their gaps filled: the columns of the aggregate, then the values of
    /// the calls.
    fn fill(self, calls: &Calls) -> Result<LogicalPlan> {
        let columns: Vec<Expr> = self.rows.schema().iter().map(Expr::from).collect();
        let own = columns[self.bucket].clone();
        let others: Vec<Expr> = columns[..self.groups]
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != self.bucket)
            .map(|(_, column)| column.clone())
            .collect();
        let rows = if others.is_empty() { one_at_least(self.rows)? } else { self.rows };
        let over = |value: Expr| {
            value.partition_by(others.clone()).order_by(vec![own.clone().sort(true, false)]).build()
        };
        let mut windows = vec![
            (BEFORE.to_owned(), over(lag(own.clone(), Some(1), None))?),
            (AFTER.to_owned(), over(lead(own.clone(), Some(1), None))?),
        ];
        for (i, (_, value)) in interpolated(calls) {
            windows.push((format!("{NEXT}_{i}"), over(lead(value.clone(), Some(1), None))?));
        }
        let rows = with_windows(rows, windows)?;
        let named = |name: &str| Expr::Column(Column::new_unqualified(name));
        let of_row = [self.width, self.origin, self.start, self.finish, own.clone()];
        let list =
            buckets().call(of_row.into_iter().chain([named(BEFORE), named(AFTER)]).collect());
        let rows = LogicalPlanBuilder::from(rows);
        let all: Vec<Expr> =
            rows.schema().iter().map(Expr::from).chain([list.alias(BUCKET)]).collect();
        let rows = rows.project(all)?.unnest_column(Column::new_unqualified(BUCKET))?;

        let bucket = named(BUCKET);
        let is_own = Expr::BinaryExpr(BinaryExpr::new(
            Box::new(bucket.clone()),
            Operator::IsNotDistinctFrom,
            Box::new(own.clone()),
        ));
        let mut output = Vec::new();
        for (i, column) in columns.into_iter().enumerate() {
            let Expr::Column(name) = &column else { continue };
            let (qualifier, name) = (name.relation.clone(), name.name.clone());
            output.push(if i == self.bucket {
                bucket.clone().alias_qualified(qualifier, name)
            } else if i < self.groups {
                column
            } else {
                when(is_own.clone(), column).end()?.alias_qualified(qualifier, name)
            });
        }
        let is_after = bucket.clone().gt(own.clone());
        for (i, call) in calls.0.iter().enumerate() {
            let (name, value) = parts(call)?;
            let in_gap = if name == LOCF {
                value.clone()
            } else {
                let next = named(&format!("{NEXT}_{i}"));
                between().call(vec![value.clone(), own.clone(), next, named(AFTER), bucket.clone()])
            };
            let filled =
                when(is_own.clone(), value.clone()).when(is_after.clone(), in_gap).end()?;
            output.push(filled.alias(format!("{FILLED}_{i}")));
        }
        rows.project(output)?.build()
    }
}

/// Returns the name and the argument of a call.
fn parts(call: &Expr) -> Result<(&str, &Expr)> {
    match call {
        Expr::ScalarFunction(function) if function.args.len() == 1 => {
            Ok((function.func.name(), &function.args[0]))
        }
        Expr::ScalarFunction(function) => plan_err!(
            "{0} with more than a value is not answered here: write {0}(value), without values from \
             outside of the range, and without treat_null_as_missing",
            function.func.name()
        ),
        _ => plan_err!("{call} is no function"),
    }
}

/// Returns the calls of `interpolate`, with their numbers.
fn interpolated(calls: &Calls) -> impl Iterator<Item = (usize, (&str, &Expr))> {
    let parts = calls.0.iter().enumerate().filter_map(|(i, call)| Some((i, parts(call).ok()?)));
    parts.filter(|(_, (name, _))| *name == INTERPOLATE)
}

/// Returns the conditions of HAVING over an aggregate.
fn below_having(plan: &LogicalPlan, aggregate: Aggregate) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(filter) => {
            let input = below_having(&filter.input, aggregate)?;
            Ok(LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?))
        }
        _ => Ok(LogicalPlan::Aggregate(aggregate)),
    }
}

/// Returns the rows, or one of nulls if there are none.
fn one_at_least(rows: LogicalPlan) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = rows.schema().iter().map(Expr::from).collect();
    LogicalPlanBuilder::empty(true)
        .project([lit(true).alias("gapfill_row")])?
        .join_on(rows, JoinType::Left, [lit(true)])?
        .project(columns)?
        .build()
}

/// Returns the rows with the values of window functions under these names.
fn with_windows(rows: LogicalPlan, windows: Vec<(String, Expr)>) -> Result<LogicalPlan> {
    let mut output: Vec<Expr> = rows.schema().iter().map(Expr::from).collect();
    let (names, functions): (Vec<String>, Vec<Expr>) = windows.into_iter().unzip();
    for (name, function) in names.iter().zip(&functions) {
        let column = Column::new_unqualified(function.schema_name().to_string());
        output.push(Expr::Column(column).alias(name));
    }
    // Two values may be the same.
    let mut distinct: Vec<Expr> = Vec::new();
    for function in functions {
        if !distinct.contains(&function) {
            distinct.push(function);
        }
    }
    LogicalPlanBuilder::from(rows).window(distinct)?.project(output)?.build()
}

/// The bounds that WHERE sets to the time: the first instants, and those after the last.
struct Bounds {
    of: datafusion::arrow::datatypes::DataType,
    starts: Vec<Expr>,
    ends: Vec<Expr>,
}

impl Bounds {
    fn of(input: &LogicalPlan, time: &Expr) -> Result<Bounds> {
        let of = time.get_type(input.schema())?;
        let mut bounds = Bounds { of, starts: Vec::new(), ends: Vec::new() };
        if let LogicalPlan::Filter(filter) = input {
            for condition in split_conjunction(&filter.predicate) {
                bounds.add(condition, time);
            }
        }
        Ok(bounds)
    }

    fn add(&mut self, condition: &Expr, time: &Expr) {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let flipped = || op.swap().map(|op| (right, op, left));
                let (column, op, value) = match (**left == *time, **right == *time, flipped()) {
                    (true, false, _) => (left, *op, right),
                    (false, true, Some(flipped)) => flipped,
                    _ => return,
                };
                debug_assert!(**column == *time);
                self.bound(op, value);
            }
            Expr::Between(between) if !between.negated && *between.expr == *time => {
                self.bound(Operator::GtEq, &between.low);
                self.bound(Operator::LtEq, &between.high);
            }
            _ => {}
        }
    }

    fn bound(&mut self, op: Operator, value: &Expr) {
        let is_constant = value.column_refs().is_empty() && !has_subquery(value);
        let at = || cast(value.clone(), self.of.clone());
        // Times are whole microseconds.
        let after = || at() + lit(ScalarValue::new_interval_mdn(0, 0, 1_000));
        let (is_start, at) = match op {
            _ if !is_constant => return,
            Operator::GtEq => (true, at()),
            Operator::Gt => (true, after()),
            Operator::Lt => (false, at()),
            Operator::LtEq => (false, after()),
            Operator::Eq => {
                let (at, after) = (at(), after());
                self.starts.push(at);
                (false, after)
            }
            _ => return,
        };
        if is_start { self.starts.push(at) } else { self.ends.push(at) }
    }

    /// Returns the given end of the range, or else that of WHERE.
    fn chosen(
        &self,
        given: Option<&Expr>,
        bounds: &[Expr],
        name: &str,
        narrowest: fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr> {
        let is_null = |given: &&Expr| matches!(given, Expr::Literal(value, _) if value.is_null());
        match (given.filter(|given| !is_null(given)), bounds) {
            (Some(given), _) if !given.column_refs().is_empty() => {
                plan_err!("the {name} of time_bucket_gapfill must not depend on a column: {given}")
            }
            (Some(given), _) => Ok(cast(given.clone(), self.of.clone())),
            (None, []) => plan_err!(
                "time_bucket_gapfill has no {name}: bound the time in WHERE, as in timestamp >= \
                 '2026-01-01' AND timestamp < '2026-01-02', or give start and finish after the time"
            ),
            (None, [one]) => Ok(one.clone()),
            (None, all) => Ok(narrowest(all.to_vec())),
        }
    }
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|part| {
        Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)))
    })
    .unwrap_or(true)
}
