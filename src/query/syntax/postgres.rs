//! Rewriting of what clients of PostgreSQL write in statements over its catalogs: names qualified
//! with `pg_catalog`, casts to `regclass` and the like, `OPERATOR(…)`, `ARRAY(SELECT …)`, functions
//! without parentheses.
//!
//! `x::regclass` is the OID of the relation that `x` names, and is shown as the name where it is a
//! column of the result or cast to a text; so it becomes a call of `regclass` or of
//! `regclass_name`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, ArrayElemTypeDef, BinaryOperator, CastKind, DataType as SqlType, Distinct,
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    GroupByExpr, Ident, LambdaFunction, LambdaFunctionParameter, LambdaSyntax, ObjectName,
    OneOrManyWithParens, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr,
    Statement as Ast, TableAliasColumnDef, TableFactor, Value, VisitorMut,
};

use super::tree::{
    as_flow, edit_own_expressions, expression, normalized, query, refused, within_parentheses,
};
use super::{domains, unnested};
use crate::error::{Error, Result};
use crate::query::walk::walk_mut;

/// Types of references to objects, by which a name is looked up, and the types that hold the same.
const REFERENCES: &[(&str, &str)] = &[
    ("regclass", "regclass"),
    ("regtype", "regtype"),
    ("regproc", "regproc"),
    ("regprocedure", "regproc"),
    ("regnamespace", "regnamespace"),
    ("regrole", "regrole"),
    ("regoper", "regobject"),
    ("regoperator", "regobject"),
    ("regcollation", "regobject"),
    ("regconfig", "regobject"),
    ("regdictionary", "regobject"),
];

/// Types of PostgreSQL that are spelt otherwise here.
const SPELT: &[(&str, &str)] = &[
    ("oid", "oid"),
    ("xid", "xid"),
    ("name", "name"),
    ("char", "TEXT"),
    ("bpchar", "TEXT"),
    ("cstring", "TEXT"),
    ("unknown", "TEXT"),
    ("aclitem", "TEXT"),
    ("pg_node_tree", "TEXT"),
    ("sql_identifier", "name"),
    ("character_data", "TEXT"),
    ("yes_or_no", "TEXT"),
    ("cardinal_number", "INT"),
    ("time_stamp", "TIMESTAMPTZ"),
    ("int2vector", "SMALLINT[]"),
    ("oidvector", "oid[]"),
];

/// Rewrites a statement.
pub fn rewrite(statement: &mut Ast) -> Result<()> {
    if let Ast::Query(query) = statement {
        show_names(&mut query.body);
    }
    walk_mut(statement, &mut Rewrite)
}

/// Functions that are named after by columns, beside those whose name begins with `pg_` or `has_`.
const NAMED: [&str; 18] = [
    "version",
    "current_database",
    "current_catalog",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "current_role",
    "session_user",
    "user",
    "set_config",
    "format_type",
    "quote_ident",
    "quote_literal",
    "obj_description",
    "col_description",
    "shobj_description",
    "txid_current",
];

/// Returns the name that PostgreSQL gives to a column which is such an expression.
pub fn column_name(expr: &Expr) -> Option<String> {
    let Expr::Function(function) = expr else { return None };
    let name = function.name.to_string().to_lowercase();
    if let Some(reference) = name.strip_suffix("_name").filter(|name| name.starts_with("reg")) {
        return Some(reference.into());
    }
    let is_named = name.starts_with("pg_")
        || name.starts_with("has_")
        || name.starts_with("to_reg")
        || NAMED.contains(&&*name);
    is_named.then_some(name)
}

