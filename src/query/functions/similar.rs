//! Patterns of SIMILAR TO: LIKE's `%` and `_`, with the alternatives and repetitions of regular
//! expressions.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use super::function::Function;
use crate::error::{Error, Result};

/// Name of the function that translates a pattern, given its escape character or an empty text for
/// none.
pub const PATTERN: &str = "similar_to_pattern";

pub fn udf() -> Arc<ScalarUDF> {
    let types = |types: &[DataType]| match types {
        [_, _] => Ok((vec![DataType::Utf8, DataType::Utf8], DataType::Utf8)),
        _ => plan_err!("{PATTERN} takes a pattern and an escape character"),
    };
    Function::new(PATTERN, types, translate).udf()
}

fn translate(args: &[ColumnarValue], rows: usize) -> datafusion::common::Result<ArrayRef> {
    let texts = |arg: &ColumnarValue| {
        Ok::<_, DataFusionError>(cast(&arg.to_array(rows)?, &DataType::Utf8)?)
    };
    let (patterns, escapes) = (texts(&args[0])?, texts(&args[1])?);
    let pairs = patterns.as_string::<i32>().iter().zip(escapes.as_string::<i32>());
    let translated = pairs.map(|(pattern, escape)| {
        let translated = pattern.map(|pattern| {
            regular_expression(pattern, escape.and_then(|text| text.chars().next()))
        });
        translated.transpose().map_err(|error| DataFusionError::External(Box::new(error)))
    });
    Ok(Arc::new(translated.collect::<datafusion::common::Result<StringArray>>()?))
}

/// Translates a pattern of SIMILAR TO to a regular expression of the `regex` crate.
pub fn regular_expression(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::from("(?s)^(?:");
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => {
                let next = characters.next();
                push_literal(
                    &mut out,
                    next.ok_or_else(|| ends_early(pattern, "the character that ESCAPE names"))?,
                );
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '|' | '*' | '+' | '?' | '{' | '}' | ',' | '(' | ')' => out.push(character),
            '[' => {
                out.push('[');
                push_set(&mut out, &mut characters, escape)
                    .ok_or_else(|| ends_early(pattern, "a [ without its ]"))?;
            }
            _ => push_literal(&mut out, character),
        }
    }
    out.push_str(")$");
    Ok(out)
}

/// Appends the rest of a set of characters, in which only `^`, `-` and the classes of POSIX are
/// special.
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
    // `\<` and `\>` would match word boundaries.
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
