//! Rewriting of casts of columns that are group keys of a derived table.
//!
//! DataFusion names `CAST(hour AS DATE)` after its column. If that column is the key of an
//! aggregate below, as in the view `hours`, it confuses the cast with the key: columns that depend
//! on the key become group keys too, and a group comes out in several parts. A function around the
//! cast gives it a name of its own.

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, ObjectNamePart, OrderBy, OrderByKind, Select, TableFactor, TableWithJoins,
};

use super::tree::{edit_own_expressions, expression, within_parentheses};
use crate::error::Result;
use crate::query::functions::VALUE_OF;

/// Wraps the casts of a SELECT with GROUP BY, and of the ORDER BY after it, in a function.
pub fn name(select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<()> {
    let is_grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
    };
    if !is_grouped || !select.from.iter().any(is_derived) {
        return Ok(());
    }
    edit_own_expressions(&mut select.projection, wrap)?;
    edit_own_expressions(&mut select.group_by, wrap)?;
    edit_own_expressions(&mut select.having, wrap)?;
    edit_own_expressions(&mut select.qualify, wrap)?;
    if let Some(OrderBy { kind: OrderByKind::Expressions(sorts), .. }) = order_by {
        sorts.iter_mut().try_for_each(|sort| edit_own_expressions(&mut sort.expr, wrap))?;
    }
    Ok(())
}

/// Reports whether rows come from anything but a stored table.
fn is_derived(table: &TableWithJoins) -> bool {
    let is_stored = |factor: &TableFactor| match factor {
        TableFactor::Table { name, args: None, .. } => {
            let last = name.0.last().and_then(ObjectNamePart::as_ident);
            last.is_some_and(|name| name.value.eq_ignore_ascii_case("events"))
        }
        _ => false,
    };
    !is_stored(&table.relation) || table.joins.iter().any(|join| !is_stored(&join.relation))
}

fn wrap(expr: &mut Expr) -> Result<()> {
    // AT TIME ZONE is planned as a cast.
    let (Expr::Cast { expr: of, .. } | Expr::AtTimeZone { timestamp: of, .. }) = expr else {
        return Ok(());
    };
    if matches!(within_parentheses(of), Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
        *expr = expression(&format!("{VALUE_OF}({expr})"))?;
    }
    Ok(())
}