/// Shows the name of a reference that is a column of the result.
fn show_names(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => select.projection.iter_mut().for_each(|item| {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                && let Expr::Cast { data_type, expr: of, .. } = expr
                && let Some(kind) = reference(data_type)
            {
                *expr = call(&format!("{kind}_name"), vec![(**of).clone()]);
            }
        }),
        SetExpr::SetOperation { left, right, .. } => {
            show_names(left);
            show_names(right);
        }
        SetExpr::Query(query) => show_names(&mut query.body),
        _ => {}
    }
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = crate::error::Error;

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } = table {
            unqualify(name);
            let function = name.to_string().to_lowercase();
            if (NAMED.contains(&&*function) || function == "string_to_array") && !*with_ordinality {
                let alias = alias.take();
                let called = alias.as_ref().map_or(&*function, |alias| &alias.name.value);
                let column = match alias.as_ref().and_then(|alias| alias.columns.first()) {
                    Some(column) => column.name.value.as_str(),
                    None => called,
                };
                let args: Vec<String> = args.args.iter().map(ToString::to_string).collect();
                let rows = format!(
                    "SELECT 1 FROM (SELECT {function}({})) AS \"{called}\"(\"{column}\")",
                    args.join(", ")
                );
                return as_flow(first_table(&rows).map(|rows| *table = rows));
            }
            if function == "unnest" {
                let array_exprs = args.args.iter().map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                    _ => None,
                });
                if let Some(array_exprs) = array_exprs.collect::<Option<Vec<_>>>() {
                    *table = TableFactor::UNNEST {
                        alias: alias.take(),
                        array_exprs,
                        with_offset: false,
                        with_offset_alias: None,
                        with_ordinality: *with_ordinality,
                    };
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        name_series(select);
        as_flow(
            unnested::rewrite(select)
                .and_then(|()| name_tables(select))
                .and_then(|()| bound_series(select)),
        )
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        as_flow(rewrite_expr(expr))
    }
}

fn rewrite_expr(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Identifier(name) => {
            let keywords = ["current_schema", "current_role"];
            if name.quote_style.is_none()
                && let Some(keyword) =
                    keywords.iter().find(|word| name.value.eq_ignore_ascii_case(word))
            {
                *expr = call(keyword, Vec::new());
            }
        }
        Expr::BinaryOp { op: op @ BinaryOperator::PGCustomBinaryOperator(_), .. } => {
            if let Some(known) = operator(op) {
                *op = known;
            }
        }
        Expr::Collate { expr: of, collation } if is_bytewise(collation) => *expr = (**of).clone(),
        Expr::Cast {
            kind: CastKind::Cast | CastKind::DoubleColon,
            expr: of,
            data_type,
            array: false,
            format: None,
        } => {
            if let Some(cast) = cast(of, data_type)? {
                *expr = cast;
            }
        }
        Expr::Between { expr: of, low, high, .. } if is_ctid(of) => {
            if !is_of_all_rows(low, high) {
                return Err(no_ctid(expr));
            }
            *expr = Expr::value(Value::Boolean(true));
        }
        Expr::BinaryOp { left, right, .. }
            if is_ctid(left) && is_place(right) || is_ctid(right) && is_place(left) =>
        {
            return Err(no_ctid(expr));
        }
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
            if let Expr::Value(value) = within_parentheses(right)
                && let Value::SingleQuotedString(text) = &value.value
                && let Some(elements) = elements(text)
            {
                **right = Expr::Array(Array { elem: elements, named: true });
            }
        }
        Expr::Subquery(query) => {
            if let Some(base) = domains::base_type(query) {
                *expr = base;
            }
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            if let Some(value) = field(root, access_chain)? {
                *expr = value;
            }
        }
        Expr::Function(function) => {
            rewrite_call(function).map(|new| new.into_iter().for_each(|new| *expr = new))?
        }
        _ => {}
    }
    Ok(())
}

