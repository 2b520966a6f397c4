//! Names of result columns: an expression without an alias is named by its text.
//!
//! DataFusion names a column by the plan of its expression,
//! `count(*) FILTER (WHERE events.event = Utf8("click"))`, and rejects two expressions of one name,
//! as in `SELECT count(*), count(*)`. Here an expression without an alias gets its own
//! text, as sqlparser prints it, as its alias, with the suffix `_1` or `_2` if the name is taken.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType as SqlType, Expr, Ident, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement as Ast, TrimWhereField, VisitorMut,
};

use super::postgres;
use super::tree::{normalized, within_parentheses};
use crate::error::Error;
use crate::query::walk::walk_mut;

/// Maximum number of characters of a name; a longer text is cut.
const LONGEST: usize = 120;

/// What separates a name that is repeated from its number, where the client is shown the name alone.
const REPEATED: char = '\u{1}';

/// Returns the name of a column as PostgreSQL shows it: names may be repeated there, and not in
/// DataFusion.
pub fn shown_name(name: &str) -> &str {
    name.split(REPEATED).next().unwrap_or_default()
}

/// How an expression without an alias is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By its text.
    AsWritten,
    /// As PostgreSQL names it: a function by its name, a cast by what is cast or by the type.
    Postgres,
}

/// Adds an alias to each column without one.
pub fn name_columns(statement: &mut Ast, naming: Naming) {
    let _ = walk_mut(statement, &mut Names { naming, depth: 0, unread: HashSet::new() });
}

struct Names {
    naming: Naming,
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
            name_body(&mut query.body, self.depth == 1, self.naming);
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

fn name_body(body: &mut SetExpr, is_answer: bool, naming: Naming) {
    match body {
        SetExpr::Select(select) => name_items(select, is_answer, naming),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left, is_answer, naming);
            name_body(right, is_answer, naming);
        }
        _ => {}
    }
}

fn name_items(select: &mut Select, is_answer: bool, naming: Naming) {
    let mut taken = Taken::default();
    // `*` already includes all columns.
    let is_all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    // `t.*` includes those of `t`, and may include one whose table is not named.
    let whole: Vec<String> = select.projection.iter().filter_map(whole_table).collect();
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
                    let is_within = !whole.is_empty()
                        && table.as_ref().is_none_or(|table| whole.contains(table));
                    let is_there = is_all
                        || is_within
                        || columns.iter().any(is_same)
                        || taken.contains(&name) && is_answer;
                    columns.push((name.clone(), table));
                    if is_there {
                        *item = aliased(expr, free(&name, &mut taken, true, naming))
                    } else {
                        taken.insert(name);
                    }
                }
                None if !is_unnest(expr) => {
                    let name = match naming {
                        Naming::AsWritten => text(expr),
                        Naming::Postgres => postgres_name(expr).0,
                    };
                    *item = aliased(expr, free(&name, &mut taken, false, naming))
                }
                None => {}
            },
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = normalized(alias);
                if taken.contains(&name) && is_answer {
                    *alias = Ident::with_quote('"', free(&name, &mut taken, true, naming))
                } else {
                    taken.insert(name);
                }
            }
            _ => {}
        }
    }
}

/// Returns the table of `t.*`.
fn whole_table(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            name.0.last().and_then(|part| part.as_ident()).map(normalized)
        }
        _ => None,
    }
}

fn aliased(expr: &Expr, name: String) -> SelectItem {
    SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) }
}

/// Names that columns have, and the last number that was given to each.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    numbers: HashMap<String, usize>,
}

impl Taken {
    fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn insert(&mut self, name: String) {
        self.names.insert(name);
    }
}

