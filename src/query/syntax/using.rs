//! Joins with USING, whose merged column belongs to both sides.
//!
//! DataFusion uses the column of the left table, which is null for rows that only the right table
//! has. A column named without a table is rewritten to `coalesce(a.k, b.k)`, in `*` too.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, OrderBy, OrderByKind, Query,
    ReplaceSelectElement, ReplaceSelectItem, Select, SelectItem, TableFactor, TableWithJoins,
    Visitor,
};

use super::tree::{edit_own_expressions, expression, normalized, refused};
use crate::error::{Error, Result};
use crate::query::walk::walk;

/// A column of USING and the expression that replaces it.
struct Merged {
    column: String,
    value: Expr,
}

/// Rewrites the columns of USING in a SELECT and in the ORDER BY after it.
pub fn merge(select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<()> {
    let mut merged = Vec::new();
    for table in &select.from {
        let of_table = columns(table)?;
        if of_table.is_empty() {
            let left = left_columns(table)?;
            edit_own_expressions(&mut select.selection, |expr| replace(expr, &left))?;
        }
        merged.extend(of_table);
    }
    if merged.is_empty() {
        return Ok(());
    }
    check_subqueries(select, &merged)?;
    let answered: Vec<String> = select.projection.iter().filter_map(name).collect();
    for item in &mut select.projection {
        name_item(item, &merged)?;
    }
    edit_own_expressions(&mut select.projection, |expr| replace(expr, &merged))?;
    edit_own_expressions(&mut select.selection, |expr| replace(expr, &merged))?;
    edit_own_expressions(&mut select.group_by, |expr| replace(expr, &merged))?;
    edit_own_expressions(&mut select.having, |expr| replace(expr, &merged))?;
    edit_own_expressions(&mut select.qualify, |expr| replace(expr, &merged))?;
    let is_all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    if let Some(OrderBy { kind: OrderByKind::Expressions(sorts), .. }) = order_by {
        for sort in sorts {
            // The name of a result column is kept as a sort key.
            let is_answered = |name: &Ident| is_all || answered.contains(&normalized(name));
            if !matches!(&sort.expr, Expr::Identifier(name) if is_answered(name)) {
                edit_own_expressions(&mut sort.expr, |expr| replace(expr, &merged))?;
            }
        }
    }
    Ok(())
}

/// Returns the columns that a table and its joins merge differently from DataFusion.
fn columns(table: &TableWithJoins) -> Result<Vec<Merged>> {
    let mut merged: Vec<Merged> = Vec::new();
    let relations =
        std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    for relation in relations {
        if let TableFactor::NestedJoin { table_with_joins, .. } = relation
            && !columns(table_with_joins)?.is_empty()
            && let Some(join) = table_with_joins.joins.first()
        {
            return Err(not_here(join));
        }
    }
    for (i, join) in table.joins.iter().enumerate() {
        let (constraint, is_full) = match &join.join_operator {
            JoinOperator::FullOuter(constraint) => (constraint, Some(true)),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (constraint, Some(false))
            }
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint) => (constraint, None),
            _ => continue,
        };
        let names = match constraint {
            JoinConstraint::Using(names) => names,
            JoinConstraint::Natural if is_full.is_some() || !merged.is_empty() => {
                return Err(not_here(join));
            }
            _ => continue,
        };
        let names: Vec<&Ident> =
            names.iter().filter_map(|name| name.0.last()?.as_ident()).collect();
        let is_again =
            |name: &&&Ident| merged.iter().any(|merged| merged.column == normalized(name));
        if names.iter().any(|name| is_again(&name)) {
            return Err(not_here(join));
        }
        let Some(is_full) = is_full else { continue };
        // Which of several tables on the left has the column is not known yet.
        let (Some(left), Some(right), 0) =
            (qualifier(&table.relation), qualifier(&join.relation), i)
        else {
            return Err(not_here(join));
        };
        for name in names {
            let value = if is_full {
                format!("coalesce({left}.{name}, {right}.{name})")
            } else {
                format!("{right}.{name}")
            };
            merged.push(Merged { column: normalized(name), value: expression(&value)? });
        }
    }
    Ok(merged)
}