/// Replaces the column `tableoid` that every catalog of PostgreSQL has, its OID, by a reference to it,
/// and the columns of row versions by a constant.
fn name_tables(select: &mut Select) -> Result<()> {
    let joins = select.from.iter().flat_map(|from| {
        [&from.relation].into_iter().chain(from.joins.iter().map(|join| &join.relation))
    });
    let tables: Vec<(String, String)> = joins
        .filter_map(|table| match table {
            TableFactor::Table { name, alias, args: None, .. } => {
                let last = name.0.last().and_then(|part| part.as_ident());
                let called = alias.as_ref().map(|alias| &alias.name).or(last)?;
                Some((normalized(called), name.to_string()))
            }
            _ => None,
        })
        .collect();
    if !tables.iter().any(|(_, name)| name.contains("pg_")) {
        return Ok(());
    }
    edit_own_expressions(select, |expr| {
        let is_oid = |name: &Ident| name.value.eq_ignore_ascii_case("tableoid");
        let table = match &*expr {
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [table, name] if is_oid(name) => {
                    tables.iter().find(|(called, _)| *called == normalized(table))
                }
                _ => None,
            },
            Expr::Identifier(name) if is_oid(name) && tables.len() == 1 => tables.first(),
            _ => None,
        };
        let is_version = |name: &Ident| {
            ["xmin", "xmax"].iter().any(|version| name.value.eq_ignore_ascii_case(version))
        };
        if let Expr::CompoundIdentifier(parts) = &*expr
            && let [table, name] = &parts[..]
            && is_version(name)
            && tables.iter().any(|(called, of)| *called == normalized(table) && of.contains("pg_"))
        {
            // Rows of catalogs have no versions.
            *expr = expression("CAST(1 AS xid)")?;
            return Ok(());
        }
        if let Some((_, name)) = table {
            *expr = call("regclass", vec![Expr::value(Value::SingleQuotedString(name.clone()))]);
        }
        Ok(())
    })
}

/// Returns the table of a query of one.
fn first_table(sql: &str) -> Result<TableFactor> {
    match *query(sql)?.body {
        SetExpr::Select(select) if !select.from.is_empty() => Ok(select.from[0].relation.clone()),
        _ => Err(crate::error::Error::Invalid(format!("{sql} has no table"))),
    }
}

/// Gives the column of `generate_series(…) AS i` the name of the alias, as in PostgreSQL, where only
/// functions and catalogs are beside it: elsewhere the column is called `value`.
fn name_series(select: &mut Select) {
    let is_plain = |table: &TableFactor| match table {
        TableFactor::Table { args: Some(_), .. } | TableFactor::UNNEST { .. } => true,
        TableFactor::Table { name, .. } => name
            .0
            .last()
            .and_then(|part| part.as_ident())
            .is_some_and(|name| name.value.starts_with("pg_")),
        _ => false,
    };
    if select.from.len() < 2 || !select.from.iter().all(|from| is_plain(&from.relation)) {
        return;
    }
    for from in &mut select.from {
        if let TableFactor::Table { name, alias: Some(alias), args: Some(_), .. } =
            &mut from.relation
            && alias.columns.is_empty()
            && name
                .0
                .last()
                .and_then(|part| part.as_ident())
                .is_some_and(|name| name.value.eq_ignore_ascii_case("generate_series"))
        {
            alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
        }
    }
}

/// Number of columns that a table of PostgreSQL may have, and so of elements that the arrays of
/// columns in its catalogs may have.
const MOST_COLUMNS: u32 = 1_664;

/// Rewrites `FROM generate_series(0, array_upper(x, 1)) s, pg_attribute …`, where `x` is an array of
/// columns in a catalog, to a longer series with a condition: a table function cannot take what
/// differs from row to row.
fn bound_series(select: &mut Select) -> Result<()> {
    let is_catalog = |table: &TableFactor| match table {
        TableFactor::Table { name, args: None, .. } => name
            .0
            .last()
            .and_then(|part| part.as_ident())
            .is_some_and(|name| name.value.starts_with("pg_")),
        _ => false,
    };
    if !select.from.iter().any(|from| is_catalog(&from.relation)) {
        return Ok(());
    }
    for from in &mut select.from {
        let TableFactor::Table { name, alias: Some(alias), args: Some(args), .. } =
            &mut from.relation
        else {
            continue;
        };
        unqualify(name);
        let [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(first @ Expr::Value(_))),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(last @ Expr::Function(_))),
        ] = &args.args[..]
        else {
            continue;
        };
        let upper = if let Expr::Function(call) = last {
            call.name.to_string().to_lowercase()
        } else {
            String::new()
        };
        if !name.to_string().eq_ignore_ascii_case("generate_series")
            || !upper.ends_with("array_upper")
        {
            continue;
        }
        let column = alias.columns.first().map_or(&alias.name, |column| &column.name).clone();
        let condition = expression(&format!("{}.{column} <= ({last})", alias.name))?;
        let rows = query(&format!(
            "SELECT 1 FROM (SELECT value FROM generate_series({first}, {MOST_COLUMNS})) AS {}({column})",
            alias.name
        ))?;
        let SetExpr::Select(mut rows) = *rows.body else { continue };
        if let Some(rows) = rows.from.pop() {
            from.relation = rows.relation;
        }
        select.selection = Some(match select.selection.take() {
            Some(other) => Expr::BinaryOp {
                left: Box::new(Expr::Nested(Box::new(other))),
                op: BinaryOperator::And,
                right: Box::new(condition),
            },
            None => condition,
        });
    }
    Ok(())
}

