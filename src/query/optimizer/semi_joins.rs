//! Semi- and anti-joins with each key of their inner side once.
//!
//! `IN`, `EXISTS` and their negations ask whether a row has any match. DataFusion's hash join meets
//! all of them: with 30,000 rows of one page on both sides, 900 million pairs, within one step that
//! nothing stops. [`DistinctKeys`] groups the inner side by its keys, so that each row has at most
//! one match; of a million events it is the users that are kept. Where a match must also come
//! before or after the row, or differ from it (`EXISTS (… AND s.timestamp > e.timestamp)`), the
//! first and the last of each key tell whether one does.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    binary_expr, col,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Optimizer rule for joins that ask only whether there is a match. It must run after the rollup
/// rule, which answers such joins of users from sets.
#[derive(Debug)]
pub struct DistinctKeys;

impl OptimizerRule for DistinctKeys {
    fn name(&self) -> &str {
        "hourglass_distinct_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(join) = plan else { return Ok(Transformed::no(plan)) };
        if !has_repeated_keys(&join) {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let Some(condition) = Condition::of(&join)? else {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        };
        Ok(Transformed::yes(LogicalPlan::Join(with_distinct_keys(join, condition)?)))
    }
}

/// Reports whether a row of the join may have several matches of its keys, of which one is enough.
fn has_repeated_keys(join: &Join) -> bool {
    let is_of_one_match = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti);
    let keys: HashSet<&Expr> = join.on.iter().map(|(_, inner)| inner).collect();
    is_of_one_match
        && !keys.is_empty()
        && keys.len() == join.on.len()
        && !is_grouped(&join.right, keys.len())
}

/// What a match must fulfil beyond equal keys, if one row of each key tells whether any of them
/// does.
#[derive(Default)]
struct Condition {
    /// Aggregates of the rows of a key.
    extremes: Vec<Expr>,
    /// The condition over the outer side and those aggregates.
    over: Option<Expr>,
}

impl Condition {
    /// Returns the condition of a join, or `None` if each row of a key must be tried: it compares
    /// the two sides more than once, or in another way than by their order.
    fn of(join: &Join) -> Result<Option<Condition>> {
        let Some(filter) = &join.filter else { return Ok(Some(Condition::default())) };
        if filter.is_volatile() {
            return Ok(None);
        }
        let columns = |side: &LogicalPlan| -> HashSet<Column> {
            side.schema().columns().into_iter().collect()
        };
        let (outer, inner) = (columns(&join.left), columns(&join.right));
        let is_of = |part: &Expr, side: &HashSet<Column>| {
            part.column_refs().into_iter().all(|column| side.contains(column))
        };
        let (of_outer, mut others): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(filter).into_iter().partition(|part| is_of(part, &outer));
        let (Some(Expr::BinaryExpr(BinaryExpr { left, op, right })), true) =
            (others.pop(), others.is_empty())
        else {
            return Ok(None);
        };
        let (compared, op, with) = match op.swap() {
            Some(_) if is_of(left, &inner) && is_of(right, &outer) => (left, *op, right),
            Some(swapped) if is_of(right, &inner) && is_of(left, &outer) => (right, swapped, left),
            _ => return Ok(None),
        };
        let of_type = compared.get_type(join.right.schema())?;
        let is_ordered = of_type.is_integer() || of_type.is_temporal() || of_type.is_string();
        let extremes: Vec<fn(Expr) -> Expr> = match op {
            _ if !is_ordered => return Ok(None),
            Operator::Gt | Operator::GtEq => vec![max],
            Operator::Lt | Operator::LtEq => vec![min],
            Operator::NotEq => vec![min, max],
            _ => return Ok(None),
        };
        let mut prefix = "hourglass_extreme".to_owned();
        while outer.iter().chain(&inner).any(|column| column.name.starts_with(&prefix)) {
            prefix.push('_');
        }
        let name = |i: usize| format!("{prefix}_{i}");
        let met = |i: usize| binary_expr(col(name(i)), op, Expr::clone(with));
        let is_met = (1..extremes.len()).fold(met(0), |any, i| any.or(met(i)));
        let parts = of_outer.into_iter().cloned().chain([is_met]);
        let extremes = extremes.into_iter().map(|extreme| extreme(Expr::clone(compared)));
        Ok(Some(Condition {
            over: conjunction(parts),
            extremes: extremes.enumerate().map(|(i, extreme)| extreme.alias(name(i))).collect(),
        }))
    }
}

/// Reports whether a plan has few rows, or one for each group of as many keys at most.
fn is_grouped(plan: &LogicalPlan, keys: usize) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.len() <= keys,
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => {
            plan.inputs().iter().all(|input| is_grouped(input, keys))
        }
        _ => false,
    }
}

fn with_distinct_keys(join: Join, condition: Condition) -> Result<Join> {
    let (outer, inner): (Vec<Expr>, Vec<Expr>) = join.on.into_iter().unzip();
    let right = LogicalPlanBuilder::from(Arc::unwrap_or_clone(join.right))
        .aggregate(inner, condition.extremes)?
        .build()?;
    let keys: Vec<Column> = right.schema().columns();
    let on = outer.into_iter().zip(keys.into_iter().map(Expr::Column)).collect();
    Ok(Join { right: Arc::new(right), on, filter: condition.over, ..join })
}
