//! Conditions with constant patterns, which are compiled once ([`Patterns`]).

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::query::functions::Patterns;

/// Optimizer rule that compiles patterns. It must run after DataFusion's rule that turns some
/// regular expressions to comparisons.
#[derive(Debug)]
pub struct CompiledPatterns;

impl OptimizerRule for CompiledPatterns {
    fn name(&self) -> &str {
        "hourglass_patterns"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let mut patterns = Patterns::default();
        plan.transform_down_with_subqueries(|plan| compiled(plan, &mut patterns))
    }
}

fn compiled(plan: LogicalPlan, patterns: &mut Patterns) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    let mut compiled = |expr: Expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| {
            let compiled = patterns.compiled(&expr);
            Ok(compiled.map_or_else(|| Transformed::no(expr), Transformed::yes))
        })?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    };
    let compiled = plan.map_expressions(|expr| match expr {
        // Its members have names, it has none.
        Expr::GroupingSet(_) => expr.map_children(&mut compiled),
        expr => compiled(expr),
    })?;
    // The filters of a scan are compared one by one with those above it.
    Ok(compiled.update_data(|plan| match plan {
        LogicalPlan::TableScan(mut scan) => {
            scan.filters = scan.filters.into_iter().flat_map(split_conjunction_owned).collect();
            LogicalPlan::TableScan(scan)
        }
        plan => plan,
    }))
}
