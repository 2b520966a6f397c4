//! What keeps a statement from being felt by the requests beside it, where processors are few.
//!
//! **One thread stays one.** DataFusion runs the inputs of a union side by side even when it plans for one partition: each gets a
//! task, and the tasks spread over the threads there are. A scan of files and memory is such a union, so a statement meant for
//! one thread would take two. [`SerialRule`] has them run one after the other.
//!
//! **It gives way often.** A thread that wakes up on a processor that a statement has may wait for the scheduler's next tick, up
//! to 4 ms on Linux at 250 Hz, and a request passes through three or four threads. [`give_way`] has the statement offer its
//! processor before each batch of rows, a fraction of a millisecond apart.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::memory::MemtableExec;

/// The plan with every scan of events giving way.
pub fn give_way(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let scan = |plan: Arc<dyn ExecutionPlan>| match plan.is::<DataSourceExec>() || plan.is::<MemtableExec>() {
        true => Ok(Transformed::yes(Arc::new(GivingWay(plan)) as Arc<dyn ExecutionPlan>)),
        false => Ok(Transformed::no(plan)),
    };
    plan.transform_up(scan).data()
}

/// What a node of one input is given.
pub fn only_child(children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    match <[_; 1]>::try_from(children) {
        Ok([child]) => Ok(child),
        Err(children) => internal_err!("{} children of a node that has one", children.len()),
    }
}

/// The rows of a scan, which yields before each batch.
#[derive(Debug)]
struct GivingWay(Arc<dyn ExecutionPlan>);

impl DisplayAs for GivingWay {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt_as(format, f)
    }
}

impl ExecutionPlan for GivingWay {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.0.apply_expressions(visit)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.0.execute(partition, context)?.inspect(|_| std::thread::yield_now());
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.0.metrics()
    }
}

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
        Ok(Arc::new(SerialExec::new(only_child(children)?)))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.clone();
        let partitions = 0..input.properties().partitioning.partition_count();
        let batches = stream::iter(partitions).map(move |i| input.execute(i, context.clone())).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
