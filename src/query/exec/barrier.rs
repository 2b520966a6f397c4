//! Plan node that hides wrong plan properties: some that DataFusion's plans claim but
//! do not have, and some from which it draws wrong conclusions.
//!
//! - A group key that is constant or ordered in the input of a `ROLLUP`, `CUBE` or `GROUPING SETS`
//!   is assumed to be so in the output as well, although it is null in every set without it: groups
//!   came out in several parts and unsorted.
//! - A column that is constant within each input of a union, with another value in each, is left
//!   out of the sort of each input; but `ORDER BY … LIMIT` shares one limit value among the inputs,
//!   and the rows of one input cut off those of another.
//! - Columns that are constant in one input of an outer join are assumed to be so in the output as
//!   well, although they are null in the rows without a match: groups came out in several parts.
//! - A join's rows are assumed to be sorted by the order of one input, then by that of the other,
//!   although several rows of the first may be equal in their order: `ORDER BY` over a join of
//!   sorted subqueries came out unsorted.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::{ProjectionExec, make_with_child};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};

use crate::query::schema::about_rows;

/// Puts a barrier over a plan node that needs one. That must come before the rules that read
/// properties.
pub fn insert(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(hidden) = Hidden::of(&plan) else { return Ok(Transformed::no(plan)) };
    Ok(Transformed::yes(BarrierExec::over(plan, hidden)?))
}

/// Which of a plan's properties are hidden.
#[derive(Clone, Copy, Debug)]
enum Hidden {
    Order,
    /// Also which columns are constant or equal to each other.
    OrderAndValues,
}

impl Hidden {
    /// Returns what a plan node must not claim, or `None` if it claims nothing wrong.
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Hidden> {
        let aggregate = plan.downcast_ref::<AggregateExec>();
        let has_sets = aggregate.is_some_and(|aggregate| !aggregate.group_expr().is_single());
        if has_sets || plan.is::<UnionExec>() {
            return Some(Hidden::OrderAndValues);
        }
        let hash = plan.downcast_ref::<HashJoinExec>().map(|join| join.join_type);
        let merge = || plan.downcast_ref::<SortMergeJoinExec>().map(SortMergeJoinExec::join_type);
        let loops = || plan.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type());
        match hash.or_else(merge).or_else(loops)? {
            JoinType::Inner => Some(Hidden::Order),
            JoinType::Left | JoinType::Right | JoinType::Full => Some(Hidden::OrderAndValues),
            // Their rows are those of one input.
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => None,
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => None,
        }
    }
}

/// Plan node that passes on the rows of its input and hides some of what the input claims of them.
#[derive(Debug)]
struct BarrierExec {
    input: Arc<dyn ExecutionPlan>,
    hidden: Hidden,
    properties: Arc<PlanProperties>,
}

impl BarrierExec {
    fn over(input: Arc<dyn ExecutionPlan>, hidden: Hidden) -> Result<Arc<dyn ExecutionPlan>> {
        let mut shown = EquivalenceProperties::new(input.schema());
        match hidden {
            Hidden::Order => {
                shown.add_equivalence_group(input.equivalence_properties().eq_group().clone())?;
            }
            Hidden::OrderAndValues => {}
        }
        let properties = PlanProperties::clone(input.properties()).with_eq_properties(shown);
        Ok(Arc::new(BarrierExec { input, hidden, properties: Arc::new(properties) }))
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "BarrierExec")
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows = inputs.first().and_then(|input| input.num_rows.get_value());
        Ok(Arc::new(about_rows(&self.schema(), rows.copied())))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        BarrierExec::over(only_child(children)?, self.hidden)
    }

    // The rest lets the rules of projections and limits pass.

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        // Constants and columns that it has twice would be hidden with the input's: what was
        // planned with their help would not do any more.
        let columns: HashSet<usize> = projection
            .expr()
            .iter()
            .filter_map(|part| part.expr.downcast_ref::<Column>().map(Column::index))
            .collect();
        let parts = projection.expr().len();
        if columns.len() < parts || parts >= self.schema().fields().len() {
            return Ok(None);
        }
        BarrierExec::over(make_with_child(projection, &self.input)?, self.hidden).map(Some)
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

/// Returns the child of a node that has exactly one.
fn only_child(children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    match <[_; 1]>::try_from(children) {
        Ok([child]) => Ok(child),
        Err(children) => internal_err!("{} children of a node that has one", children.len()),
    }
}
