//! What keeps a statement from being felt by the requests beside it, where processors are few.
//!
//! A thread that wakes up on a processor that a statement has may wait for the scheduler's next tick, up
//! to 4 ms on Linux at 250 Hz, and a request passes through three or four threads. [`with_yields`] has the statement offer its
//! processor before each batch of rows, a fraction of a millisecond apart.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use super::memory::MemtableExec;

/// The plan with every scan of events giving way.
pub fn with_yields(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let scan = |plan: Arc<dyn ExecutionPlan>| match plan.is::<DataSourceExec>() || plan.is::<MemtableExec>() {
        true => Ok(Transformed::yes(Arc::new(YieldExec(plan)) as Arc<dyn ExecutionPlan>)),
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
struct YieldExec(Arc<dyn ExecutionPlan>);

impl DisplayAs for YieldExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt_as(format, f)
    }
}

impl ExecutionPlan for YieldExec {
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

    /// IMPORTANT: a scan shares a queue of its files. A recursive query runs it once for each step, and each needs all files.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(YieldExec(self.0.clone().reset_state()?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.0.execute(partition, context)?.inspect(|_| std::thread::yield_now());
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.0.metrics()
    }
}
