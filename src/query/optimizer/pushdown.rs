//! Pushdown of learned limits: those that `ORDER BY … LIMIT` finds while it runs, applied to files.
//!
//! DataFusion pushes predicates through its physical plans by column name. If two columns of a node
//! have the same name, as when a table is joined with itself, the predicate is applied to the wrong
//! one; if a name means another expression further down, it is applied to another value. So the
//! predicates of a statement reach the files only through [`crate::query::catalog::events`], where
//! the logical plan is unambiguous, and learned limits are pushed down only in plans of one table,
//! where each name has one meaning.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

/// Returns the rules in order, with [`LearnedBounds`] in place of DataFusion's own pushdown.
pub fn replace_in(
    rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let (before, after) = (FilterPushdown::new(), FilterPushdown::new_post_optimization());
    let replaced = rules.into_iter().filter(|rule| rule.name() != before.name()).map(|rule| {
        match rule.name() {
            name if name == after.name() => Arc::new(LearnedBounds) as _,
            _ => rule,
        }
    });
    replaced.collect()
}

/// Physical optimizer rule that pushes learned limits down in plans of one table.
#[derive(Debug)]
struct LearnedBounds;

impl PhysicalOptimizerRule for LearnedBounds {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if is_of_one_table(&plan)? {
            FilterPushdown::new_post_optimization().optimize(plan, config)
        } else {
            Ok(plan)
        }
    }

    fn name(&self) -> &str {
        "hourglass_learned_bounds"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn is_of_one_table(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut is_of_one = true;
    plan.apply(|plan| {
        let mut names = HashSet::new();
        is_of_one &= plan.schema().fields().iter().all(|field| names.insert(field.name().clone()));
        is_of_one &= plan.children().is_empty() || passes_rows(plan);
        Ok(if is_of_one { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(is_of_one)
}

/// Reports whether each output row of a node is an input row, with at most some columns computed by
/// DataFusion's projection.
fn passes_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<FilterExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<RepartitionExec>()
}
