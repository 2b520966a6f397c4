//! Check of queries: a clause that the planner would ignore is rejected by name.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Cte, Distinct, Expr, ExprWithAliasAndOrderBy, Fetch, GroupByExpr, GroupByWithModifier,
    LimitClause, Offset, OrderBy, OrderByKind, OrderByOptions, PipeOperator, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableFactor,
    Values, Visitor, WildcardAdditionalOptions, With,
};

use super::tree::{as_flow, refused};
use super::{expressions, relations};
use crate::error::{Error, Result};

/// Visitor that stops with an error at the first clause that the planner would ignore.
pub struct Check;

impl Visitor for Check {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        as_flow(check_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        as_flow(check_select(select))
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Error> {
        as_flow(relations::check_factor(table))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        as_flow(expressions::check_expr(expr))
    }
}

fn check_query(query: &Query) -> Result<()> {
    let Query {
        with,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    with.iter().try_for_each(check_with)?;
    check_body(body)?;
    order_by.iter().try_for_each(|order_by| check_order_by(order_by, body))?;
    limit_clause.iter().try_for_each(check_limit)?;
    if let Some(Fetch { with_ties, percent, quantity: _ }) = fetch {
        let clause = match (with_ties, percent) {
            (true, _) => "FETCH … WITH TIES",
            (_, true) => "FETCH … PERCENT",
            _ => "FETCH beside LIMIT",
        };
        return Err(refused(
            clause,
            "write LIMIT and a number, or QUALIFY rank() OVER (ORDER BY …) <= a number",
        ));
    }
    if let Some(lock) = locks.first() {
        return Err(refused(lock, "nothing is locked, a statement reads one state of the store"));
    }
    if for_clause.is_some() {
        return Err(refused(
            "FOR XML, FOR JSON or FOR BROWSE",
            "the format is chosen by the Accept header",
        ));
    }
    if settings.is_some() {
        return Err(refused(
            "SETTINGS",
            "write SET before the statement, or \"settings\" beside it in JSON",
        ));
    }
    if format_clause.is_some() {
        return Err(refused(
            "FORMAT",
            "the format is chosen by the Accept header, or by \\copy in the shell",
        ));
    }
    pipe_operators.iter().try_for_each(check_pipe)
}

fn check_with(with: &With) -> Result<()> {
    let With { with_token: _, recursive, cte_tables } = with;
    for cte in cte_tables {
        // MATERIALIZED does not change the result.
        let Cte { alias, query, from, materialized: _, closing_paren_token: _ } = cte;
        relations::check_alias(Some(alias))?;
        if let Some(from) = from {
            return Err(refused(format!("FROM {from} after a CTE"), "leave it out"));
        }
        if *recursive && let SetExpr::SetOperation { op: SetOperator::Union, .. } = &*query.body {
            let Query {
                with,
                body: _,
                order_by,
                limit_clause,
                fetch,
                locks: _,
                for_clause: _,
                settings: _,
                format_clause: _,
                pipe_operators,
            } = &**query;
            let is_plain =
                with.is_none() && order_by.is_none() && limit_clause.is_none() && fetch.is_none();
            if !is_plain || !pipe_operators.is_empty() {
                return Err(refused(
                    format!("WITH, ORDER BY or LIMIT in the recursive {}", alias.name),
                    "write it where the name is read",
                ));
            }
        }
    }
    Ok(())
}

fn check_body(body: &SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) => Ok(()),
        SetExpr::SetOperation { left, op, set_quantifier, right } => {
            check_body(left)?;
            check_body(right)?;
            match (op, set_quantifier) {
                (SetOperator::Minus, _) => Err(refused("MINUS", "write EXCEPT")),
                (SetOperator::Union, _) => Ok(()),
                (_, SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None) => Ok(()),
                (op, by_name) => Err(refused(
                    format!("{op} {by_name}"),
                    "name the columns in one order on both sides",
                )),
            }
        }
        SetExpr::Values(Values { explicit_row, value_keyword, rows: _ }) => {
            match (explicit_row, value_keyword) {
                (_, true) => Err(refused("VALUE", "write VALUES")),
                (true, _) => Err(refused("VALUES ROW(…)", "write VALUES (…)")),
                _ => Ok(()),
            }
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Err(refused(
                "writing",
                "events are written through POST /analytics, POST /events or hourglass import",
            ))
        }
        SetExpr::Table(table) => Err(refused(table, "write SELECT * FROM and the table")),
    }
}

