//! Limits on the steps of operators: a step is the work between two batches.
//!
//! [`bound`] wraps every operator of a plan in a [`StepExec`]. At each batch it stops a statement
//! that was chosen to be killed for its memory, or that has ended. Scans also yield their processor
//! to concurrent requests: on Linux at 250 Hz, a thread that wakes up on a processor in use by a
//! statement may otherwise wait up to 4 ms. On both sides of an exchange (a repartition, a merge of
//! partitions), tasks yield to the tasks that they wake ([`requeue`]).
//!
//! Two allocations happen within one step, where nothing checks memory, and are limited beforehand:
//! operators of [`COPIES_ALL`] copy all that they have collected, and a constant is expanded to one
//! value for each row of a batch ([`fit_batches`]).

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::execution_plan::EvaluationType;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};

use crate::query::memory;

/// Operators that collect their input, or the left one of two, and copy it as a whole at its end,
/// so that what the statement holds must fit into the budget twice. Found by reading their source.
const COPIES_ALL: [&str; 4] =
    ["WindowAggExec", "HashJoinExec", "NestedLoopJoinExec", "CrossJoinExec"];

/// Maximum bytes of a constant's copies in one batch.
const CONSTANT_BYTES: usize = 16 << 20;

/// Rows of a batch of a join that copies arrays, each of which may have megabytes.
const ARRAY_ROWS: usize = 8;

/// Wraps every operator of the plan in a [`StepExec`]. Batches have `batch_rows` rows, but those of
/// a join with arrays have [`ARRAY_ROWS`]: it copies an array into every row that it matches.
pub fn bound(plan: Arc<dyn ExecutionPlan>, batch_rows: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let in_steps = |plan: Arc<dyn ExecutionPlan>| {
        let is_exchange = matches!(plan.properties().evaluation_type, EvaluationType::Eager);
        let collects = COPIES_ALL.contains(&plan.name());
        let has_arrays = collects && has_arrays(&plan);
        let own = Duties {
            is_scan: plan.children().is_empty(),
            requeues: is_exchange.then_some(Requeue::After),
            collected: None,
            batch_rows: has_arrays.then_some(ARRAY_ROWS),
        };
        let collected =
            if collects { Some(Collected { row_bytes: constant_bytes(&plan)? }) } else { None };
        let children = plan.children().into_iter().enumerate().map(|(i, child)| {
            // The other input is met batch by batch: those of a cross join as they come.
            let is_collected = i == 0;
            let duties = Duties {
                is_scan: false,
                requeues: is_exchange.then_some(Requeue::Before),
                collected: collected.filter(|_| is_collected),
                batch_rows: (is_collected && has_arrays).then_some(batch_rows),
            };
            StepExec::of(child.clone(), duties)
        });
        let plan = if is_exchange || collects {
            let children = children.collect();
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
            plan.replace_children(children, options)?
        } else {
            plan
        };
        Ok(Transformed::yes(StepExec::of(plan, own)))
    };
    plan.transform_up(in_steps).data()
}

/// Reduces the statement's batch size so that the longest constant in `plan`, repeated in each row
/// of a batch, takes at most [`CONSTANT_BYTES`].
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

fn has_arrays(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.schema().fields().iter().any(|field| field.data_type().is_nested())
}

fn value_bytes(value: &ScalarValue) -> usize {
    value.size() - size_of::<ScalarValue>()
}

/// Returns the bytes of the constants in an operator's own expressions.
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

/// The allocation that the operator above makes when its input has ended.
#[derive(Clone, Copy, Debug)]
struct Collected {
    /// Bytes of constants that it writes out for every row.
    row_bytes: usize,
}

/// When a task is put back into the queue of all threads, so that one that it woke runs.
#[derive(Clone, Copy, Debug)]
enum Requeue {
    /// Before each batch but the first: sending the one before may have woken the task that takes.
    Before,
    /// After each batch: taking it may have woken the task that sent it.
    After,
}

/// What is done at each batch of an operator, apart from checking limits.
#[derive(Clone, Copy, Debug)]
struct Duties {
    /// Whether its batches are sliced, as they may be large, and the thread yields its processor.
    is_scan: bool,
    requeues: Option<Requeue>,
    collected: Option<Collected>,
    /// Rows of a batch from here on down, if they are others than above.
    batch_rows: Option<usize>,
}

