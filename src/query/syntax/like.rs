//! LIKE with ESCAPE: DataFusion knows only the backslash, so a literal pattern is rewritten to use
//! it.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value, ValueWithSpan};

use super::tree::{expression, within_parentheses};

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
    if let Some(escape) = escape_char
        && let Some(escaped) = computed(pattern, escape)
    {
        (**pattern, *escape_char) = (escaped, None);
        return;
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

/// Returns a pattern that is no constant, such as `$1 || '%'`, with backslashes in the place of another
/// escape character; `None` if it is a constant or has them.
fn computed(pattern: &Expr, escape: &ValueWithSpan) -> Option<Expr> {
    let is_constant = constant(pattern).is_some()
        || matches!(pattern, Expr::Value(of) if matches!(of.value, Value::Null));
    let escape = escape.value.clone().into_string().filter(|escape| escape.chars().count() == 1)?;
    if is_constant || escape == "\\" {
        return None;
    }
    let escape = escape.replace('\'', "''");
    // A text cannot have the character of one that is escaped.
    let doubled = format!("replace(replace({pattern}, '\\', '\\\\'), '{escape}{escape}', '\u{1}')");
    let escaped = format!("replace(replace({doubled}, '{escape}', '\\'), '\u{1}', '{escape}')");
    expression(&escaped).ok()
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
            (
                "a LIKE b || '%' ESCAPE '/'",
                "a LIKE replace(replace(replace(replace(b || '%', '\\', '\\\\'), '//', '\u{1}'), '/', '\\'), '\u{1}', '/')",
            ),
        ] {
            let mut expr = super::super::tree::expression(sql).unwrap();
            rewrite(&mut expr);
            assert_eq!(expr.to_string(), expected);
        }
    }
}
