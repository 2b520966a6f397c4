//! Rewriting of other dialects' syntax to DataFusion's.
//!
//! `FROM events`, `TABLE events`, PREWHERE, TOP, FETCH FIRST, LIMIT BY, GROUP BY … WITH ROLLUP,
//! ORDER BY ALL, SEMI JOIN, RLIKE and VALUES with subqueries are equivalent to something that
//! DataFusion plans. The check, which comes later, does not see the original.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType as SqlType, Expr, Fetch, GroupByExpr, GroupByWithModifier, Ident,
    Join, JoinOperator, LimitClause, ObjectName, Offset, OrderBy, OrderByExpr, OrderByKind,
    OrderByOptions, Query, Select, SelectFlavor, SelectItem, Set, SetExpr, SetOperator,
    Statement as Ast, TableAlias, TableFactor, TableWithJoins, TimezoneInfo, Top, TopQuantity,
    TypedString, Value, ValueWithSpan, Values, Visitor, VisitorMut, WildcardAdditionalOptions,
    WindowSpec, WindowType,
};

use super::super::functions::written_out;
use super::tree::{Copies, as_flow, edit_own_expressions, expression, query};
use super::{casts, constants, like, quantified, similar, using, windows};
use crate::error::{Error, Result};
use crate::query::identifiers::in_quotes;
use crate::query::walk::{walk, walk_mut};

/// Rewrites a whole statement.
pub fn rewrite(statement: &mut Ast) -> Result<()> {
    // Other zones are already rejected.
    if let Ast::Set(Set::SetTimeZone { .. }) = statement {
        let (variable, values) =
            (ObjectName::from(vec![Ident::new("timezone")]), vec![expression("'UTC'")?]);
        *statement =
            Ast::Set(Set::SingleAssignment { scope: None, hivevar: false, variable, values });
        return Ok(());
    }
    walk_mut(statement, &mut NameSubqueries(0))?;
    walk_mut(statement, &mut Rewrite::default())
}

/// Names each subquery in FROM without an alias, which PostgreSQL and DuckDB do not require.
/// DataFusion mistakes the columns of such a subquery for those of the tables in it, which may also
/// be used next to it.
struct NameSubqueries(usize);