/// Plan node that checks limits at each batch of the operator it wraps. To code that inspects the
/// plan, it looks like that operator.
#[derive(Debug)]
struct StepExec {
    plan: Arc<dyn ExecutionPlan>,
    duties: Duties,
}

impl StepExec {
    fn of(plan: Arc<dyn ExecutionPlan>, duties: Duties) -> Arc<dyn ExecutionPlan> {
        Arc::new(StepExec { plan, duties })
    }

    fn around(&self, plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        StepExec::of(plan, self.duties)
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

    /// IMPORTANT: forwards the reset. A scan shares a queue of its files between partitions; a
    /// recursive query runs the scan once for each step, and each step needs all files.
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
        let Duties { is_scan, requeues, collected, batch_rows } = self.duties;
        let context = match batch_rows {
            Some(rows) => with_batch_rows(&context, rows),
            None => context,
        };
        let most = context.session_config().batch_size();
        let step = move |batch: Result<RecordBatch>| {
            if is_scan {
                std::thread::yield_now();
            }
            memory::check()?;
            batch
        };
        let batches = self.plan.execute(partition, context)?.map(step);
        let batches = match requeues {
            Some(Requeue::Before) => requeued_before(batches).boxed(),
            Some(Requeue::After) => requeued_after(batches).boxed(),
            None => batches.boxed(),
        };
        let batches = match collected {
            Some(collected) => with_room(batches, collected).boxed(),
            None => batches,
        };
        let batches = if is_scan {
            batches.flat_map(move |batch| stream::iter(slices(batch, most))).boxed()
        } else {
            batches
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.plan.metrics()
    }
}

/// Returns the context with another size of batches.
fn with_batch_rows(context: &TaskContext, rows: usize) -> Arc<TaskContext> {
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone().with_batch_size(rows),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ))
}

/// Passes the batches on, then an error if there is no room for the copy that the operator above
/// makes.
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

/// Puts the running task at the end of the queue that all threads of the statement take tasks from.
///
/// A task that another one wakes waits for the thread that woke it, and no other thread takes it
/// from there: it waits, and an idle thread with it, until the task that woke it pauses.
async fn requeue() {
    let mut is_queued = false;
    poll_fn(|context| {
        if is_queued {
            return Poll::Ready(());
        }
        is_queued = true;
        // `tokio::task::yield_now` would hold the task back until its thread has nothing else.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Requeues the task as [`Requeue::Before`] says.
fn requeued_before<T>(
    batches: impl stream::Stream<Item = T> + Unpin,
) -> impl stream::Stream<Item = T> {
    stream::unfold((batches, true), async |(mut batches, is_first)| {
        if !is_first {
            requeue().await;
        }
        Some((batches.next().await?, (batches, false)))
    })
}

/// Requeues the task as [`Requeue::After`] says.
fn requeued_after<T>(batches: impl stream::Stream<Item = T>) -> impl stream::Stream<Item = T> {
    batches.then(async |batch| {
        requeue().await;
        batch
    })
}

/// Splits a batch into slices of at most `most` rows.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// Returns how many batches another task had seen taken when it ran after being woken by the
    /// first of `batches`.
    async fn taken_when_woken(batches: impl stream::Stream<Item = usize>) -> usize {
        let (taken, wake) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let other = tokio::spawn({
            let (taken, wake) = (taken.clone(), wake.clone());
            async move {
                wake.notified().await;
                taken.load(Ordering::Relaxed)
            }
        });
        tokio::task::yield_now().await;
        let take = batches.map(|batch| {
            taken.fetch_add(1, Ordering::Relaxed);
            wake.notify_one();
            batch
        });
        assert_eq!(take.collect::<Vec<_>>().await, [0, 1, 2, 3]);
        other.await.expect("no panic")
    }

    /// All tasks of this test share a thread, so that one runs only when another pauses.
    #[tokio::test]
    async fn tasks_that_a_batch_has_woken_run_before_the_next() {
        assert_eq!(taken_when_woken(stream::iter(0..4)).await, 4);
        assert_eq!(taken_when_woken(requeued_before(stream::iter(0..4))).await, 1);
        let woken_by_taking = requeued_after(stream::iter(0..4));
        assert_eq!(taken_when_woken(woken_by_taking).await, 1);
    }
}
