//! SIMILAR TO: its patterns are LIKE's `%` and `_` with the alternatives and repetitions of regular
//! expressions, over the whole text. DataFusion takes the pattern for a regular expression that may
//! match anywhere, in which `%` is an ordinary character.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value};

use super::tree::expression;
use crate::error::{Error, Result};
use crate::query::functions::similar::{PATTERN, regular_expression};

/// Rewrites `x SIMILAR TO 'pattern'` to `x ~ 'regular expression'`.
pub fn rewrite(expr: &mut Expr) -> Result<()> {
    let Expr::SimilarTo { negated, expr: text, pattern, escape_char } = expr else { return Ok(()) };
    let mut inner = &mut **pattern;
    while let Expr::Nested(within) = inner {
        inner = within;
    }
    let escape = match escape_char
        .as_ref()
        .map(|escape| escape.value.clone().into_string().unwrap_or_default())
    {
        None => Some('\\'),
        Some(escape) => {
            let mut characters = escape.chars();
            match (characters.next(), characters.next()) {
                (escape, None) => escape,
                _ => return Err(Error::Invalid("ESCAPE takes one character".into())),
            }
        }
    };
    match &mut *inner {
        Expr::Value(value) => match &mut value.value {
            Value::Null => {}
            Value::SingleQuotedString(pattern) => *pattern = regular_expression(pattern, escape)?,
            _ => return Ok(()),
        },
        column => *inner = translated(column, escape)?,
    }
    let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    let right = Box::new(inner.clone());
    let placeholder = expression("NULL")?;
    let left = Box::new(Expr::Nested(Box::new(std::mem::replace(text, placeholder))));
    *expr = Expr::BinaryOp { left, op, right };
    Ok(())
}

/// Returns a call that translates a pattern for each row, for patterns that are not constant.
fn translated(pattern: &Expr, escape: Option<char>) -> Result<Expr> {
    let escape = escape.map(|escape| escape.to_string().replace('\'', "''")).unwrap_or_default();
    expression(&format!("{PATTERN}({pattern}, '{escape}')"))
}
