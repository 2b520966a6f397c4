//! Memory of window functions, counted.
//!
//! DataFusion's window operators hold the rows they still need and count none of them: `count(*) OVER ()` holds all of its
//! input. [`count`] puts a tally below and above each: what went in and has not come out is held, and reserved in the memory
//! pool, so that past its bound the statement is refused.

use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray, GenericByteViewArray, RecordBatch};
use arrow::datatypes::{ByteViewType, DataType};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::scheduling::only_child;

/// Rows before the current one that a window may look back to without their being counted.
pub const UNCOUNTED_ROWS: i64 = 10_000;

/// The plan with every window operator between two tallies.
pub fn count(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let between = |plan: Arc<dyn ExecutionPlan>| {
        let (windows, copies) = if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
            // It puts all of its input together once more before it answers.
            (window.window_expr(), 2)
        } else if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
            (window.window_expr(), 1)
        } else {
            return Ok(Transformed::no(plan));
        };
        let held = Held { keeps: windows.iter().any(looks_far_back), copies, ..Held::default() };
        let held = Arc::new(Mutex::new(held));
        let input = plan.children()[0].clone();
        let below = Arc::new(Tally { plan: input, side: Side::AggregateInput, held: held.clone() });
        let plan =
            plan.replace_children(vec![below], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?;
        Ok(Transformed::yes(Arc::new(Tally { plan, side: Side::Above, held }) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(between).data()
}

/// Whether rows are still needed long after they came out. How far `lag` looks is [`crate::query::limits`]'s to bound.
fn looks_far_back(window: &Arc<dyn WindowExpr>) -> bool {
    let frame = window.get_window_frame();
    let WindowFrameBound::Preceding(rows) = &frame.start_bound else { return false };
    let is_near = |rows: &ScalarValue| {
        let rows = rows.cast_to(&DataType::Int64);
        matches!(rows, Ok(ScalarValue::Int64(Some(rows))) if rows <= UNCOUNTED_ROWS)
    };
    !rows.is_null() && (frame.units != WindowFrameUnits::Rows || !is_near(rows))
}

/// What one window operator holds.
#[derive(Debug, Default)]
struct Held {
    /// Whether it keeps what came out.
    keeps: bool,
    copies: usize,
    rows: usize,
    bytes: usize,
    reservation: Option<MemoryReservation>,
}

impl Held {
    fn take_in(&mut self, batch: &RecordBatch, pool: &Arc<dyn MemoryPool>) -> Result<()> {
        let bytes = self.copies * batch.columns().iter().map(|column| bytes(column)).sum::<usize>();
        self.reservation.get_or_insert_with(|| MemoryConsumer::new("window").register(pool)).try_grow(bytes)?;
        self.rows += batch.num_rows();
        self.bytes += bytes;
        Ok(())
    }

    fn give_out(&mut self, rows: usize) {
        let Some(reservation) = self.reservation.as_mut().filter(|_| !self.keeps && self.rows > 0) else { return };
        let rows = rows.min(self.rows);
        let bytes = (self.bytes as u128 * rows as u128 / self.rows as u128) as usize;
        reservation.shrink(bytes);
        self.rows -= rows;
        self.bytes -= bytes;
    }
}

/// Bytes of an array's own values. Buffers that it shares with other batches, such as an hour's users, are not its own.
fn bytes(array: &dyn Array) -> usize {
    match array.data_type() {
        DataType::Utf8View => view_bytes(array.as_string_view()),
        DataType::BinaryView => view_bytes(array.as_binary_view()),
        DataType::Dictionary(..) => bytes(array.as_any_dictionary().keys()),
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

/// Each view has 16 bytes, and outside of it a value of more than 12.
fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    let long = array.lengths().filter(|length| *length > 12).sum::<u32>();
    16 * array.len() + long as usize
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    AggregateInput,
    Above,
}

/// The rows of `plan`, counted as they go into a window operator or come out of it.
#[derive(Debug)]
struct Tally {
    plan: Arc<dyn ExecutionPlan>,
    side: Side,
    held: Arc<Mutex<Held>>,
}

impl DisplayAs for Tally {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Tally: {}", if self.side == Side::AggregateInput { "into the window" } else { "out of the window" })
    }
}

impl ExecutionPlan for Tally {
    fn name(&self) -> &str {
        "Tally"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.plan]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = only_child(children)?;
        Ok(Arc::new(Tally { plan, side: self.side, held: self.held.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (held, side, pool) = (self.held.clone(), self.side, context.memory_pool().clone());
        let counted = self.plan.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let mut held = held.lock().expect("no panic under this lock");
            match side {
                Side::AggregateInput => held.take_in(&batch, &pool)?,
                Side::Above => held.give_out(batch.num_rows()),
            }
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted)))
    }
}
