//! Rejects window frames that DataFusion accepts and then panics on: those with a negative offset
//! (PostgreSQL and DuckDB reject them as well).

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::WindowFrameBound;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

/// Checks the window frames of a plan.
///
/// # Errors
/// A plan error if a window frame begins or ends at a negative offset.
pub fn check(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    plan.apply(|plan| {
        let windows = if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
            window.window_expr()
        } else if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
            window.window_expr()
        } else {
            return Ok(TreeNodeRecursion::Continue);
        };
        for frame in windows.iter().map(|window| window.get_window_frame()) {
            if is_negative(&frame.start_bound) || is_negative(&frame.end_bound) {
                return plan_err!("the offset of a window frame must not be negative");
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn is_negative(bound: &WindowFrameBound) -> bool {
    let (WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset)) = bound else {
        return false;
    };
    match offset {
        ScalarValue::IntervalMonthDayNano(Some(offset)) => {
            offset.months < 0 || offset.days < 0 || offset.nanoseconds < 0
        }
        ScalarValue::IntervalDayTime(Some(offset)) => offset.days < 0 || offset.milliseconds < 0,
        ScalarValue::IntervalYearMonth(Some(months)) => *months < 0,
        // `UNBOUNDED` has no offset.
        unbounded if unbounded.is_null() => false,
        number => ScalarValue::new_zero(&number.data_type()).is_ok_and(|zero| *number < zero),
    }
}
