//! Aggregates over whole hours, answered from exact counters instead of rows.
//!
//! [`RollupRule`] finds aggregates over `events` that the store's counters answer exactly: rows of
//! every hour by the kind of event, its first and last timestamp, and its distinct users.
//! [`totals`] answers one row over a run of hours; [`series`] everything that is grouped, filtered
//! or weighed by what is the same throughout an hour. What does not fit exactly is left as it is,
//! and where a range cuts an hour, that hour alone is scanned. `SET hourglass.rollups = false`
//! leaves everything as it is, with the same answers.

mod input;
mod series;
mod totals;

pub use self::input::AggregateInput;

use datafusion::common::config::ConfigExtension;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, extensions_options};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

pub use self::totals::{Measure, RollupExec};

extensions_options! {
    /// Settings of a session, `SET hourglass.…`.
    pub struct HourglassOptions {
        /// Whether aggregates over whole hours are answered from rollups.
        pub rollups: bool, default = true
        /// Whether a predicate on time chooses hours from the index; off, every file is a candidate
        /// and looked at.
        pub pruning: bool, default = true
        /// Users of a statement whose distinct count is kept in memory; more are counted through
        /// temporary files.
        pub distinct_users_in_memory: usize, default = 4_000_000
    }
}

impl ConfigExtension for HourglassOptions {
    const PREFIX: &'static str = "hourglass";
}

/// The optimizer rule. It must run after predicates are pushed down and before distinct aggregates
/// are taken apart.
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
            return Ok(Transformed::no(plan));
        };
        let answer = match totals::answer(aggregate, &below)? {
            None => series::answer(aggregate, &below)?,
            some => some,
        };
        Ok(answer.map_or_else(|| Transformed::no(plan), Transformed::yes))
    }
}
