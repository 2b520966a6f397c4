//! Aggregates over whole hours, answered from exact counters instead of rows.
//!
//! [`RollupRule`] finds aggregates over `events` that the store's counters answer exactly: rows, clicks and impressions of
//! every hour, and its distinct users. [`totals`] answers one row over a run of hours; [`series`] everything that is grouped,
//! filtered or weighed by what is the same throughout an hour. What does not fit exactly is left as it is, and where a range
//! cuts an hour, that hour alone is scanned. `SET hourglass.rollups = false` leaves everything as it is, with the same
//! answers.

mod series;
mod totals;

use std::any::Any;
use std::collections::HashMap;

use datafusion::common::config::ConfigExtension;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, extensions_options};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

pub use self::totals::{Measure, RollupExec};
use super::functions;
use super::receipt::Receipt;
use super::spans;
use super::table::{self, EventsTable};

extensions_options! {
    /// Settings of a session, `SET hourglass.…`.
    pub struct HourglassOptions {
        /// Whether aggregates over whole hours are answered from rollups.
        pub rollups: bool, default = true
        /// Whether a predicate on time chooses hours from the index; off, every file is a candidate and looked at.
        pub pruning: bool, default = true
        /// Users of a statement whose distinct count is kept in memory; more are counted through temporary files.
        pub distinct_users_in_memory: usize, default = 4_000_000
    }
}

impl ConfigExtension for HourglassOptions {
    const PREFIX: &'static str = "hourglass";
}

/// The optimizer rule. It must run after predicates are pushed down and before distinct aggregates are taken apart.
#[derive(Debug, Default)]
pub struct RollupRule;

impl OptimizerRule for RollupRule {
    fn name(&self) -> &str {
        "hourglass_rollups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let options = config.options();
        if options.extensions.get::<HourglassOptions>().is_some_and(|options| !options.rollups) {
            return Ok(Transformed::no(plan));
        }
        let Some(below) = Below::of(&aggregate.input)? else { return Ok(Transformed::no(plan)) };
        let answer = match totals::answer(aggregate, &below)? {
            None => series::answer(aggregate, &below)?,
            some => some,
        };
        Ok(answer.map_or_else(|| Transformed::no(plan), Transformed::yes))
    }
}

/// What lies below an aggregate: one scan of `events`, the predicates on it, and the aggregate's input columns in terms of
/// the scan's.
pub struct Below<'a> {
    pub scan: &'a TableScan,
    pub events: &'a EventsTable,
    pub predicates: Vec<Expr>,
    columns: HashMap<Column, Expr>,
}

impl<'a> Below<'a> {
    /// Nothing when there is anything else than filters, projections and names between the aggregate and the scan.
    pub fn of(plan: &'a LogicalPlan) -> Result<Option<Below<'a>>> {
        Ok(match plan {
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
                let Some(events) = events_of(scan)? else { return Ok(None) };
                let same = |column: Column| (column.clone(), Expr::Column(column));
                let columns = scan.projected_schema.columns().into_iter().map(same).collect();
                Some(Below { scan, events, predicates: scan.filters.clone(), columns })
            }
            LogicalPlan::Filter(filter) => {
                let Some(mut below) = Below::of(&filter.input)? else { return Ok(None) };
                let predicate = below.inline(&filter.predicate)?;
                below.predicates.extend(split_conjunction_owned(predicate));
                Some(below)
            }
            LogicalPlan::Projection(projection) => {
                let Some(mut below) = Below::of(&projection.input)? else { return Ok(None) };
                let inlined = below.inline_all(&projection.expr)?;
                below.columns = projection.schema.columns().into_iter().zip(inlined).collect();
                Some(below)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let Some(mut below) = Below::of(&alias.input)? else { return Ok(None) };
                let inner = alias.input.schema().columns();
                let inlined = inner.into_iter().map(|column| below.inline(&Expr::Column(column)));
                below.columns = alias.schema.columns().into_iter().zip(inlined.collect::<Result<Vec<_>>>()?).collect();
                Some(below)
            }
            _ => None,
        })
    }

    /// An expression over the aggregate's input as one over the scan, without aliases.
    fn inline(&self, expr: &Expr) -> Result<Expr> {
        let inlined = expr.clone().transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) => match self.columns.get(column) {
                    Some(over_scan) if *over_scan != expr => Transformed::yes(over_scan.clone()),
                    _ => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        })?;
        Ok(inlined.data.unalias_nested().data)
    }

    pub fn inline_all(&self, exprs: &[Expr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.inline(expr)).collect()
    }
}

fn events_of(scan: &TableScan) -> Result<Option<&EventsTable>> {
    let Some(source) = (scan.source.as_ref() as &dyn Any).downcast_ref::<datafusion::datasource::DefaultTableSource>()
    else {
        return Ok(None);
    };
    Ok((source.table_provider.as_ref() as &dyn Any).downcast_ref::<EventsTable>())
}
