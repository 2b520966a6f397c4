//! Input of an aggregate, as the optimizer rules see it.

use std::any::Any;
use std::collections::HashMap;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

use crate::query::catalog::events::EventsTable;
use crate::query::functions::time_bucket::TimeBucket;
use crate::query::functions::visitors::VISITOR_SET;

/// The input of an aggregate: one scan of `events`, the predicates on it, and the aggregate's input
/// columns as expressions over the scan's.
pub struct AggregateInput<'a> {
    pub scan: &'a TableScan,
    pub events: &'a EventsTable,
    pub predicates: Vec<Expr>,
    columns: HashMap<Column, Expr>,
    /// Whether the rows are not events, but the hours and kinds of the view `visitors`.
    pub of_sets: bool,
}

impl<'a> AggregateInput<'a> {
    /// Returns the input; `None` if there is anything but filters, projections and aliases between
    /// the aggregate and the scan.
    pub fn of(plan: &'a LogicalPlan) -> Result<Option<AggregateInput<'a>>> {
        Ok(match plan {
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
                let Some(events) = events_of(scan)? else { return Ok(None) };
                let same = |column: Column| (column.clone(), Expr::Column(column));
                let columns = scan.projected_schema.columns().into_iter().map(same).collect();
                let predicates = scan.filters.clone();
                Some(AggregateInput { scan, events, predicates, columns, of_sets: false })
            }
            LogicalPlan::Filter(filter) => {
                let Some(mut below) = AggregateInput::of(&filter.input)? else { return Ok(None) };
                let predicate = below.inline(&filter.predicate)?;
                below.predicates.extend(split_conjunction_owned(predicate));
                Some(below)
            }
            LogicalPlan::Projection(projection) => {
                let Some(mut below) = AggregateInput::of(&projection.input)? else {
                    return Ok(None);
                };
                let inlined = below.inline_all(&projection.expr)?;
                below.columns = projection.schema.columns().into_iter().zip(inlined).collect();
                Some(below)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let Some(mut below) = AggregateInput::of(&alias.input)? else { return Ok(None) };
                let inner = alias.input.schema().columns();
                let inlined = inner.into_iter().map(|column| below.inline(&Expr::Column(column)));
                below.columns = alias
                    .schema
                    .columns()
                    .into_iter()
                    .zip(inlined.collect::<Result<Vec<_>>>()?)
                    .collect();
                Some(below)
            }
            LogicalPlan::Aggregate(aggregate) => {
                let Some(mut below) = AggregateInput::of(&aggregate.input)? else {
                    return Ok(None);
                };
                let groups = below.inline_all(&aggregate.group_expr)?;
                let users = below.inline_all(&aggregate.aggr_expr)?;
                if below.of_sets || !is_of_visitors(&groups, &users) {
                    return Ok(None);
                }
                let columns = aggregate.schema.columns();
                below.columns = columns.into_iter().zip(groups.into_iter().chain(users)).collect();
                below.of_sets = true;
                Some(below)
            }
            _ => None,
        })
    }

    /// Rewrites an expression over the aggregate's input to one over the scan, without aliases.
    fn inline(&self, expr: &Expr) -> Result<Expr> {
        let inlined = expr.clone().transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) => match self.columns.get(column) {
                    Some(over_scan) if *over_scan != expr => Transformed::yes(over_scan.clone()),
                    _ => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        })?;
        Ok(inlined.data.unalias_nested().data)
    }

    /// Reports whether a column of the input holds the users of events.
    pub fn is_user(&self, column: &Column) -> bool {
        matches!(self.columns.get(column), Some(Expr::Column(of)) if of.name == "user_id")
    }

    /// Reports whether a column of the scan has no nulls.
    pub fn is_never_null(&self, column: &Column) -> bool {
        let field = self.scan.projected_schema.field_with_unqualified_name(&column.name);
        field.is_ok_and(|field| !field.is_nullable())
    }

    pub fn inline_all(&self, exprs: &[Expr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.inline(expr)).collect()
    }
}

/// Reports whether an aggregate is that of the view `visitors`: the users by hour and kind.
fn is_of_visitors(groups: &[Expr], users: &[Expr]) -> bool {
    let by_hour = |group: &Expr| TimeBucket::of(group).is_some_and(TimeBucket::is_hour);
    let by_kind = |group: &Expr| matches!(group, Expr::Column(column) if column.name == "event");
    let is_set = |expr: &Expr| match expr {
        Expr::AggregateFunction(call) => call.func.name() == VISITOR_SET,
        _ => false,
    };
    let is_grouped =
        groups.iter().any(by_hour) && groups.iter().all(|group| by_hour(group) || by_kind(group));
    is_grouped && !users.is_empty() && users.iter().all(is_set)
}

pub fn events_of(scan: &TableScan) -> Result<Option<&EventsTable>> {
    let Some(source) = (scan.source.as_ref() as &dyn Any)
        .downcast_ref::<datafusion::datasource::DefaultTableSource>()
    else {
        return Ok(None);
    };
    Ok((source.table_provider.as_ref() as &dyn Any).downcast_ref::<EventsTable>())
}
