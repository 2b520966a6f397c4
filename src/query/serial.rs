//! One partition after the other, where a statement has one thread.
//!
//! DataFusion runs the inputs of a union side by side even when it plans for one partition: each gets a task, and the tasks
//! spread over the threads there are. A scan of files and memory is such a union, so a statement meant for one thread would
//! take two, and the requests beside it would feel it.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

/// Puts [`SerialExec`] in the place of [`CoalescePartitionsExec`] in plans for one partition.
#[derive(Debug)]
pub struct SerialRule;

impl PhysicalOptimizerRule for SerialRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if config.execution.target_partitions > 1 {
            return Ok(plan);
        }
        plan.transform_up(|plan| {
            let Some(coalesce) = plan.downcast_ref::<CoalescePartitionsExec>() else {
                return Ok(Transformed::no(plan));
            };
            let serial: Arc<dyn ExecutionPlan> = Arc::new(SerialExec::new(coalesce.input().clone()));
            Ok(Transformed::yes(match coalesce.fetch() {
                Some(fetch) => Arc::new(GlobalLimitExec::new(serial, 0, Some(fetch))),
                None => serial,
            }))
        })
        .data()
    }

    fn name(&self) -> &str {
        "SerialRule"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The rows of all its input's partitions; one begins when the one before has ended.
#[derive(Debug)]
struct SerialExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl SerialExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> SerialExec {
        let mut properties =
            PlanProperties::clone(input.properties()).with_partitioning(Partitioning::UnknownPartitioning(1));
        // Each partition has its order, all together have none.
        if input.properties().partitioning.partition_count() > 1 {
            properties.eq_properties.clear_orderings();
        }
        SerialExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for SerialExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SerialExec")
    }
}

impl ExecutionPlan for SerialExec {
    fn name(&self) -> &str {
        "SerialExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(SerialExec::new(input))),
            Err(_) => internal_err!("SerialExec has one child"),
        }
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.clone();
        let partitions = 0..input.properties().partitioning.partition_count();
        let batches = stream::iter(partitions).map(move |i| input.execute(i, context.clone())).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
