//! A physical optimizer rule that looks at each node of a plan by itself.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// A node, replaced or not.
type Replaced = Result<Transformed<Arc<dyn ExecutionPlan>>>;

/// Rule that replaces nodes, from the leaves up.
#[derive(Debug)]
pub struct NodeRule {
    pub name: &'static str,
    pub replace: fn(Arc<dyn ExecutionPlan>) -> Replaced,
}

impl PhysicalOptimizerRule for NodeRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(self.replace).data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}
