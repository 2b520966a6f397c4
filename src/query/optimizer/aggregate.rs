//! What the rules for aggregates have in common.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Optimizer rule that replaces aggregates, from the top of a plan down. Those with grouping sets
/// stay.
#[derive(Debug)]
pub struct AggregateRule {
    pub name: &'static str,
    /// Returns the plan instead of an aggregate; `None` if it stays.
    pub answer: fn(&Aggregate, &ConfigOptions) -> Result<Option<LogicalPlan>>,
}

impl OptimizerRule for AggregateRule {
    fn name(&self) -> &str {
        self.name
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        if aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
            return Ok(Transformed::no(plan));
        }
        let answer = (self.answer)(aggregate, &config.options())?;
        Ok(answer.map_or_else(|| Transformed::no(plan), Transformed::yes))
    }
}

/// Reports whether an expression depends on nothing but its row, and has the same value each time.
pub fn is_same_each_time(expr: &Expr) -> Result<bool> {
    let is_query = |part: &Expr| {
        Ok(matches!(
            part,
            Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
        ))
    };
    Ok(!expr.is_volatile() && !expr.exists(is_query)?)
}