/// Removes `pg_catalog` from a name.
fn unqualify(name: &mut ObjectName) {
    let first = name.0.first().and_then(|part| part.as_ident());
    if name.0.len() == 2
        && first.is_some_and(|first| first.value.eq_ignore_ascii_case("pg_catalog"))
    {
        name.0.remove(0);
    }
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let arg = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let args = args.into_iter().map(arg).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Rewrites a call; returns the expression that replaces it, if another does.
fn rewrite_call(function: &mut Function) -> Result<Option<Expr>> {
    unqualify(&mut function.name);
    let name = function.name.to_string().to_lowercase();
    match &mut function.args {
        args @ FunctionArguments::None
            if ["current_user", "session_user", "user", "current_catalog"].contains(&&*name) =>
        {
            *args = FunctionArguments::List(FunctionArgumentList {
                duplicate_treatment: None,
                args: Vec::new(),
                clauses: Vec::new(),
            });
            Ok(None)
        }
        FunctionArguments::Subquery(query) if name == "array" => array_of(query).map(Some),
        FunctionArguments::List(list) => {
            let args: Vec<String> = list.args.iter().map(ToString::to_string).collect();
            match (&*name, &args[..]) {
                ("array_upper", [array, dimension]) => {
                    expression(&format!("CAST(array_length({array}, {dimension}) AS BIGINT)"))
                        .map(Some)
                }
                ("array_lower", [array, dimension]) => {
                    let length = format!("array_length({array}, {dimension})");
                    expression(&format!("CASE WHEN {length} > 0 THEN 1 END")).map(Some)
                }
                ("generate_subscripts", [array, dimension]) => {
                    let length = format!("array_length({array}, {dimension})");
                    expression(&format!(
                        "unnest(range(1, CAST(coalesce({length}, 0) AS BIGINT) + 1))"
                    ))
                    .map(Some)
                }
                ("information_schema._pg_expandarray", [array]) => {
                    expression(&format!("unnest(pg_expandarray({array}))")).map(Some)
                }
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// Returns a field of a row, `(row).name`; of the rows of an array, that of each.
fn field(root: &Expr, access: &[AccessExpr]) -> Result<Option<Expr>> {
    let (Expr::Nested(row), [AccessExpr::Dot(Expr::Identifier(name))]) = (root, access) else {
        return Ok(None);
    };
    let name = normalized(name);
    match &**row {
        Expr::Function(unnest) if unnest.to_string().starts_with("unnest(pg_expandarray(") => {
            let array = unnest.to_string();
            let array = array.trim_start_matches("unnest(pg_expandarray(");
            let array = array.strip_suffix("))").unwrap_or(array);
            let each = match name.as_str() {
                "x" => format!("unnest({array})"),
                _ => format!(
                    "unnest(range(1, CAST(coalesce(array_length({array}), 0) AS BIGINT) + 1))"
                ),
            };
            expression(&each).map(Some)
        }
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            let name = Expr::value(Value::SingleQuotedString(name));
            Ok(Some(call("get_field", vec![(**row).clone(), name])))
        }
        _ => Ok(None),
    }
}

/// Returns the operator of `OPERATOR(pg_catalog.~)`.
fn operator(op: &BinaryOperator) -> Option<BinaryOperator> {
    let BinaryOperator::PGCustomBinaryOperator(parts) = op else { return None };
    let name = match &parts[..] {
        [name] => name,
        [schema, name] if schema.eq_ignore_ascii_case("pg_catalog") => name,
        _ => return None,
    };
    Some(match name.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        _ => return None,
    })
}

/// Reports whether a collation compares texts byte by byte, as is done anyway.
fn is_bytewise(collation: &ObjectName) -> bool {
    let mut name = collation.clone();
    unqualify(&mut name);
    let name = name.0.last().filter(|_| name.0.len() == 1).and_then(|part| part.as_ident());
    name.is_some_and(|name| ["default", "C", "POSIX", "ucs_basic"].contains(&&*name.value))
}

/// Returns the last part of the name of a type that is not in standard SQL; `None` if it is in
/// another schema than those of the catalogs.
fn bare(of: &SqlType) -> Option<String> {
    match of {
        SqlType::Custom(name, modifiers) if modifiers.is_empty() => {
            let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
            match &parts[..] {
                [name] => Some(name.value.to_lowercase()),
                [schema, name]
                    if ["pg_catalog", "information_schema"]
                        .contains(&&*schema.value.to_lowercase()) =>
                {
                    Some(name.value.to_lowercase())
                }
                _ => None,
            }
        }
        SqlType::Regclass => Some("regclass".into()),
        _ => None,
    }
}

fn reference(of: &SqlType) -> Option<&'static str> {
    let name = bare(of)?;
    REFERENCES.iter().find(|(reference, _)| *reference == name).map(|(_, kind)| *kind)
}

/// Rewrites a cast; returns the expression that replaces it, if another does.
fn cast(of: &mut Expr, data_type: &mut SqlType) -> Result<Option<Expr>> {
    if let Some(kind) = reference(data_type) {
        return Ok(Some(call(kind, vec![of.clone()])));
    }
    if let SqlType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = data_type
        && let Some(kind) = reference(element)
    {
        // Arrays of references are only ever empty or shown.
        let _ = kind;
        **element = SqlType::Custom(ObjectName::from(vec![Ident::new("oid")]), Vec::new());
    }
    respell(data_type)?;
    // A reference is shown as its name.
    if is_text(data_type)
        && let Expr::Function(function) = &mut *of
    {
        let name = function.name.to_string();
        if let Some(kind) = name.strip_prefix("to_").filter(|name| name.starts_with("reg")) {
            *of = call(&format!("{kind}_name"), vec![of.clone()]);
            return Ok(None);
        }
        if REFERENCES.iter().any(|(_, kind)| *kind == name) {
            function.name = ObjectName::from(vec![Ident::new(format!("{name}_name"))]);
        }
    }
    if let SqlType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = data_type
        && let Expr::Value(value) = within_parentheses(of)
        && let Value::SingleQuotedString(text) = &value.value
        && let Some(elements) = elements(text)
        && !elements.is_empty()
    {
        let cast = |value| Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(value),
            data_type: (**element).clone(),
            array: false,
            format: None,
        };
        return Ok(Some(Expr::Array(Array {
            elem: elements.into_iter().map(cast).collect(),
            named: true,
        })));
    }
    Ok(None)
}

/// Reports whether this is the place of a row version in a table of PostgreSQL.
fn is_ctid(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(name) => normalized(name) == "ctid",
        Expr::CompoundIdentifier(parts) => {
            parts.last().is_some_and(|name| normalized(name) == "ctid")
        }
        _ => false,
    }
}