/// Returns the columns of inner and left joins with USING, which are the left table's. DataFusion
/// resolves them everywhere but in WHERE.
fn left_columns(table: &TableWithJoins) -> Result<Vec<Merged>> {
    let mut columns: Vec<Merged> = Vec::new();
    let left = qualifier(&table.relation);
    for (i, join) in table.joins.iter().enumerate() {
        let (JoinOperator::Join(JoinConstraint::Using(names))
        | JoinOperator::Inner(JoinConstraint::Using(names))
        | JoinOperator::Left(JoinConstraint::Using(names))
        | JoinOperator::LeftOuter(JoinConstraint::Using(names))) = &join.join_operator
        else {
            continue;
        };
        // In a later join, another table may have the column.
        let Some(left) = left.as_ref().filter(|_| i == 0) else { continue };
        for name in names.iter().filter_map(|name| name.0.last()?.as_ident()) {
            columns.push(Merged {
                column: normalized(name),
                value: expression(&format!("{left}.{name}"))?,
            });
        }
    }
    Ok(columns)
}

fn not_here(join: &Join) -> Error {
    refused(
        join.to_string().trim().to_string(),
        "write ON a.k = b.k, name the tables, and write coalesce(a.k, b.k) for the column of both",
    )
}

/// Returns the qualifier of a table's columns.
fn qualifier(table: &TableFactor) -> Option<String> {
    match table {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.to_string()),
        TableFactor::Table { name, alias: None, args: None, .. } => Some(name.to_string()),
        _ => None,
    }
}

/// Returns the name of a result column.
fn name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name))
        | SelectItem::ExprWithAlias { alias: name, .. } => Some(normalized(name)),
        _ => None,
    }
}

/// Keeps the name of a merged result column, and replaces the left column in `*` by the merged
/// value.
fn name_item(item: &mut SelectItem, merged: &[Merged]) -> Result<()> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) if find(merged, name).is_some() => {
            let alias = Ident::with_quote('"', normalized(name));
            *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(name.clone()), alias };
        }
        SelectItem::Wildcard(options) => {
            if options.opt_replace.is_some()
                || options.opt_exclude.is_some()
                || options.opt_except.is_some()
            {
                return Err(refused(
                    "* with a RIGHT or FULL JOIN … USING and exceptions",
                    "write the columns",
                ));
            }
            let element = |merged: &Merged| {
                let column_name = Ident::with_quote('"', &merged.column);
                Box::new(ReplaceSelectElement {
                    expr: merged.value.clone(),
                    column_name,
                    as_keyword: true,
                })
            };
            options.opt_replace =
                Some(ReplaceSelectItem { items: merged.iter().map(element).collect() });
        }
        _ => {}
    }
    Ok(())
}

fn find<'a>(merged: &'a [Merged], name: &Ident) -> Option<&'a Merged> {
    merged.iter().find(|merged| merged.column == normalized(name))
}

fn replace(expr: &mut Expr, merged: &[Merged]) -> Result<()> {
    if let Expr::Identifier(name) = expr
        && let Some(merged) = find(merged, name)
    {
        *expr = merged.value.clone();
    }
    Ok(())
}

/// Rejects a subquery in an expression that names a merged column without its table: which table it
/// belongs to depends on the tables there.
fn check_subqueries(select: &Select, merged: &[Merged]) -> Result<()> {
    let mut within = Within { merged, depth: 0 };
    walk(&select.projection, &mut within)?;
    walk(&select.selection, &mut within)?;
    walk(&select.having, &mut within)?;
    walk(&select.qualify, &mut within)
}

struct Within<'a> {
    merged: &'a [Merged],
    depth: usize,
}

impl Visitor for Within<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Identifier(name) if self.depth > 0 && find(self.merged, name).is_some() => {
                let reason =
                    format!("{name} is in two tables: name the table of {name} in the subquery");
                ControlFlow::Break(Error::Invalid(reason))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
