//! Physical optimizer rule for `ORDER BY … LIMIT` with a limit of very many rows.
//!
//! DataFusion keeps the rows below a limit in a heap, in memory that it cannot spill. That is
//! faster than to sort all rows as long as they are few. A heap of a million rows takes five times
//! as long as the sort, and of several millions a minute without a pause in which it could be
//! stopped. So is it with the groups of `GROUP BY … ORDER BY max(…) LIMIT`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;

/// The most rows that are kept in a heap. Of 14 million rows in random order a heap of 100,000
/// takes as long as a sort; of rows in the order of time, one of a million.
const HEAP_ROWS: usize = 200_000;

/// The most groups that are kept in a heap, where each row may change the place of one. Of a
/// million groups that is as fast as a table of all groups up to some 3,000.
const HEAP_GROUPS: usize = 3_000;

/// Replaces a large heap by a sort of all rows, or by a table of all groups.
pub fn replace(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(sort) = plan.downcast_ref::<SortExec>()
        && let Some(rows) = sort.fetch().filter(|rows| *rows > HEAP_ROWS)
    {
        let all = Arc::new(sort.with_fetch(None));
        return Ok(Transformed::yes(Arc::new(LocalLimitExec::new(all, rows))));
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
        && let Some(limit) = aggregate.limit_options()
        && limit.descending().is_some()
        && limit.limit() > HEAP_GROUPS
    {
        return Ok(Transformed::yes(Arc::new(aggregate.with_new_limit_options(None))));
    }
    Ok(Transformed::no(plan))
}
