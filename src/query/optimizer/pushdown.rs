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
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::{DataSource, DataSourceExec};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::pushdown_sort::PushdownSort;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

use crate::query::exec::scan::EventsSource;
use crate::query::schema::with_hour_bounds;

/// Returns the rules in order, with [`LearnedBounds`] in place of DataFusion's own pushdown of
/// predicates, and [`ReadInOrder`] before its pushdown of sorts.
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
    replaced
        .flat_map(|rule| {
            let ours =
                (rule.name() == PushdownSort::new().name()).then(|| Arc::new(ReadInOrder) as _);
            ours.into_iter().chain([rule])
        })
        .collect()
}

/// Physical optimizer rule for an `ORDER BY … LIMIT` over one table. It tells the scan the hours of
/// its files, so that those which cannot have a row of the result any more are not opened; and for
/// the latest rows, files are read from the last to the first, so that these become many early.
#[derive(Debug)]
struct ReadInOrder;

impl PhysicalOptimizerRule for ReadInOrder {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(sort) = limited_sort(&plan)? else { return Ok(plan) };
        if !is_of_one_table(&plan)? {
            return Ok(plan);
        }
        let key = sort.expr().first();
        let is_latest_first = key.options.descending
            && key
                .expr
                .downcast_ref::<Column>()
                .is_some_and(|column| is_timestamp(column.name(), sort.input()));
        let in_order = |plan: Arc<dyn ExecutionPlan>| {
            let source = plan
                .downcast_ref::<DataSourceExec>()
                .and_then(|scan| with_bounds(scan.data_source(), is_latest_first));
            Ok(match source {
                Some(source) => Transformed::yes(Arc::new(DataSourceExec::new(source)) as _),
                None => Transformed::no(plan),
            })
        };
        plan.clone().transform_up(in_order).data()
    }

    fn name(&self) -> &str {
        "hourglass_read_in_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns the topmost sort with a limit.
fn limited_sort(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<SortExec>> {
    let mut limited = None;
    plan.apply(|plan| {
        limited = plan.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some()).cloned();
        let is_found = limited.is_some();
        Ok(if is_found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(limited)
}

/// Reports whether this column of a plan of one table is the timestamp, unchanged.
fn is_timestamp(name: &str, plan: &Arc<dyn ExecutionPlan>) -> bool {
    let scan = plan.downcast_ref::<DataSourceExec>();
    let files = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
    let computed = plan
        .downcast_ref::<ProjectionExec>()
        .map(|projection| projection.expr())
        .or_else(|| files?.file_source.projection().map(|projection| projection.as_ref()));
    let before = match computed {
        None => name,
        Some(columns) => {
            let column = columns.iter().find(|column| column.alias == name);
            match column.and_then(|column| column.expr.downcast_ref::<Column>()) {
                Some(column) => column.name(),
                None => return false,
            }
        }
    };
    match plan.children().as_slice() {
        [] => before == "timestamp",
        [input] => is_timestamp(before, input),
        _ => false,
    }
}

/// Returns the source of events with the hours of its files as their bounds.
fn with_bounds(source: &Arc<dyn DataSource>, is_latest_first: bool) -> Option<Arc<dyn DataSource>> {
    if let Some(events) = source.downcast_ref::<EventsSource>() {
        let files = with_bounds(events.files(), is_latest_first)?;
        return Some(events.with_files(files));
    }
    let mut scan = source.downcast_ref::<FileScanConfig>()?.clone();
    let schema = scan.file_source.table_schema().table_schema().clone();
    for group in &mut scan.file_groups {
        let files = std::mem::take(group).into_inner();
        let mut files: Vec<_> =
            files.into_iter().map(|file| with_hour_bounds(file, &schema)).collect();
        if is_latest_first {
            files.reverse();
        }
        *group = FileGroup::new(files);
    }
    Some(Arc::new(scan))
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
