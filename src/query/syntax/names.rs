//! Names of result columns: an expression without an alias is named by its text.
//!
//! DataFusion names a column by the plan of its expression,
//! `count(*) FILTER (WHERE events.event = Utf8("click"))`, and rejects two expressions of one name,
//! as in `SELECT count(*), count(*)`. Here an expression without an alias gets its own
//! text, as sqlparser prints it, as its alias, with the suffix `_1` or `_2` if the name is taken.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, SetExpr, Statement as Ast, VisitorMut,
};

use super::tree::{normalized, within_parentheses};
use crate::error::Error;
use crate::query::walk::walk_mut;

/// Maximum number of characters of a name; a longer text is cut.
const LONGEST: usize = 120;

/// Adds an alias to each column without one.
pub fn name_columns(statement: &mut Ast) {
    let _ = walk_mut(statement, &mut Names::default());
}

#[derive(Default)]
struct Names {
    /// Number of open queries.
    depth: usize,
    /// Queries within expressions, by address: the names of their columns are never read.
    unread: HashSet<usize>,
}

impl VisitorMut for Names {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        if !self.unread.contains(&std::ptr::from_ref(query).addr()) {
            name_body(&mut query.body, self.depth == 1);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        self.unread.remove(&std::ptr::from_ref(query).addr());
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Subquery(query)
        | Expr::Exists { subquery: query, .. }
        | Expr::InSubquery { subquery: query, .. } = expr
        {
            self.unread.insert(std::ptr::from_ref(&**query).addr());
        }
        ControlFlow::Continue(())
    }
}

fn name_body(body: &mut SetExpr, is_answer: bool) {
    match body {
        SetExpr::Select(select) => name_items(select, is_answer),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left, is_answer);
            name_body(right, is_answer);
        }
        _ => {}
    }
}

fn name_items(select: &mut Select, is_answer: bool) {
    let mut taken = HashSet::new();
    // `*` already includes all columns.
    let is_all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    // Columns named so far, with their tables.
    let mut columns: Vec<(String, Option<String>)> = Vec::new();
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => match column(expr) {
                Some((name, table)) => {
                    let is_same = |other: &(String, Option<String>)| {
                        other.0 == name
                            && (other.1 == table || other.1.is_none() || table.is_none())
                    };
                    let is_there =
                        is_all || columns.iter().any(is_same) || taken.contains(&name) && is_answer;
                    columns.push((name.clone(), table));
                    if is_there {
                        *item = aliased(expr, free(&name, &mut taken, true))
                    } else {
                        taken.insert(name);
                    }
                }
                None if !is_unnest(expr) => {
                    *item = aliased(expr, free(&text(expr), &mut taken, false))
                }
                None => {}
            },
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = normalized(alias);
                if taken.contains(&name) && is_answer {
                    *alias = Ident::with_quote('"', free(&name, &mut taken, true))
                } else {
                    taken.insert(name);
                }
            }
            _ => {}
        }
    }
}

fn aliased(expr: &Expr, name: String) -> SelectItem {
    SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) }
}

/// Returns a name that is not taken, and adds it to `taken`.
fn free(name: &str, taken: &mut HashSet<String>, is_column: bool) -> String {
    let plain = (!is_column && !taken.contains(name)).then(|| name.to_string());
    let name = plain.unwrap_or_else(|| {
        let numbered = (1..).map(|i: usize| format!("{name}_{i}"));
        let mut free = numbered.filter(|name| !taken.contains(name));
        free.next().unwrap_or_default()
    });
    taken.insert(name.clone());
    name
}

/// Returns the name and the table of a column.
fn column(expr: &Expr) -> Option<(String, Option<String>)> {
    match expr {
        Expr::Identifier(name) => Some((normalized(name), None)),
        Expr::CompoundIdentifier(parts) => {
            let (name, table) = parts.split_last()?;
            Some((normalized(name), table.last().map(normalized)))
        }
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

/// Reports whether the expression may stand for several columns.
fn is_unnest(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(call) if call.name.to_string().to_lowercase().starts_with("unnest"))
}

/// Returns an expression as sqlparser prints it, with unquoted names in lower case.
fn text(expr: &Expr) -> String {
    let mut copy = within_parentheses(expr).clone();
    let _ = walk_mut(&mut copy, &mut SmallLetters);
    let text = copy.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

struct SmallLetters;

impl VisitorMut for SmallLetters {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let lower = |ident: &mut Ident| ident.value = normalized(ident);
        match expr {
            Expr::Identifier(name) => lower(name),
            Expr::CompoundIdentifier(parts) => parts.iter_mut().for_each(lower),
            Expr::Function(call) => {
                for part in &mut call.name.0 {
                    if let datafusion::sql::sqlparser::ast::ObjectNamePart::Identifier(name) = part
                    {
                        lower(name);
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::Statement;

    use super::*;

    fn named(sql: &str) -> String {
        let mut statements = datafusion::sql::parser::DFParser::parse_sql(sql).unwrap();
        let Some(Statement::Statement(mut statement)) = statements.pop_front() else {
            panic!("{sql}")
        };
        name_columns(&mut statement);
        statement.to_string()
    }

    #[test]
    fn expressions_are_called_as_they_are_written() {
        for (sql, expected) in [
            (
                "SELECT COUNT(*), Count(*)",
                r#"SELECT COUNT(*) AS "count(*)", Count(*) AS "count(*)_1""#,
            ),
            ("SELECT a, b.a, a FROM b", r#"SELECT a, b.a AS "a_1", a AS "a_2" FROM b"#),
            ("SELECT x.a, y.a FROM x, y", r#"SELECT x.a, y.a AS "a_1" FROM x, y"#),
            ("SELECT *, a FROM b", r#"SELECT *, a AS "a_1" FROM b"#),
            ("SELECT a, 1 AS a FROM b", r#"SELECT a, 1 AS "a_1" FROM b"#),
            ("SELECT (1 + 2)", r#"SELECT (1 + 2) AS "1 + 2""#),
            (
                "SELECT max(A || 'B') FILTER (WHERE \"C\")",
                "SELECT max(A || 'B') FILTER (WHERE \"C\") AS \"max(a || 'B') FILTER (WHERE \"\"C\"\")\"",
            ),
            (
                "SELECT a IN (SELECT 1 + 1)",
                r#"SELECT a IN (SELECT 1 + 1) AS "a IN (SELECT 1 + 1)""#,
            ),
        ] {
            assert_eq!(named(sql), expected);
        }
    }
}
