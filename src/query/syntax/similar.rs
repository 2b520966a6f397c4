//! SIMILAR TO, whose patterns are LIKE's `%` and `_` with the alternatives and repetitions of regular expressions, over the whole
//! text. DataFusion takes the pattern for a regular expression that may begin anywhere, in which `%` is a character.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value};

use super::tree::expression;
use crate::error::{Error, Result};

/// Reads `x SIMILAR TO 'pattern'` as `x ~ 'regular expression'`.
pub fn rewrite(expr: &mut Expr) -> Result<()> {
    let Expr::SimilarTo { negated, expr: text, pattern, escape_char } = expr else { return Ok(()) };
    let mut inner = &mut **pattern;
    while let Expr::Nested(within) = inner {
        inner = within;
    }
    let Expr::Value(value) = inner else { return Ok(()) };
    let escape = match escape_char.as_ref().map(|escape| escape.value.clone().into_string().unwrap_or_default()) {
        None => Some('\\'),
        Some(escape) => {
            let mut characters = escape.chars();
            match (characters.next(), characters.next()) {
                (escape, None) => escape,
                _ => return Err(Error::Invalid("ESCAPE takes one character".into())),
            }
        }
    };
    match &mut value.value {
        Value::Null => {}
        Value::SingleQuotedString(pattern) => *pattern = regular_expression(pattern, escape)?,
        _ => return Ok(()),
    }
    let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    let right = Box::new(inner.clone());
    let placeholder = expression("NULL")?;
    let left = Box::new(Expr::Nested(Box::new(std::mem::replace(text, placeholder))));
    *expr = Expr::BinaryOp { left, op, right };
    Ok(())
}

/// A pattern of SIMILAR TO as a regular expression of Rust's.
fn regular_expression(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::from("(?s)^(?:");
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => {
                let next = characters.next();
                push_literal(&mut out, next.ok_or_else(|| ends_early(pattern, "the character that ESCAPE names"))?);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '|' | '*' | '+' | '?' | '{' | '}' | ',' | '(' | ')' => out.push(character),
            '[' => {
                out.push('[');
                push_set(&mut out, &mut characters, escape).ok_or_else(|| ends_early(pattern, "a [ without its ]"))?;
            }
            _ => push_literal(&mut out, character),
        }
    }
    out.push_str(")$");
    Ok(out)
}

/// The rest of a set of characters, in which nothing but `^`, `-` and the classes of POSIX is special.
fn push_set(
    out: &mut String,
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    escape: Option<char>,
) -> Option<()> {
    if characters.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    loop {
        match characters.next()? {
            ']' if !is_first => break,
            '[' if characters.peek() == Some(&':') => {
                out.push('[');
                loop {
                    let character = characters.next()?;
                    out.push(character);
                    if character == ']' {
                        break;
                    }
                }
            }
            '-' => out.push('-'),
            character if Some(character) == escape => push_literal(out, characters.next()?),
            character => push_literal(out, character),
        }
        is_first = false;
    }
    out.push(']');
    Some(())
}

fn push_literal(out: &mut String, character: char) {
    // `\<` and `\>` would be the ends of words.
    if character.is_ascii_punctuation() && !matches!(character, '<' | '>') {
        out.push('\\');
    }
    out.push(character);
}

fn ends_early(pattern: &str, with: &str) -> Error {
    Error::Invalid(format!("SIMILAR TO: the pattern '{pattern}' ends with {with}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_the_whole_text() {
        for (pattern, expected) in [
            ("a%", "(?s)^(?:a.*)$"),
            ("u_(1|2)+", "(?s)^(?:u.(1|2)+)$"),
            ("a.b^$", r"(?s)^(?:a\.b\^\$)$"),
            (r"100\%", r"(?s)^(?:100\%)$"),
            ("[a-c_%]x", r"(?s)^(?:[a-c\_\%]x)$"),
            ("[^]&[]", r"(?s)^(?:[^\]\&\[])$"),
            ("[[:digit:]x]{2,3}", "(?s)^(?:[[:digit:]x]{2,3})$"),
        ] {
            assert_eq!(regular_expression(pattern, Some('\\')).unwrap(), expected);
        }
        assert!(regular_expression("[", None).is_err());
        assert!(regular_expression("[a", None).is_err());
        assert!(regular_expression("a\\", Some('\\')).is_err());
    }
}
