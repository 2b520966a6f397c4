//! Aggregates over whole hours, computed from exact counters instead of rows.
//!
//! [`RollupRule`] finds aggregates over `events` that the store's counters can compute exactly. The
//! counters of an hour are its rows by kind of event, its first and last timestamp, and its
//! distinct users. [`totals`] handles one row over a range of hours; [`series`] handles everything
//! that is grouped, filtered or weighted by values that are constant within an hour; [`algebra`]
//! handles intersections and differences of users. An aggregate
//! that cannot be computed exactly is left unchanged, and if a range cuts an hour, only that hour
//! is scanned. `SET hourglass.rollups = false` disables the rule; the results are the same.

mod algebra;
mod input;
mod series;
mod totals;

pub use self::input::AggregateInput;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

pub use self::totals::{Measure, RollupExec};
use crate::query::options::HourglassOptions;

/// Optimizer rule for rollups. It must run after predicates are pushed down and before distinct
/// aggregates are rewritten.
#[derive(Debug, Default)]
pub struct RollupRule;

impl OptimizerRule for RollupRule {
    fn name(&self) -> &str {
        "hourglass_rollups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let options = config.options();
        if options.extensions.get::<HourglassOptions>().is_some_and(|options| !options.rollups) {
            return Ok(Transformed::no(plan));
        }
        let Some(below) = AggregateInput::of(&aggregate.input)? else {
            let answer = algebra::answer(aggregate)?;
            return Ok(answer.map_or_else(|| Transformed::no(plan), Transformed::yes));
        };
        let answer = match totals::answer(aggregate, &below)? {
            None => series::answer(aggregate, &below)?,
            some => some,
        };
        Ok(answer.map_or_else(|| Transformed::no(plan), Transformed::yes))
    }
}