impl VisitorMut for NameSubqueries {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::Derived { alias: alias @ None, .. } = table {
            self.0 += 1;
            let number = if self.0 == 1 { String::new() } else { self.0.to_string() };
            let name = Ident::new(format!("unnamed_subquery{number}"));
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Rewrite {
    /// Number of open comparisons with ANY and ALL.
    quantified: usize,
    /// Number of parameters `?` so far.
    parameters: usize,
}

impl VisitorMut for Rewrite {
    type Break = Error;

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Error> {
        match &mut value.value {
            Value::Placeholder(name) if name == "?" => {
                self.parameters += 1;
                *name = format!("${}", self.parameters);
            }
            Value::Placeholder(name) => {
                if let Some(bare) = name.strip_prefix(':') {
                    *name = format!("${bare}");
                }
            }
            Value::NationalStringLiteral(text) => {
                value.value = Value::SingleQuotedString(std::mem::take(text))
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        as_flow(rewrite_query(query))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.quantified += usize::from(quantified::is_quantified(expr));
        if self.quantified > 1 {
            ControlFlow::Break(quantified::nested())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::SimilarTo { .. } => as_flow(similar::rewrite(expr)),
            Expr::Like { .. } | Expr::ILike { .. } => {
                like::rewrite(expr);
                ControlFlow::Continue(())
            }
            Expr::RLike { negated, expr: text, pattern, regexp: _ } => {
                let op = if *negated {
                    BinaryOperator::PGRegexNotMatch
                } else {
                    BinaryOperator::PGRegexMatch
                };
                *expr = Expr::BinaryOp { left: text.clone(), op, right: pattern.clone() };
                ControlFlow::Continue(())
            }
            Expr::Value(value) => {
                as_flow(exact(value).map(|exact| exact.into_iter().for_each(|exact| *expr = exact)))
            }
            Expr::TypedString(TypedString {
                data_type: SqlType::Timestamp(_, zone),
                value,
                ..
            }) => {
                write_out(zone, value);
                ControlFlow::Continue(())
            }
            Expr::Cast { data_type: SqlType::Timestamp(_, zone), expr, .. } => {
                if let Expr::Value(value) = &mut **expr {
                    write_out(zone, value);
                }
                ControlFlow::Continue(())
            }
            Expr::Cast { .. } | Expr::Interval(_) | Expr::Function(_) => {
                as_flow(constants::rewrite(expr))
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                self.quantified -= usize::from(quantified::is_quantified(expr));
                as_flow(quantified::rewrite(expr))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Returns an integer beyond 64 bits as a decimal: DataFusion reads it as a float, which loses the
/// last digits.
fn exact(value: &ValueWithSpan) -> Result<Option<Expr>> {
    let Value::Number(number, _) = &value.value else { return Ok(None) };
    let digits = number.to_string();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.parse::<u64>().is_ok() {
        return Ok(None);
    }
    match digits.len() {
        ..=38 => expression(&format!("CAST('{digits}' AS DECIMAL(38, 0))")).map(Some),
        _ => Err(Error::Invalid(format!(
            "{digits} has more than 38 digits: write it as a float, {digits}e0"
        ))),
    }
}

/// Rewrites a time to its full format: DataFusion's parser, which reads the arguments of table
/// functions before any of our rules, rejects a time without seconds.
fn write_out(zone: &TimezoneInfo, value: &mut ValueWithSpan) {
    let is_instant = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
    if let Value::SingleQuotedString(time) = &mut value.value
        && let Some(written) = written_out(time, is_instant)
    {
        *time = written;
    }
}

fn rewrite_query(query: &mut Query) -> Result<()> {
    rewrite_body(&mut query.body)?;
    if let Some(with) = &mut query.with
        && with.recursive
    {
        with.cte_tables
            .iter_mut()
            .for_each(|cte| keep_whole(&cte.alias.name.value, &mut cte.query));
    }
    if let Some(Fetch { with_ties: false, percent: false, quantity }) = &query.fetch {
        let quantity = quantity.clone().unwrap_or_else(|| number(1));
        if set_limit(&mut query.limit_clause, quantity) {
            query.fetch = None;
        }
    }
    let Query { body, order_by, limit_clause, .. } = query;
    sort_by_all(order_by, body);
    let SetExpr::Select(select) = &mut **body else { return Ok(()) };
    windows::write_out(select, order_by.as_mut())?;
    sort_by_columns(select, order_by.as_mut());
    using::merge(select, order_by.as_mut())?;
    casts::name(select, order_by.as_mut())?;
    take_top(select, limit_clause);
    limit_by(select, order_by.as_ref(), limit_clause)
}

/// Rewrites the parts of a union that are independent of the query around them.
fn rewrite_body(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::SetOperation { left, right, op, .. } => {
            if *op == SetOperator::Minus {
                *op = SetOperator::Except;
            }
            for side in [left, right] {
                rewrite_body(side)?;
                // A SELECT that is not part of a union is rewritten with the ORDER BY of its query.
                if let SetExpr::Select(select) = &mut **side {
                    windows::write_out(select, None)?;
                    using::merge(select, None)?;
                    casts::name(select, None)?;
                }
            }
            Ok(())
        }
        SetExpr::Table(table) => {
            let quoted = |name: &String| in_quotes(&name.to_lowercase());
            let names: Vec<String> =
                table.schema_name.iter().chain(&table.table_name).map(quoted).collect();
            *body = *query(&format!("SELECT * FROM {}", names.join(".")))?.body;
            Ok(())
        }
        SetExpr::Values(values) if has_subquery(values) => {
            let row = |row: &datafusion::sql::sqlparser::ast::Parens<Vec<Expr>>| {
                let column = |(i, value): (usize, &Expr)| format!("{value} AS column{}", i + 1);
                let columns: Vec<String> = row.content.iter().enumerate().map(column).collect();
                format!("SELECT {}", columns.join(", "))
            };
            let rows: Vec<String> = values.rows.iter().map(row).collect();
            *body = *query(&rows.join(" UNION ALL "))?.body;
            Ok(())
        }
        SetExpr::Select(select) => rewrite_select(select),
        _ => Ok(()),
    }
}

/// Reports whether one of the values contains a subquery, which DataFusion plans only in a SELECT.
fn has_subquery(values: &Values) -> bool {
    struct Queries(bool);
    impl Visitor for Queries {
        type Break = Error;
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
            self.0 = true;
            ControlFlow::Continue(())
        }
    }
    let mut queries = Queries(false);
    let _ = walk(values, &mut queries);
    queries.0
}

fn rewrite_select(select: &mut Select) -> Result<()> {
    if select.flavor == SelectFlavor::FromFirstNoSelect && select.projection.is_empty() {
        select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    }
    select.flavor = SelectFlavor::Standard;
    if let Some(condition) = select.prewhere.take() {
        select.selection = Some(match select.selection.take() {
            Some(other) => both(condition, other),
            None => condition,
        });
    }
    for table in &mut select.from {
        name_joins(table);
    }
    write_grouping(select);
    resolve_positions(select)
}

fn both(left: Expr, right: Expr) -> Expr {
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    Expr::BinaryOp { left: nested(left), op: BinaryOperator::And, right: nested(right) }
}

/// Rewrites SEMI and ANTI joins to LEFT SEMI and LEFT ANTI, which keep rows of the left table.
fn name_joins(table: &mut TableWithJoins) {
    for Join { relation, join_operator, .. } in &mut table.joins {
        match join_operator {
            JoinOperator::Semi(constraint) => {
                *join_operator = JoinOperator::LeftSemi(constraint.clone())
            }
            JoinOperator::Anti(constraint) => {
                *join_operator = JoinOperator::LeftAnti(constraint.clone())
            }
            _ => {}
        }
        if let datafusion::sql::sqlparser::ast::TableFactor::NestedJoin {
            table_with_joins, ..
        } = relation
        {
            name_joins(table_with_joins);
        }
    }
}

/// Rewrites `GROUP BY a, b WITH ROLLUP` to `GROUP BY ROLLUP (a, b)`.
fn write_grouping(select: &mut Select) {
    let GroupByExpr::Expressions(exprs, modifiers) = &mut select.group_by else { return };
    let [modifier @ (GroupByWithModifier::Rollup | GroupByWithModifier::Cube)] = &modifiers[..]
    else {
        return;
    };
    let is_plain =
        |expr: &Expr| !matches!(expr, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_));
    if exprs.iter().all(is_plain) {
        let sets = std::mem::take(exprs).into_iter().map(|expr| vec![expr]).collect();
        let grouped = if *modifier == GroupByWithModifier::Rollup {
            Expr::Rollup(sets)
        } else {
            Expr::Cube(sets)
        };
        *exprs = vec![grouped];
        modifiers.clear();
    }
}

/// Replaces column positions within ROLLUP, CUBE and GROUPING SETS by their expressions: there the
/// planner takes a position for a constant.
fn resolve_positions(select: &mut Select) -> Result<()> {
    let projection = &select.projection;
    let GroupByExpr::Expressions(exprs, _) = &mut select.group_by else { return Ok(()) };
    let mut copies = Copies::default();
    for expr in exprs {
        let (Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets)) = expr else {
            continue;
        };
        for expr in sets.iter_mut().flatten() {
            if let Some(position) = position(expr) {
                *expr = at(projection, position, &mut copies)?;
            }
        }
    }
    Ok(())
}

fn position(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the expression of a result column, counted from 1.
fn at(projection: &[SelectItem], position: usize, copies: &mut Copies) -> Result<Expr> {
    let is_counted = |item: &SelectItem| {
        !matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(_, _))
    };
    let before = projection.get(..position).unwrap_or_default();
    match before.last() {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. })
            if before.iter().all(is_counted) =>
        {
            copies.add(expr)?;
            Ok(expr.clone())
        }
        _ => Err(Error::Invalid(format!(
            "there is no column {position} in this SELECT: name the column"
        ))),
    }
}

fn number(value: u64) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

/// Sets the limit of a query that has none; returns whether it did.
fn set_limit(clause: &mut Option<LimitClause>, quantity: Expr) -> bool {
    match clause {
        None => {
            *clause = Some(LimitClause::LimitOffset {
                limit: Some(quantity),
                offset: None,
                limit_by: Vec::new(),
            });
            true
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, offset: _, limit_by })
            if limit_by.is_empty() =>
        {
            *limit = Some(quantity);
            true
        }
        Some(_) => false,
    }
}

/// Rewrites `SELECT TOP 3` to `LIMIT 3`.
fn take_top(select: &mut Select, limit: &mut Option<LimitClause>) {
    let Some(Top { with_ties: false, percent: false, quantity: Some(quantity) }) = &select.top
    else {
        return;
    };
    let quantity = match quantity {
        TopQuantity::Expr(expr) => expr.clone(),
        TopQuantity::Constant(value) => number(*value),
    };
    if set_limit(limit, quantity) {
        select.top = None;
    }
}

/// Rewrites ORDER BY ALL to the positions of all columns. DataFusion drops it over a union, and
/// rejects it over a SELECT with an expression.
fn sort_by_all(order_by: &mut Option<OrderBy>, body: &SetExpr) {
    let Some(OrderBy { kind, .. }) = order_by else { return };
    let options: OrderByOptions = match &*kind {
        OrderByKind::All(options) => *options,
        // This dialect reads ALL as a name.
        OrderByKind::Expressions(sorts) => match &sorts[..] {
            [OrderByExpr { expr: Expr::Identifier(name), options, with_fill: None }]
                if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("ALL") =>
            {
                *options
            }
            _ => return,
        },
    };
    *kind = OrderByKind::All(options);
    let Some(projection) = leftmost(body) else { return };
    let is_counted = |item: &SelectItem| {
        !matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(_, _))
    };
    if projection.iter().all(is_counted) {
        let positions = 1..=projection.len() as u64;
        let sort = |position| OrderByExpr { expr: number(position), options, with_fill: None };
        *kind = OrderByKind::Expressions(positions.map(sort).collect());
    }
}