fn check_select(select: &Select) -> Result<()> {
    // Hints and the positions of words do not change the result.
    let Select {
        select_token: _,
        optimizer_hints: _,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    match distinct {
        None | Some(Distinct::All | Distinct::Distinct | Distinct::On(_)) => {}
    }
    let clauses = [
        (select_modifiers.is_some(), "SELECT with modifiers of MySQL", "leave them out"),
        (
            top.is_some(),
            "TOP with PERCENT, WITH TIES or LIMIT, or in a part of a union",
            "write LIMIT and a number",
        ),
        (exclude.is_some(), "EXCLUDE after the columns", "write it right after the *"),
        (
            into.is_some(),
            "INTO",
            "a statement only reads, its answer is kept by \\copy in the shell or by the client",
        ),
        (!lateral_views.is_empty(), "LATERAL VIEW", "write CROSS JOIN UNNEST(…)"),
        (prewhere.is_some(), "PREWHERE", "write WHERE"),
        (!connect_by.is_empty(), "CONNECT BY", "write WITH RECURSIVE"),
        (!cluster_by.is_empty(), "CLUSTER BY", "write ORDER BY"),
        (!distribute_by.is_empty(), "DISTRIBUTE BY", "leave it out"),
        (!sort_by.is_empty(), "SORT BY", "write ORDER BY"),
        (!named_window.is_empty(), "WINDOW", "write OVER (…)"),
        (value_table_mode.is_some(), "SELECT AS STRUCT or VALUE", "write the columns"),
    ];
    if let Some((_, clause, instead)) = clauses.into_iter().find(|(is_there, _, _)| *is_there) {
        return Err(refused(clause, instead));
    }
    projection.iter().try_for_each(check_item)?;
    from.iter().try_for_each(relations::check_joins)?;
    check_group_by(group_by)
}

fn check_item(item: &SelectItem) -> Result<()> {
    match item {
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { expr: _, alias: _ } => Ok(()),
        SelectItem::ExprWithAliases { expr, aliases: _ } => {
            Err(refused(format!("several names of {expr}"), "give a column one name"))
        }
        SelectItem::QualifiedWildcard(kind, options) => match kind {
            SelectItemQualifiedWildcardKind::ObjectName(_) => check_wildcard(options),
            SelectItemQualifiedWildcardKind::Expr(expr) => {
                Err(refused(format!("{expr}.*"), "write the fields"))
            }
        },
        SelectItem::Wildcard(options) => check_wildcard(options),
    }
}

fn check_wildcard(options: &WildcardAdditionalOptions) -> Result<()> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike: _,
        opt_exclude: _,
        opt_except: _,
        opt_replace: _,
        opt_rename,
        opt_alias,
    } = options;
    match (opt_rename, opt_alias) {
        (None, None) => Ok(()),
        (Some(_), _) => Err(refused("* RENAME", "write the columns, with AS")),
        (_, Some(alias)) => Err(refused(format!("* AS {alias}"), "write the columns, with AS")),
    }
}

fn check_group_by(group_by: &GroupByExpr) -> Result<()> {
    let modifiers = match group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
    };
    match modifiers.first() {
        None => Ok(()),
        Some(GroupByWithModifier::Totals) => Err(refused(
            "WITH TOTALS",
            "write GROUP BY GROUPING SETS ((…), ()), whose last row has the totals",
        )),
        Some(GroupByWithModifier::Rollup | GroupByWithModifier::Cube) => Err(refused(
            "WITH ROLLUP or WITH CUBE here",
            "write GROUP BY ROLLUP (…) or CUBE (…) of the columns",
        )),
        Some(GroupByWithModifier::GroupingSets(sets)) => Err(refused(
            format!("{sets} after the columns"),
            "write GROUP BY GROUPING SETS (…) alone",
        )),
    }
}

fn check_order_by(order_by: &OrderBy, body: &SetExpr) -> Result<()> {
    let OrderBy { kind, interpolate } = order_by;
    if interpolate.is_some() {
        return Err(expressions::fill());
    }
    match kind {
        OrderByKind::Expressions(exprs) => exprs.iter().try_for_each(expressions::check_sort),
        // For a plain SELECT it is resolved where the columns are known.
        OrderByKind::All(OrderByOptions { asc: _, nulls_first: _ }) => match body {
            SetExpr::Select(_) => Ok(()),
            _ => Err(refused("ORDER BY ALL here", "write ORDER BY 1, 2 and so on")),
        },
    }
}

fn check_limit(limit: &LimitClause) -> Result<()> {
    match limit {
        LimitClause::OffsetCommaLimit { offset: _, limit: _ } => Ok(()),
        LimitClause::LimitOffset { limit: _, offset, limit_by } => {
            if let Some(Offset { value: _, rows: _ }) = offset
                && limit_by.is_empty()
            {
                return Ok(());
            }
            if limit_by.is_empty() {
                Ok(())
            } else {
                Err(refused(
                    "LIMIT BY here",
                    "write QUALIFY row_number() OVER (PARTITION BY … ORDER BY …) <= a number",
                ))
            }
        }
    }
}

fn check_pipe(operator: &PipeOperator) -> Result<()> {
    match operator {
        PipeOperator::Where { expr: _ } | PipeOperator::As { alias: _ } => Ok(()),
        PipeOperator::Limit { expr: _, offset: _ } => Ok(()),
        PipeOperator::OrderBy { exprs } => exprs.iter().try_for_each(expressions::check_sort),
        PipeOperator::Select { exprs } | PipeOperator::Extend { exprs } => {
            exprs.iter().try_for_each(check_item)
        }
        PipeOperator::Union { set_quantifier: _, queries: _ } => Ok(()),
        PipeOperator::Intersect { set_quantifier: _, queries: _ } => Ok(()),
        PipeOperator::Except { set_quantifier: _, queries: _ } => Ok(()),
        PipeOperator::Join(join) => relations::check_join(join),
        PipeOperator::Aggregate { full_table_exprs, group_by_expr } => {
            let ordered = full_table_exprs.iter().chain(group_by_expr).find(|item| {
                let ExprWithAliasAndOrderBy {
                    expr: _,
                    order_by: OrderByOptions { asc, nulls_first },
                } = item;
                asc.is_some() || nulls_first.is_some()
            });
            ordered.map_or(Ok(()), |item| {
                Err(refused(format!("|> AGGREGATE {item}"), "write |> ORDER BY"))
            })
        }
        PipeOperator::Set { .. }
        | PipeOperator::Drop { .. }
        | PipeOperator::TableSample { .. }
        | PipeOperator::Rename { .. }
        | PipeOperator::Call { .. }
        | PipeOperator::Pivot { .. }
        | PipeOperator::Unpivot { .. } => {
            Err(refused(format!("|> {operator}"), "write it as a SELECT"))
        }
    }
}
