//! The steps of operators: what happens between two batches, and how much one step may take.
//!
//! [`bound`] puts every operator of a plan behind a [`StepExec`]. With each batch it ends a
//! statement that was condemned for its memory, or has ended; scans offer their processor to the
//! requests beside them, for which a thread that wakes up on a processor that a statement has may
//! wait up to 4 ms on Linux at 250 Hz.
//!
//! Two things happen within one step, where nobody looks, and are bounded before: operators of
//! [`COPIES_ALL`] copy all that they have collected, and a constant becomes as many values as there
//! are rows in a batch ([`fit_batches`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};

use crate::query::memory;

/// Operators that collect their input, or the left one of two, and copy it as a whole at its end:
/// what the statement holds must fit into the budget once more. Found by reading.
const COPIES_ALL: [&str; 4] =
    ["WindowAggExec", "HashJoinExec", "NestedLoopJoinExec", "CrossJoinExec"];

/// Bytes that the copies of a constant may take in a batch.
const CONSTANT_BYTES: usize = 16 << 20;

/// The plan with every operator in steps.
pub fn bound(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let in_steps = |plan: Arc<dyn ExecutionPlan>| {
        let is_scan = plan.children().is_empty();
        if !COPIES_ALL.contains(&plan.name()) {
            return Ok(Transformed::yes(StepExec::of(plan, is_scan, None)));
        }
        let collected = Collected { row_bytes: constant_bytes(&plan)? };
        let children = plan.children().into_iter().enumerate().map(|(i, child)| {
            let collected = (i == 0).then_some(collected);
            StepExec::of(child.clone(), false, collected)
        });
        let children = children.collect();
        let plan = plan.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep),
        )?;
        Ok(Transformed::yes(StepExec::of(plan, false, None)))
    };
    plan.transform_up(in_steps).data()
}

/// Has the statement work in batches so small that the longest constant in `plan` may stand in each
/// of their rows.
pub fn fit_batches(state: &mut SessionState, plan: &LogicalPlan) -> Result<()> {
    let mut longest = 0;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::Literal(value, _) = part {
                    longest = longest.max(value_bytes(value));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let rows = state.config().batch_size();
    let fitting = rows.min(CONSTANT_BYTES / longest.max(1)).max(1);
    if fitting < rows {
        state
            .config_mut()
            .options_mut()
            .set("datafusion.execution.batch_size", &fitting.to_string())?;
    }
    Ok(())
}

fn value_bytes(value: &ScalarValue) -> usize {
    value.size() - size_of::<ScalarValue>()
}

/// Bytes of the constants in an operator's own expressions.
fn constant_bytes(plan: &Arc<dyn ExecutionPlan>) -> Result<usize> {
    let mut bytes = 0;
    plan.apply_expressions(&mut |expression| {
        expression.apply(|part| {
            bytes +=
                part.downcast_ref::<Literal>().map_or(0, |literal| value_bytes(literal.value()));
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(bytes)
}

/// What the operator above will do when its input has ended.
#[derive(Clone, Copy, Debug)]
struct Collected {
    /// Bytes of constants that it will write out for every row.
    row_bytes: usize,
}

/// The rows of an operator, step by step. To everybody who looks at the plan it is that operator.
#[derive(Debug)]
struct StepExec {
    plan: Arc<dyn ExecutionPlan>,
    is_scan: bool,
    collected: Option<Collected>,
}

impl StepExec {
    fn of(
        plan: Arc<dyn ExecutionPlan>,
        is_scan: bool,
        collected: Option<Collected>,
    ) -> Arc<dyn ExecutionPlan> {
        Arc::new(StepExec { plan, is_scan, collected })
    }

    fn around(&self, plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        StepExec::of(plan, self.is_scan, self.collected)
    }
}

impl DisplayAs for StepExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.plan.fmt_as(format, f)
    }
}

impl ExecutionPlan for StepExec {
    fn name(&self) -> &str {
        self.plan.name()
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(&*self.plan)
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.plan.children()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.plan.apply_expressions(visit)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(self.around(self.plan.clone().replace_children(children, options)?))
    }

    /// IMPORTANT: a scan shares a queue of its files. A recursive query runs it once for each step,
    /// and each needs all files.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.around(self.plan.clone().reset_state()?))
    }

    fn with_new_state(
        &self,
        state: Arc<dyn std::any::Any + Send + Sync>,
    ) -> Option<Arc<dyn ExecutionPlan>> {
        Some(self.around(self.plan.with_new_state(state)?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (is_scan, most) = (self.is_scan, context.session_config().batch_size());
        let step = move |batch: Result<RecordBatch>| {
            if is_scan {
                std::thread::yield_now();
            }
            memory::check()?;
            batch
        };
        let batches = self.plan.execute(partition, context)?.map(step);
        let schema = self.schema();
        if let Some(collected) = self.collected {
            return Ok(Box::pin(RecordBatchStreamAdapter::new(
                schema,
                with_room(batches, collected),
            )));
        }
        if is_scan {
            let batches = batches.flat_map(move |batch| stream::iter(slices(batch, most)));
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)));
        }
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.plan.metrics()
    }
}

/// The batches, and at their end an error if there is no room for what the operator above will do.
fn with_room(
    batches: impl stream::Stream<Item = Result<RecordBatch>>,
    collected: Collected,
) -> impl stream::Stream<Item = Result<RecordBatch>> {
    let end = stream::once(async { None });
    batches.map(Some).chain(end).scan(0_usize, move |rows, next| {
        let next = match next {
            Some(batch) => {
                *rows += batch.as_ref().map_or(0, RecordBatch::num_rows);
                Some(batch)
            }
            None => {
                let bytes = rows.saturating_mul(collected.row_bytes);
                memory::check_room_for_copy(bytes).err().map(Err)
            }
        };
        std::future::ready(next)
    })
}

/// A batch in parts of at most so many rows.
fn slices(batch: Result<RecordBatch>, most: usize) -> impl Iterator<Item = Result<RecordBatch>> {
    let rows = batch.as_ref().map_or(0, RecordBatch::num_rows);
    let parts = if rows > most { rows.div_ceil(most) } else { 1 };
    let mut batch = Some(batch);
    (0..parts).filter_map(move |part| match &batch {
        Some(Ok(whole)) if parts > 1 => {
            Some(Ok(whole.slice(part * most, most.min(rows - part * most))))
        }
        _ => batch.take(),
    })
}
