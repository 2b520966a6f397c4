//! Aggregates over whole hours, computed from exact counters instead of rows.
//!
//! [`answer`] finds aggregates over `events` that the store's counters can compute exactly. The
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
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{Aggregate, LogicalPlan};

pub use self::totals::{Measure, RollupExec};
use crate::query::options::HourglassOptions;

/// Returns the plan of an aggregate that counters and sets compute; `None` for another. It must run
/// after predicates are pushed down and before distinct aggregates are rewritten.
pub fn answer(aggregate: &Aggregate, options: &ConfigOptions) -> Result<Option<LogicalPlan>> {
    if options.extensions.get::<HourglassOptions>().is_some_and(|options| !options.rollups) {
        return Ok(None);
    }
    let Some(below) = AggregateInput::of(&aggregate.input)? else {
        return algebra::answer(aggregate);
    };
    match totals::answer(aggregate, &below)? {
        None => series::answer(aggregate, &below),
        some => Ok(some),
    }
}