/// Replaces sort expressions that are columns of the result by their positions: the planner
/// recognizes them in a SELECT DISTINCT only if the column has no alias, and takes the name in
/// `max(page)` for the alias in `max(page) AS page`.
fn sort_by_columns(select: &Select, order_by: Option<&mut OrderBy>) {
    let Some(OrderBy { kind: OrderByKind::Expressions(sorts), .. }) = order_by else { return };
    let is_counted = |item: &&SelectItem| {
        matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
    };
    let texts: Vec<String> = select.projection.iter().take_while(is_counted).map(written).collect();
    for sort in sorts {
        let text = sort.expr.to_string();
        let is_quoted = text.contains(['\'', '"']);
        let is_same =
            |column: &String| *column == text || !is_quoted && column.eq_ignore_ascii_case(&text);
        if let Some(at) = texts.iter().position(is_same)
            && !matches!(sort.expr, Expr::Value(_) | Expr::Identifier(_))
        {
            sort.expr = number(at as u64 + 1);
        }
    }
}

/// Returns the text of a column without its alias.
fn written(item: &SelectItem) -> String {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr.to_string(),
        _ => String::new(),
    }
}

fn leftmost(body: &SetExpr) -> Option<&[SelectItem]> {
    match body {
        SetExpr::Select(select) => Some(&select.projection),
        SetExpr::Query(query) => leftmost(&query.body),
        SetExpr::SetOperation { left, .. } => leftmost(left),
        _ => None,
    }
}

