//! Sizes of unions, intersections and differences of users between ranges: INTERSECT, EXCEPT and
//! UNION, `IN` and `NOT IN`, EXISTS, and joins of distinct users.
//!
//! A plan whose rows are users is a set if each side of it is one. The size of a set is a count of
//! its rows if they are distinct, and a count of distinct users in any case.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, Result};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan, LogicalPlanBuilder, ScalarUDF};
use datafusion::prelude::{ident, lit};
use datafusion::scalar::ScalarValue;

use super::input::AggregateInput;
use super::series;
use crate::query::functions::bitmap;

/// Users, as plans of one row and the sets that these rows hold.
struct Users {
    /// Each has one column, the set.
    leaves: Vec<LogicalPlan>,
    set: Set,
    /// Whether each user is in one row.
    is_distinct: bool,
}

/// A set, by the numbers of leaves.
enum Set {
    Leaf(usize),
    Both(Op, Box<Set>, Box<Set>),
}

#[derive(Clone, Copy)]
enum Op {
    And,
    AndNot,
    Or,
}

impl Op {
    fn function(self) -> Arc<ScalarUDF> {
        bitmap::function(match self {
            Op::And => "rb_and",
            Op::AndNot => "rb_andnot",
            Op::Or => "rb_or",
        })
    }
}

impl Set {
    /// Returns the set with the numbers of its leaves raised.
    fn raised(self, by: usize) -> Set {
        match self {
            Set::Leaf(leaf) => Set::Leaf(leaf + by),
            Set::Both(op, left, right) => {
                Set::Both(op, Box::new(left.raised(by)), Box::new(right.raised(by)))
            }
        }
    }

    /// Returns the expression of the set over the columns of its leaves.
    fn expr(&self) -> Expr {
        match self {
            Set::Leaf(leaf) => ident(leaf_name(*leaf)),
            Set::Both(op, left, right) => op.function().call(vec![left.expr(), right.expr()]),
        }
    }
}

fn leaf_name(leaf: usize) -> String {
    format!("users_{leaf}")
}

impl Users {
    fn both(op: Op, left: Users, right: Users, is_distinct: bool) -> Users {
        let mut leaves = left.leaves;
        let right_set = right.set.raised(leaves.len());
        leaves.extend(right.leaves);
        Users { leaves, set: Set::Both(op, Box::new(left.set), Box::new(right_set)), is_distinct }
    }
}

/// Returns the aggregate as the size of a set; `None` if it is another, or a single range, which
/// needs no algebra.
pub fn answer(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let is_plain = |expr: &Expr| matches!(count_of(expr), Some(counted) if counted.is_size());
    if !aggregate.group_expr.is_empty()
        || aggregate.aggr_expr.is_empty()
        || !aggregate.aggr_expr.iter().all(is_plain)
    {
        return Ok(None);
    }
    let columns = aggregate.input.schema().columns();
    // `count(*)` names no column: any that holds the users will do.
    let named = aggregate.aggr_expr.iter().filter_map(|expr| count_of(expr)?.column);
    let columns = named.chain(columns).collect::<Vec<_>>();
    if columns.is_empty() {
        return rows_alone(aggregate);
    }
    for column in &columns {
        let Some(users) = users(&aggregate.input, column)? else { continue };
        return sizes(aggregate, column, users);
    }
    Ok(None)
}

/// Answers a count of rows of which no column is left.
fn rows_alone(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let mut input = &aggregate.input;
    while let LogicalPlan::Projection(projection) = &**input {
        input = &projection.input;
    }
    if let LogicalPlan::SubqueryAlias(alias) = &**input {
        let inner =
            Aggregate::try_new(alias.input.clone(), Vec::new(), aggregate.aggr_expr.clone())?;
        return rows_alone(&inner);
    }
    let columns = input.schema().columns();
    for column in &columns {
        if let Some(users) = users(input, column)? {
            return sizes(aggregate, column, users);
        }
    }
    Ok(None)
}

/// A count: of the rows, or of the distinct values of a column.
struct Counted {
    distinct: bool,
    column: Option<Column>,
    is_constant: bool,
}

impl Counted {
    fn is_size(&self) -> bool {
        self.column.is_some() || (self.is_constant && !self.distinct)
    }
}

fn count_of(expr: &Expr) -> Option<Counted> {
    let expr = expr.clone().unalias_nested().data;
    let Expr::AggregateFunction(function) = &expr else { return None };
    let params = &function.params;
    let [argument] = &params.args[..] else { return None };
    if function.func.name() != "count"
        || params.filter.is_some()
        || !params.order_by.is_empty()
        || params.null_treatment.is_some()
    {
        return None;
    }
    let column = match argument {
        Expr::Column(column) => Some(column.clone()),
        _ => None,
    };
    let is_constant = matches!(argument, Expr::Literal(value, _) if !value.is_null());
    Some(Counted { distinct: params.distinct, column, is_constant })
}

