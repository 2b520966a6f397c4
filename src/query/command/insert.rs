//! INSERT INTO events.

use std::ops::Deref;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, Expr, Function, Insert as Ast, ObjectName, ObjectNamePart,
    Query, SetExpr, Statement, TableAliasWithoutColumns, TableObject, TypedString, UnaryOperator,
    Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::cell::Cell;
use super::table::{is_events, not_events};
use crate::error::{Error, Result};
use crate::query::parse::{self, Parsed, Piece};

/// INSERT INTO events.
#[derive(Clone, Debug)]
pub struct Insert {
    /// Names of the columns; empty for all, in the order of the table.
    pub columns: Vec<String>,
    pub source: Source,
}

/// Where the rows come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Rows of literals and parameters.
    Rows(Vec<Vec<Cell>>),
    /// Anything else that has rows.
    Query(Parsed),
}

/// Maximum nesting depth of expressions.
const RECURSION_LIMIT: usize = 50;

/// Parses an INSERT.
///
/// # Errors
/// If it is malformed, or is of another table, or has a clause that would not be obeyed.
pub fn parse_insert(piece: Piece) -> Result<Ast> {
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(RECURSION_LIMIT)
        .with_tokens_with_locations(piece.tokens);
    let statement = parser.parse_statement().map_err(syntax)?;
    parser.expect_token(&datafusion::sql::sqlparser::tokenizer::Token::EOF).map_err(syntax)?;
    match statement {
        Statement::Insert(insert) => Ok(insert),
        _ => Err(Error::Syntax("expected INSERT INTO events (…) VALUES (…)".into())),
    }
}

fn syntax(error: datafusion::sql::sqlparser::parser::ParserError) -> Error {
    DataFusionError::SQL(Box::new(error), None).into()
}

pub fn parse(piece: Piece) -> Result<Insert> {
    let ast = parse_insert(piece)?;
    check(&ast)?;
    let Ast { table, columns, source, .. } = ast;
    let TableObject::TableName(name) = &table else { return Err(not_events(&table.to_string())) };
    if !names(name).is_some_and(|parts| is_events(&parts)) {
        return Err(not_events(&name.to_string()));
    }
    let columns = columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    let source = source.ok_or_else(|| refused("DEFAULT VALUES"))?;
    Ok(Insert { columns, source: rows(*source)? })
}

/// Refuses every clause that is not of `INSERT INTO events (…) source`.
fn check(insert: &Ast) -> Result<()> {
    let Ast {
        insert_token: _,
        optimizer_hints,
        or,
        ignore,
        into: _,
        table: _,
        table_alias,
        columns: _,
        overwrite,
        source: _,
        assignments,
        partitioned,
        after_columns,
        has_table_keyword,
        on,
        returning,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    let is_aliased = matches!(table_alias, Some(TableAliasWithoutColumns { explicit: false, .. }));
    let clauses = [
        (on.is_some(), "ON CONFLICT"),
        (returning.is_some(), "RETURNING"),
        (output.is_some(), "OUTPUT"),
        (or.is_some() || *ignore || *replace_into, "INSERT OR …"),
        (*overwrite || partitioned.is_some() || !after_columns.is_empty(), "PARTITION"),
        (!assignments.is_empty(), "SET"),
        (*has_table_keyword, "TABLE"),
        (is_aliased || insert_alias.is_some(), "an alias without AS"),
        (priority.is_some() || !optimizer_hints.is_empty(), "a hint"),
        (settings.is_some() || format_clause.is_some(), "SETTINGS and FORMAT"),
        (
            multi_table_insert_type.is_some()
                || !multi_table_into_clauses.is_empty()
                || !multi_table_when_clauses.is_empty()
                || multi_table_else_clause.is_some(),
            "INSERT ALL",
        ),
    ];
    match clauses.iter().find(|(is_there, _)| *is_there) {
        Some((_, clause)) => Err(refused(clause)),
        None => Ok(()),
    }
}

fn refused(clause: &str) -> Error {
    Error::Invalid(format!(
        "{clause} is not answered here: write INSERT INTO events (timestamp, user_id, event) VALUES (…)"
    ))
}

fn names(name: &ObjectName) -> Option<Vec<String>> {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(name) if name.quote_style.is_none() => {
            Some(name.value.to_lowercase())
        }
        ObjectNamePart::Identifier(name) => Some(name.value.clone()),
        _ => None,
    };
    name.0.iter().map(part).collect()
}

fn column(name: &ObjectName) -> Result<String> {
    match names(name).as_deref() {
        Some([column]) => Ok(column.clone()),
        _ => Err(Error::Syntax(format!("{name} is not the name of a column"))),
    }
}

/// Returns rows of plain values as they are, and anything else as a statement that yields them.
fn rows(source: Query) -> Result<Source> {
    if let SetExpr::Values(values) = source.body.deref()
        && source.with.is_none()
        && source.order_by.is_none()
        && source.limit_clause.is_none()
    {
        let cells = |row: &[Expr]| row.iter().map(cell).collect::<Option<Vec<_>>>();
        let rows: Option<Vec<_>> = values.rows.iter().map(|row| cells(&row.content)).collect();
        if let Some(rows) = rows {
            return Ok(Source::Rows(rows));
        }
    }
    let query = parse::parse(&source.to_string())?.pop();
    query.map(Source::Query).ok_or_else(|| Error::Syntax("the rows are missing".into()))
}

/// Returns a value that needs no evaluation.
fn cell(expr: &Expr) -> Option<Cell> {
    match expr {
        Expr::Value(value) => literal(value),
        Expr::Nested(inner) => cell(inner),
        Expr::Function(call) if is_now(call) => Some(Cell::Now),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match cell(expr)? {
            Cell::Number(number) => Some(Cell::Number(format!("-{number}"))),
            _ => None,
        },
        // The column says the type anyway.
        Expr::Cast {
            kind: CastKind::Cast | CastKind::DoubleColon,
            expr,
            data_type,
            array: false,
            format: None,
        } => {
            let inner = cell(expr)?;
            let is_text = !matches!(inner, Cell::Number(_));
            (is_text && is_of_a_column(data_type)).then_some(inner)
        }
        Expr::TypedString(TypedString { data_type: SqlType::Timestamp(..), value, .. }) => {
            literal(value)
        }
        Expr::Identifier(name)
            if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") =>
        {
            Some(Cell::Null)
        }
        _ => None,
    }
}

fn is_of_a_column(of: &SqlType) -> bool {
    matches!(
        of,
        SqlType::Timestamp(None, _) | SqlType::Text | SqlType::Varchar(None) | SqlType::Custom(..)
    ) && !matches!(of, SqlType::Custom(name, _) if !["timestamptz", "text", "name"].contains(&&*name.to_string().to_lowercase()))
}

/// Reports whether a call is `now()`, or one of its other names.
fn is_now(call: &Function) -> bool {
    let names = ["now()", "current_timestamp", "transaction_timestamp()", "statement_timestamp()"];
    names.contains(&&*call.to_string().to_lowercase())
}

fn literal(value: &ValueWithSpan) -> Option<Cell> {
    match &value.value {
        Value::Null => Some(Cell::Null),
        Value::Number(number, _) => Some(Cell::Number(number.to_string())),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
            Some(Cell::Text(text.clone()))
        }
        Value::DollarQuotedString(text) => Some(Cell::Text(text.value.clone())),
        Value::Placeholder(name) => {
            let number: usize = name.strip_prefix('$')?.parse().ok()?;
            Some(Cell::Parameter(number.checked_sub(1)?))
        }
        _ => None,
    }
}
