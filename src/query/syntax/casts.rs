//! Names of casts.
//!
//! DataFusion names `CAST(hour AS DATE)` after its column. If that column is the key of an
//! aggregate below, as in the view `hours`, it confuses the cast with the key: columns that depend
//! on the key become group keys too, and a group comes out in several parts. And it refuses
//! `max(hour)` beside `max(hour::text)`, or the days of two zones, as two columns of one name. A
//! function around the cast gives it a name of its own.

use std::collections::{HashMap, HashSet};

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, ObjectNamePart, OrderBy, OrderByKind, Select, TableFactor, TableWithJoins,
};

use super::tree::{edit_own_expressions, expression, within_parentheses};
use crate::error::Result;
use crate::query::functions::NAMED_CAST;

/// Wraps the casts of a SELECT, and of the ORDER BY after it, in a function where their names might
/// be taken for others.
pub fn name(select: &mut Select, mut order_by: Option<&mut OrderBy>) -> Result<()> {
    let is_grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
    };
    let is_derived = is_grouped && select.from.iter().any(is_derived);
    let mut forms = Forms::default();
    edit(select, order_by.as_deref_mut(), &mut |expr| {
        forms.look(expr);
        Ok(())
    })?;
    let several = forms.several();
    let is_column = |of: &Expr| matches!(of, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    edit(select, order_by, &mut |expr| match cast_of(expr) {
        Some(of) if is_derived && is_column(of) || several.contains(&of.to_string()) => {
            let text = expr.to_string().replace('\'', "''");
            *expr = expression(&format!("{NAMED_CAST}({expr}, '{text}')"))?;
            Ok(())
        }
        _ => Ok(()),
    })
}

/// Applies a function to the expressions after the WHERE, whose columns are named.
fn edit(
    select: &mut Select,
    order_by: Option<&mut OrderBy>,
    edit: &mut dyn FnMut(&mut Expr) -> Result<()>,
) -> Result<()> {
    edit_own_expressions(&mut select.projection, &mut *edit)?;
    edit_own_expressions(&mut select.group_by, &mut *edit)?;
    edit_own_expressions(&mut select.having, &mut *edit)?;
    edit_own_expressions(&mut select.qualify, &mut *edit)?;
    if let Some(OrderBy { kind: OrderByKind::Expressions(sorts), .. }) = order_by {
        sorts.iter_mut().try_for_each(|sort| edit_own_expressions(&mut sort.expr, &mut *edit))?;
    }
    Ok(())
}

/// What is cast, and in which forms.
#[derive(Default)]
struct Forms {
    /// The casts of each expression.
    casts: HashMap<String, HashSet<String>>,
    /// Number of times that each column is named, less those within its casts.
    bare: HashMap<String, isize>,
}

impl Forms {
    fn look(&mut self, expr: &Expr) {
        if let Expr::Identifier(_) | Expr::CompoundIdentifier(_) = expr {
            *self.bare.entry(expr.to_string()).or_default() += 1;
        }
        if let Some(of) = cast_of(expr) {
            let of = of.to_string();
            *self.bare.entry(of.clone()).or_default() -= 1;
            self.casts.entry(of).or_default().insert(expr.to_string());
        }
    }

    /// Returns what has several forms.
    fn several(self) -> HashSet<String> {
        let is_bare = |of: &String| self.bare.get(of).is_some_and(|times| *times > 0);
        let several = self.casts.iter().filter(|(of, casts)| casts.len() > 1 || is_bare(of));
        several.map(|(of, _)| of.clone()).collect()
    }
}

/// Returns what a cast, but not of a literal, casts. AT TIME ZONE is planned as a cast.
fn cast_of(expr: &Expr) -> Option<&Expr> {
    let (Expr::Cast { expr: of, .. } | Expr::AtTimeZone { timestamp: of, .. }) = expr else {
        return None;
    };
    let of = within_parentheses(of);
    (!matches!(of, Expr::Value(_))).then_some(of)
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
