//! Sort keys that repeat an earlier one. They have no effect, and DataFusion panics on them in an
//! aggregate's ORDER BY, which DISTINCT ON is also planned as.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// Rule that drops each sort key whose expression repeats an earlier one.
#[derive(Debug)]
pub struct SortKeysRule;

impl AnalyzerRule for SortKeysRule {
    fn name(&self) -> &str {
        "sort_keys"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let plan = match plan {
                LogicalPlan::Distinct(Distinct::On(mut on)) => {
                    on.sort_expr.iter_mut().for_each(drop_repeated);
                    LogicalPlan::Distinct(Distinct::On(on))
                }
                other => other,
            };
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| Ok(of_aggregate(expr)))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        });
        Ok(rewritten?.data)
    }
}

fn of_aggregate(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::AggregateFunction(AggregateFunction { func, mut params })
            if params.order_by.len() > 1 =>
        {
            let keys = params.order_by.len();
            drop_repeated(&mut params.order_by);
            let is_shorter = params.order_by.len() < keys;
            Transformed::new_transformed(
                Expr::AggregateFunction(AggregateFunction { func, params }),
                is_shorter,
            )
        }
        other => Transformed::no(other),
    }
}

fn drop_repeated(keys: &mut Vec<Sort>) {
    let mut kept: Vec<Sort> = Vec::with_capacity(keys.len());
    for key in keys.drain(..) {
        if !kept.iter().any(|earlier| earlier.expr == key.expr) {
            kept.push(key);
        }
    }
    *keys = kept;
}