/// Reports whether these are the first place that there can be and one after the last: DuckDB reads
/// a table between two places at a time, and one of unknown size at once.
fn is_of_all_rows(low: &Expr, high: &Expr) -> bool {
    let place = |expr: &Expr| match expr {
        Expr::Cast { expr: text, .. } if is_place(expr) => Some(text.to_string()),
        _ => None,
    };
    place(low).as_deref() == Some("'(0,0)'") && place(high).as_deref() == Some("'(4294967295,0)'")
}

/// Reports whether this is a cast to the type of such places.
fn is_place(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast { data_type, .. } if bare(data_type).as_deref() == Some("tid"))
}

fn no_ctid(clause: &Expr) -> Error {
    refused(
        clause,
        "rows have no places here, and ctid is known only BETWEEN '(0,0)'::tid AND '(4294967295,0)'::tid, which is every row",
    )
}

fn is_text(of: &SqlType) -> bool {
    matches!(of, SqlType::Text | SqlType::Varchar(_) | SqlType::CharacterVarying(_))
}

/// Replaces a type that is spelt otherwise here, also as the element of an array.
fn respell(of: &mut SqlType) -> Result<()> {
    if let SqlType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = of {
        return respell(element);
    }
    let Some(name) = bare(of) else { return Ok(()) };
    let is_qualified = matches!(of, SqlType::Custom(name, _) if name.0.len() > 1);
    let spelt = SPELT.iter().find(|(own, _)| *own == name).map(|(_, spelt)| *spelt);
    let spelt = match spelt {
        Some(spelt) => spelt,
        None if is_qualified => &name,
        None => return Ok(()),
    };
    if let Expr::Cast { data_type, .. } = expression(&format!("CAST(NULL AS {spelt})"))? {
        *of = data_type;
    }
    Ok(())
}