/// Returns a name that is not taken, and adds it to `taken`.
fn free(name: &str, taken: &mut Taken, is_column: bool, naming: Naming) -> String {
    let plain = (!is_column && !taken.contains(name)).then(|| name.to_string());
    let name = plain.unwrap_or_else(|| {
        let mark = if naming == Naming::Postgres { REPEATED } else { '_' };
        // The numbers before were taken for the columns before.
        let mut last = taken.numbers.get(name).copied().unwrap_or(0);
        let free = loop {
            last += 1;
            let numbered = format!("{name}{mark}{last}");
            if !taken.contains(&numbered) {
                break numbered;
            }
        };
        taken.numbers.insert(name.to_string(), last);
        free
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

/// Returns an expression as sqlparser prints it, with unquoted names in lower case. What only clients
/// of PostgreSQL write is called as there: a function by its name, a cast of its reference types by
/// the type.
fn text(expr: &Expr) -> String {
    if let Some(name) = postgres::column_name(within_parentheses(expr)) {
        return name;
    }
    let mut copy = within_parentheses(expr).clone();
    let _ = walk_mut(&mut copy, &mut SmallLetters);
    let text = copy.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Returns the name that PostgreSQL gives an expression (`FigureColname` in its
/// `parse_target.c`), and whether it is a good one: that of a column or a function.
fn postgres_name(expr: &Expr) -> (String, bool) {
    let of = |name: &str, is_good| (name.to_string(), is_good);
    match expr {
        Expr::Identifier(name) => (normalized(name), true),
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(name) => (normalized(name), true),
            None => of("?column?", false),
        },
        Expr::Nested(inner)
        | Expr::Collate { expr: inner, .. }
        | Expr::CompoundFieldAccess { root: inner, .. } => postgres_name(inner),
        Expr::Function(call) => match call.name.0.last() {
            Some(ObjectNamePart::Identifier(name)) => (normalized(name), true),
            _ => of("?column?", false),
        },
        Expr::Cast { expr, data_type, .. } => match postgres_name(expr) {
            (name, true) => (name, true),
            _ => (type_name(data_type), false),
        },
        Expr::TypedString(typed) => (type_name(&typed.data_type), false),
        Expr::Interval(_) => of("interval", false),
        Expr::Case { else_result, .. } => {
            match else_result.as_ref().map(|last| postgres_name(last)) {
                Some((name, true)) => (name, true),
                _ => of("case", false),
            }
        }
        Expr::AtTimeZone { .. } => of("timezone", true),
        Expr::Extract { .. } => of("extract", true),
        Expr::Position { .. } => of("position", true),
        Expr::Substring { .. } => of("substring", true),
        Expr::Overlay { .. } => of("overlay", true),
        Expr::Trim { trim_where, .. } => match trim_where {
            Some(TrimWhereField::Leading) => of("ltrim", true),
            Some(TrimWhereField::Trailing) => of("rtrim", true),
            _ => of("btrim", true),
        },
        Expr::Ceil { .. } => of("ceil", true),
        Expr::Floor { .. } => of("floor", true),
        Expr::Exists { .. } => of("exists", true),
        Expr::Array(_) => of("array", true),
        Expr::Tuple(_) => of("row", true),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match &select.projection[..] {
                [SelectItem::UnnamedExpr(expr)] => postgres_name(expr),
                [SelectItem::ExprWithAlias { alias, .. }] => (normalized(alias), true),
                _ => of("?column?", false),
            },
            _ => of("?column?", false),
        },
        _ => of("?column?", false),
    }
}

/// Returns PostgreSQL's own name of a type.
fn type_name(of: &SqlType) -> String {
    let text = of.to_string().to_lowercase();
    let plain = text.split('(').next().unwrap_or_default().trim_end();
    let name = match plain.trim_end_matches("[]") {
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "real" => "float4",
        "float" | "double" | "double precision" => "float8",
        "boolean" => "bool",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "char" | "character" => "bpchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        name => name.rsplit('.').next().unwrap_or_default(),
    };
    name.trim_matches('"').to_string()
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

    fn named(sql: &str, naming: Naming) -> String {
        let mut statements = datafusion::sql::parser::DFParser::parse_sql(sql).unwrap();
        let Some(Statement::Statement(mut statement)) = statements.pop_front() else {
            panic!("{sql}")
        };
        name_columns(&mut statement, naming);
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
            assert_eq!(named(sql, Naming::AsWritten), expected);
        }
    }

    /// As `SELECT` of PostgreSQL 15 says.
    #[test]
    fn expressions_are_called_as_in_postgresql() {
        for (sql, names) in [
            ("SELECT count(*), COUNT(1)", "count count"),
            ("SELECT 1, 'a', 1 + 1, NULL", "?column? ?column? ?column? ?column?"),
            ("SELECT '1'::int, x::text, count(*)::int FROM t", "int4 x count"),
            ("SELECT TIMESTAMP '2025-01-01', now() AT TIME ZONE 'UTC'", "timestamp timezone"),
            ("SELECT CASE WHEN a THEN 1 END, CASE WHEN a THEN 1 ELSE b END FROM t", "case b"),
            ("SELECT (SELECT max(a) FROM t), EXISTS (SELECT 1)", "max exists"),
            ("SELECT pg_catalog.version(), extract(year FROM a) FROM t", "version extract"),
            ("SELECT true, ARRAY[1], a.b FROM a", "?column? array"),
            ("SELECT a, 1 AS a, b.a FROM b", "a a"),
        ] {
            let named = named(sql, Naming::Postgres);
            let aliases = named.split("AS \"").skip(1).filter_map(|rest| rest.split('"').next());
            let found: Vec<&str> = aliases.map(shown_name).collect();
            let expected: Vec<&str> = names.split(' ').collect();
            assert_eq!(found, expected, "{named}");
        }
    }
}