/// Rewrites `LIMIT n BY a`, which keeps n rows for each value of a, the first in the order of the
/// result.
fn limit_by(
    select: &mut Select,
    order_by: Option<&OrderBy>,
    clause: &mut Option<LimitClause>,
) -> Result<()> {
    let Some(LimitClause::LimitOffset { limit: Some(limit), offset, limit_by }) = clause else {
        return Ok(());
    };
    if limit_by.is_empty() || select.distinct.is_some() {
        return Ok(());
    }
    let mut partition_by = std::mem::take(limit_by);
    let mut sorts = match order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(sorts), .. }) => sorts.clone(),
        _ => Vec::new(),
    };
    let mut copies = Copies::default();
    for expr in partition_by.iter_mut().chain(sorts.iter_mut().map(|sort| &mut sort.expr)) {
        if let Some(position) = position(expr) {
            *expr = at(&select.projection, position, &mut copies)?;
        }
    }
    let mut row = expression("row_number() OVER ()")?;
    if let Expr::Function(call) = &mut row {
        let spec =
            WindowSpec { window_name: None, partition_by, order_by: sorts, window_frame: None };
        call.over = Some(WindowType::WindowSpec(spec));
    }
    let after = offset.as_ref().map(|Offset { value, rows: _ }| value.clone());
    let mut condition = expression(&format!("number <= ({limit})"))?;
    if let Some(after) = after {
        condition = expression(&format!("number > ({after}) AND number <= ({after}) + ({limit})"))?;
    }
    edit_own_expressions(&mut condition, |expr| {
        if matches!(expr, Expr::Identifier(name) if name.value == "number") {
            *expr = row.clone();
        }
        Ok(())
    })?;
    select.qualify = Some(match select.qualify.take() {
        Some(other) => both(other, condition),
        None => condition,
    });
    *clause = None;
    Ok(())
}

/// Wraps a CTE of WITH RECURSIVE that is a union and does not name itself in a query: the planner
/// would read only the union.
fn keep_whole(name: &str, query: &mut Box<Query>) {
    let is_bare = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none();
    if is_bare || !matches!(*query.body, SetExpr::SetOperation { .. }) || names(query, name) {
        return;
    }
    let whole = SetExpr::Query(query.clone());
    query.with = None;
    query.order_by = None;
    query.limit_clause = None;
    query.fetch = None;
    *query.body = whole;
}

/// Reports whether a query reads a table of this name.
fn names(query: &Query, name: &str) -> bool {
    struct Relations<'a>(&'a str, bool);
    impl Visitor for Relations<'_> {
        type Break = Error;
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
            let last = relation.0.last().and_then(|part| part.as_ident());
            self.1 |= last.is_some_and(|last| last.value.eq_ignore_ascii_case(self.0));
            ControlFlow::Continue(())
        }
    }
    let mut relations = Relations(name, false);
    let _ = walk(query, &mut relations);
    relations.1
}