/// Returns the elements of an array that is written as a text, `{a,"b c",NULL}`; `None` if it is
/// none, or has arrays in it.
fn elements(text: &str) -> Option<Vec<Expr>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    loop {
        let (mut element, mut is_quoted, mut is_open) = (String::new(), false, false);
        loop {
            match chars.next() {
                Some('\\') => element.extend(chars.next()),
                Some('"') => (is_quoted, is_open) = (true, !is_open),
                Some('{' | '}') if !is_open => return None,
                Some(',') if !is_open => break,
                Some(c) if c.is_whitespace() && element.is_empty() && !is_open => {}
                Some(c) => element.push(c),
                None if elements.is_empty() && element.is_empty() && !is_quoted => {
                    return Some(elements);
                }
                None => {
                    elements.push(element_of(&element, is_quoted));
                    return Some(elements);
                }
            }
        }
        elements.push(element_of(&element, is_quoted));
    }
}

fn element_of(text: &str, is_quoted: bool) -> Expr {
    match is_quoted {
        true => Expr::value(Value::SingleQuotedString(text.into())),
        false if text.trim().eq_ignore_ascii_case("NULL") => Expr::value(Value::Null),
        false => Expr::value(Value::SingleQuotedString(text.trim().into())),
    }
}

/// Returns `ARRAY(SELECT …)` as an aggregate; of the elements of another array, as a function of
/// each.
fn array_of(query: &mut Query) -> Result<Expr> {
    if let Some(transformed) = transformed(query) {
        return Ok(transformed);
    }
    let rows = match sorted(query) {
        Some(text) => text,
        None => format!("SELECT array_agg(v) FROM ({query}) AS array_rows(v)"),
    };
    expression(&format!("array_or_empty(({rows}))"))
}

/// Returns the parts of a query that is `SELECT x FROM … [WHERE …] [ORDER BY …]` and nothing else.
fn plain(query: &Query) -> Option<(&Select, &Expr, Option<&OrderBy>)> {
    let SetExpr::Select(select) = &*query.body else { return None };
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        &select.projection[..]
    else {
        return None;
    };
    let is_plain = query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && matches!(select.distinct, None | Some(Distinct::Distinct))
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(keys, sets) if keys.is_empty() && sets.is_empty());
    is_plain.then_some((select, value, query.order_by.as_ref()))
}

