//! Plan node of aggregates with counts of distinct users, or other names, in memory as long as they
//! fit.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::counting::{Counting, Question, Totals};

/// Plan node that counts distinct names of its inputs, by group, all partitions at once, and
/// computes the aggregates beside them. If there are more names or groups than may be kept, it asks
/// its last input instead, which has the same answer by other means.
#[derive(Clone, Debug)]
pub struct DistinctNamesExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    /// The other way to count; there is one where the question has a limit.
    otherwise: Option<Arc<dyn ExecutionPlan>>,
    question: Question,
    properties: Arc<PlanProperties>,
}

impl DistinctNamesExec {
    /// `schema` has the columns of the group, then the measures.
    pub fn new(
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        otherwise: Option<Arc<dyn ExecutionPlan>>,
        question: Question,
        schema: SchemaRef,
    ) -> DistinctNamesExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        DistinctNamesExec { inputs, otherwise, question, properties: Arc::new(properties) }
    }
}

impl DisplayAs for DistinctNamesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "DistinctNamesExec: {}", self.question)
    }
}

impl ExecutionPlan for DistinctNamesExec {
    fn name(&self) -> &str {
        "DistinctNamesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().chain(&self.otherwise).collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let inputs = self.inputs.iter().map(|_| Distribution::UnspecifiedDistribution);
        inputs.chain(self.otherwise.iter().map(|_| Distribution::SinglePartition)).collect()
    }

    /// Rows are not dealt to more partitions: that takes as long as counting them.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.children().len()]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let otherwise = self.otherwise.as_ref().and_then(|_| children.pop());
        let inputs = children;
        Ok(Arc::new(DistinctNamesExec { inputs, otherwise, ..DistinctNamesExec::clone(&self) }))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut streams = Vec::new();
        for input in &self.inputs {
            for partition in 0..input.output_partitioning().partition_count() {
                streams.push(input.execute(partition, context.clone())?);
            }
        }
        let reservation = MemoryConsumer::new("DistinctNamesExec").register(context.memory_pool());
        let totals = Arc::new(Totals::new(self.question.clone(), reservation)?);
        let (schema, otherwise) = (self.schema(), self.otherwise.clone());
        let answer = async move {
            count(streams, &totals).await?;
            if let (true, Some(otherwise)) = (totals.is_over(), otherwise) {
                drop(totals);
                return otherwise.execute(0, context);
            }
            let batch = RecordBatch::try_new(schema.clone(), totals.columns()?)?;
            let batches = stream::iter([Ok(batch)]);
            Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)) as _)
        };
        let stream = stream::once(answer).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }
}

/// Counts the rows of all streams, each in a task of its own, until a limit is reached.
async fn count(mut streams: Vec<SendableRecordBatchStream>, totals: &Arc<Totals>) -> Result<()> {
    let last = streams.pop();
    let other =
        streams.into_iter().map(|stream| SpawnedTask::spawn(count_one(stream, totals.clone())));
    // A task that is not awaited is stopped when it is dropped.
    let other: Vec<_> = other.collect();
    // The task spawned last is next on this thread, and no other thread takes it from there:
    // without a pause it would wait until the stream below has nothing to do.
    tokio::task::yield_now().await;
    if let Some(last) = last {
        count_one(last, totals.clone()).await?;
    }
    for task in other {
        task.join_unwind().await.map_err(|cause| DataFusionError::External(cause.into()))??;
    }
    Ok(())
}

async fn count_one(mut stream: SendableRecordBatchStream, totals: Arc<Totals>) -> Result<()> {
    let mut counting = Counting::new(totals.clone())?;
    while let Some(batch) = stream.next().await {
        counting.add(&batch?)?;
        if totals.is_over() {
            return Ok(());
        }
    }
    counting.finish()
}
