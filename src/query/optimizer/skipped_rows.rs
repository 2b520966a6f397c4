//! Physical optimizer rule that keeps the sort below an `OFFSET` without `LIMIT`.
//!
//! DataFusion drops sorts that nothing above them requires. It knows that those with a limit decide
//! which rows are left; that those below an `OFFSET` alone do, too, was forgotten: in `SELECT
//! min(timestamp) FROM (SELECT … ORDER BY user_id OFFSET 10)` any ten rows were skipped.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::physical_expr::{Distribution, OrderingRequirements};
use datafusion::physical_optimizer::output_requirements::OutputRequirementExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Makes the order below an `OFFSET` a requirement. That must come before the rule that drops
/// sorts; DataFusion removes the node again after it.
pub fn require(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>()
        && limit.fetch().is_none()
        && let Some(order) = limit.input().output_ordering()
    {
        let kept = OutputRequirementExec::new(
            limit.input().clone(),
            Some(OrderingRequirements::from(order.clone())),
            Distribution::SinglePartition,
            None,
        );
        let limit = GlobalLimitExec::new(Arc::new(kept), limit.skip(), None);
        return Ok(Transformed::yes(Arc::new(limit)));
    }
    Ok(Transformed::no(plan))
}
