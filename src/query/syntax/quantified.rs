//! Comparisons with all rows of a subquery: `x > ALL (SELECT …)`, `x = ANY (SELECT …)`.
//!
//! DataFusion plans each as an EXISTS in which the columns of both sides may have the same name,
//! and then compares a column with itself: without an alias every row counts. They are rewritten to
//! IN, or to comparisons with the least and the greatest value; those with the elements of an array
//! that is written out are expanded to comparisons with each.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query};

use super::tree::{Copies, expression};
use crate::error::{Error, Result};

/// Reports whether this is a comparison with the rows of a subquery.
pub fn is_quantified(expr: &Expr) -> bool {
    match expr {
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
            matches!(**right, Expr::Subquery(_))
        }
        _ => false,
    }
}

/// Returns the error for one nested in another: each is expanded to three copies of its subquery.
pub fn nested() -> Error {
    Error::Limit(
        "ANY or ALL within ANY or ALL is too large to plan: write IN, EXISTS, or max(…) and min(…)"
            .into(),
    )
}

/// Rewrites a comparison with ANY or ALL.
pub fn rewrite(expr: &mut Expr) -> Result<()> {
    let (left, op, right, is_any) = match expr {
        Expr::AnyOp { left, compare_op, right, is_some: _ } => (left, compare_op, right, true),
        Expr::AllOp { left, compare_op, right } => (left, compare_op, right, false),
        _ => return Ok(()),
    };
    let subquery = match &**right {
        Expr::Subquery(subquery) => subquery,
        Expr::Array(array) => {
            *expr = Expr::Nested(Box::new(one_by_one(left, op, &array.elem, is_any)?));
            return Ok(());
        }
        _ => return Ok(()),
    };
    let rewritten = match (&*op, is_any) {
        (BinaryOperator::Eq, true) | (BinaryOperator::NotEq, false) => Expr::InSubquery {
            expr: Box::new(Expr::Nested(left.clone())),
            subquery: subquery.clone(),
            negated: !is_any,
        },
        _ => match written_out(left, op, subquery, is_any) {
            Some(text) => expression(&text)?,
            // Left for the check to reject.
            None => return Ok(()),
        },
    };
    *expr = Expr::Nested(Box::new(rewritten));
    Ok(())
}

/// Returns the comparison with each of some values.
fn one_by_one(left: &Expr, op: &BinaryOperator, values: &[Expr], is_any: bool) -> Result<Expr> {
    match (op, is_any) {
        _ if values.is_empty() => expression(if is_any { "false" } else { "true" }),
        (BinaryOperator::Eq, true) | (BinaryOperator::NotEq, false) => Ok(Expr::InList {
            expr: Box::new(Expr::Nested(Box::new(left.clone()))),
            list: values.to_vec(),
            negated: !is_any,
        }),
        _ => {
            let mut copies = Copies::default();
            values.iter().try_for_each(|_| copies.add(left))?;
            let each: Vec<String> =
                values.iter().map(|value| format!("({left}) {op} ({value})")).collect();
            expression(&each.join(if is_any { " OR " } else { " AND " }))
        }
    }
}

/// Returns the comparison as a CASE: decided by the nearest value, else by whether there are rows,
/// else unknown if any value is.
fn written_out(left: &Expr, op: &BinaryOperator, subquery: &Query, is_any: bool) -> Option<String> {
    let of = |aggregate: &str| format!("(SELECT {aggregate} FROM ({subquery}) AS quantified(v))");
    let compare = |aggregate: &str| format!("({left}) {op} {}", of(aggregate));
    let nearest = match (op, is_any) {
        (BinaryOperator::Gt | BinaryOperator::GtEq, true) => compare("min(v)"),
        (BinaryOperator::Lt | BinaryOperator::LtEq, true) => compare("max(v)"),
        (BinaryOperator::Gt | BinaryOperator::GtEq, false) => compare("max(v)"),
        (BinaryOperator::Lt | BinaryOperator::LtEq, false) => compare("min(v)"),
        (BinaryOperator::NotEq, true) => {
            format!("({} OR {})", compare("min(v)"), compare("max(v)"))
        }
        (BinaryOperator::Eq, false) => format!("({} AND {})", compare("min(v)"), compare("max(v)")),
        _ => return None,
    };
    let (decided, verdict) =
        if is_any { (nearest, true) } else { (format!("NOT ({nearest})"), false) };
    let (none, unknown) = (of("count(*)"), of("count(*) - count(v)"));
    Some(format!(
        "CASE WHEN {decided} THEN {verdict} WHEN {none} = 0 THEN {} WHEN ({left}) IS NULL OR {unknown} > 0 \
         THEN CAST(NULL AS BOOLEAN) ELSE {} END",
        !verdict, !verdict
    ))
}