/// Returns the counts of an aggregate, if all are the size of this set.
fn sizes(aggregate: &Aggregate, column: &Column, users: Users) -> Result<Option<LogicalPlan>> {
    let is_size = |expr: &Expr| {
        let Some(counted) = count_of(expr) else { return false };
        let is_column = counted.column.as_ref().is_none_or(|counted| counted == column);
        is_column && (counted.distinct || users.is_distinct)
    };
    if !aggregate.aggr_expr.iter().all(is_size) {
        return Ok(None);
    }
    let size = bitmap::function("rb_cardinality").call(vec![users.set.expr()]);
    let mut leaves = users.leaves.into_iter().enumerate().map(|(i, leaf)| {
        let set = coalesce(vec![ident(series::SET), empty()]).alias(leaf_name(i));
        LogicalPlanBuilder::from(leaf).project([set])
    });
    let first = leaves.next().expect("a set has a leaf")?;
    let all = leaves.try_fold(first, |all, leaf| all.cross_join(leaf?.build()?))?;
    let named = aggregate
        .schema
        .iter()
        .map(|(qualifier, field)| size.clone().alias_qualified(qualifier.cloned(), field.name()));
    Ok(Some(all.project(named.collect::<Vec<_>>())?.build()?))
}

fn empty() -> Expr {
    lit(ScalarValue::Binary(Some(bitmap::value::encode(&Default::default()))))
}

/// Returns the users that a column of a plan holds; `None` if it holds anything else.
fn users(plan: &LogicalPlan, column: &Column) -> Result<Option<Users>> {
    if let Some(below) = AggregateInput::of(plan)? {
        if below.of_sets || !below.is_user(column) {
            return Ok(None);
        }
        let Some(leaf) = series::users(&below)? else { return Ok(None) };
        return Ok(Some(Users { leaves: vec![leaf], set: Set::Leaf(0), is_distinct: false }));
    }
    let inner = |expr: &Expr| match expr.clone().unalias_nested().data {
        Expr::Column(column) => Some(column),
        _ => None,
    };
    match plan {
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.maybe_index_of_column(column);
            match at.and_then(|at| inner(&projection.expr[at])) {
                Some(column) => users(&projection.input, &column),
                None => Ok(None),
            }
        }
        LogicalPlan::SubqueryAlias(alias) => match alias.schema.maybe_index_of_column(column) {
            Some(at) => users(&alias.input, &alias.input.schema().columns()[at]),
            None => Ok(None),
        },
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.is_empty() => {
            let [group] = &aggregate.group_expr[..] else { return Ok(None) };
            let Some(grouped) = inner(group) else { return Ok(None) };
            let users = users(&aggregate.input, &grouped)?;
            Ok(users.map(|users| Users { is_distinct: true, ..users }))
        }
        LogicalPlan::Union(union) => {
            let at = union.schema.maybe_index_of_column(column);
            let Some(at) = at else { return Ok(None) };
            let mut all = None::<Users>;
            for input in &union.inputs {
                let Some(next) = users(input, &input.schema().columns()[at])? else {
                    return Ok(None);
                };
                all = Some(match all {
                    Some(before) => Users::both(Op::Or, before, next, false),
                    None => next,
                });
            }
            Ok(all)
        }
        LogicalPlan::Join(join) => joined(join, column),
        _ => Ok(None),
    }
}

fn joined(join: &Join, column: &Column) -> Result<Option<Users>> {
    let [(Expr::Column(left), Expr::Column(right))] = &join.on[..] else { return Ok(None) };
    if join.filter.is_some() || (column != left && column != right) {
        return Ok(None);
    }
    let (Some(left), Some(right)) = (users(&join.left, left)?, users(&join.right, right)?) else {
        return Ok(None);
    };
    let (is_left, is_right) = (left.is_distinct, right.is_distinct);
    Ok(match join.join_type {
        JoinType::LeftSemi => Some(Users::both(Op::And, left, right, is_left)),
        JoinType::RightSemi => Some(Users::both(Op::And, left, right, is_right)),
        JoinType::LeftAnti => Some(Users::both(Op::AndNot, left, right, is_left)),
        JoinType::RightAnti => Some(Users::both(Op::AndNot, right, left, is_right)),
        JoinType::Inner => Some(Users::both(Op::And, left, right, is_left && is_right)),
        _ => None,
    })
}