/// Returns a plain query with its order within the aggregate.
fn sorted(query: &Query) -> Option<String> {
    let (select, value, order_by) = plain(query)?;
    let order_by = match order_by.map(|order_by| &order_by.kind) {
        None => String::new(),
        Some(OrderByKind::Expressions(sorts)) => {
            let sort = |sort: &datafusion::sql::sqlparser::ast::OrderByExpr| match &sort.expr {
                Expr::Value(_) => {
                    sort.to_string().replacen(&sort.expr.to_string(), &value.to_string(), 1)
                }
                _ => sort.to_string(),
            };
            format!(" ORDER BY {}", sorts.iter().map(sort).collect::<Vec<_>>().join(", "))
        }
        Some(OrderByKind::All(_)) => return None,
    };
    let mut select = select.clone();
    let distinct = if select.distinct.take().is_some() { "DISTINCT " } else { "" };
    select.projection = vec![SelectItem::UnnamedExpr(
        expression(&format!("array_agg({distinct}{value}{order_by})")).ok()?,
    )];
    Some(select.to_string())
}

/// Returns `ARRAY(SELECT f(x) FROM unnest(a) x)` as `array_transform(a, x -> f(x))`: a subquery
/// cannot take the elements of an array of the row around it.
fn transformed(query: &Query) -> Option<Expr> {
    let (select, value, None) = plain(query)? else { return None };
    let [from] = &select.from[..] else { return None };
    let TableFactor::UNNEST { alias: Some(alias), array_exprs, .. } = &from.relation else {
        return None;
    };
    let [array] = &array_exprs[..] else { return None };
    let is_filtered = select.selection.is_some() || select.distinct.is_some();
    if is_filtered || !from.joins.is_empty() || alias.columns.len() > 1 {
        return None;
    }
    let element = alias.columns.first().map_or(&alias.name, |column| &column.name);
    if value.to_string() == element.to_string() {
        return Some(array.clone());
    }
    let lambda = Expr::Lambda(LambdaFunction {
        params: OneOrManyWithParens::One(LambdaFunctionParameter {
            name: element.clone(),
            data_type: None,
        }),
        body: Box::new(value.clone()),
        syntax: LambdaSyntax::Arrow,
    });
    Some(call("array_transform", vec![array.clone(), lambda]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> String {
        let mut query = super::super::tree::query(sql).map(Ast::Query).unwrap();
        rewrite(&mut query).unwrap();
        query.to_string()
    }

    #[test]
    fn what_clients_write_is_rewritten() {
        for (sql, expected) in [
            ("SELECT pg_catalog.version()", "SELECT version()"),
            ("SELECT current_user", "SELECT current_user()"),
            (
                "SELECT 'a' OPERATOR(pg_catalog.~) 'b' COLLATE pg_catalog.default",
                "SELECT 'a' ~ 'b'",
            ),
            ("SELECT 'events'::regclass::oid", "SELECT regclass('events')::oid"),
            ("SELECT c.oid::pg_catalog.regclass", "SELECT regclass_name(c.oid)"),
            ("SELECT 1 WHERE a = 'events'::regclass", "SELECT 1 WHERE a = regclass('events')"),
            ("SELECT 1 WHERE a::regtype::text = 'x'", "SELECT 1 WHERE regtype_name(a)::TEXT = 'x'"),
            ("SELECT 1 WHERE a = ANY('{r,v}')", "SELECT 1 WHERE a = ANY(ARRAY['r', 'v'])"),
            ("SELECT x::information_schema.sql_identifier::\"char\"", "SELECT x::name::TEXT"),
            (
                "SELECT ARRAY(SELECT a FROM t WHERE b ORDER BY 1)",
                "SELECT array_or_empty((SELECT array_agg(a ORDER BY a) FROM t WHERE b))",
            ),
        ] {
            assert_eq!(rewritten(sql), expected);
        }
    }

    #[test]
    fn arrays_are_read_from_texts() {
        let read = |text| {
            elements(text)
                .map(|elements| elements.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read("{a, \"b,c\",NULL}").unwrap(), ["'a'", "'b,c'", "NULL"]);
        assert_eq!(read("{}").unwrap(), Vec::<String>::new());
        assert_eq!(read("{{1}}"), None);
        assert_eq!(read("a"), None);
    }
}
