//! LIKE with ESCAPE: DataFusion knows only the backslash, so a literal pattern is rewritten to use
//! it.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value};

use super::tree::within_parentheses;

/// Rewrites the literal pattern of a LIKE with another escape character to use backslashes.
pub fn rewrite(expr: &mut Expr) {
    let (Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }) = expr
    else {
        return;
    };
    if escape_char.is_some()
        && let Some(whole) = constant(pattern)
    {
        **pattern = Expr::value(Value::SingleQuotedString(whole));
    }
    let (Some(escape), Expr::Value(value)) = (&*escape_char, &mut **pattern) else { return };
    let (Some(escape), Value::SingleQuotedString(pattern)) =
        (escape.value.clone().into_string(), &mut value.value)
    else {
        return;
    };
    let mut characters = escape.chars();
    let (escape, None) = (characters.next(), characters.next()) else { return };
    if escape == Some('\\') {
        return;
    }
    let mut escaped = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => {
                escaped.push('\\');
                escaped.extend(characters.next());
            }
            '\\' => escaped.push_str("\\\\"),
            _ => escaped.push(character),
        }
    }
    *pattern = escaped;
    *escape_char = None;
}

/// Returns the text of a constant, also of several that are concatenated.
fn constant(expr: &Expr) -> Option<String> {
    match within_parentheses(expr) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } => {
            Some(constant(left)? + &constant(right)?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_escape_becomes_a_backslash() {
        for (sql, expected) in [
            ("a LIKE '10!%%' ESCAPE '!'", r"a LIKE '10\%%'"),
            (r"a LIKE 'x\_!!' ESCAPE '!'", r"a LIKE 'x\\_\!'"),
            (r"a ILIKE 'x\_' ESCAPE ''", r"a ILIKE 'x\\_'"),
            (r"a LIKE 'x/_' || '%' ESCAPE '/'", r"a LIKE 'x\_%'"),
            (r"a LIKE 'x\_' ESCAPE '\'", r"a LIKE 'x\_' ESCAPE '\'"),
        ] {
            let mut expr = super::super::tree::expression(sql).unwrap();
            rewrite(&mut expr);
            assert_eq!(expr.to_string(), expected);
        }
    }
}
