//! Text matched with constant patterns, compiled once for a statement.
//!
//! Arrow compiles the regular expression of `~`, and of a LIKE whose wildcards are not at the ends
//! alone, for every batch of rows: for files of some thousand rows, that takes longer than matching
//! them. [`Patterns`] rewrites such conditions to a function that holds the compiled expression.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit, not,
};
use regex::{Regex, RegexBuilder};

use super::function::by_rows;
use super::repeated::once_each;

/// Patterns of a statement that are compiled; further ones are left to Arrow, for each batch.
const MOST_PATTERNS: usize = 32;

/// Maximum bytes of a compiled pattern, and of what a thread keeps of its states. A larger one is
/// left to Arrow, which forgets it after each batch.
const PATTERN_BYTES: usize = 1 << 20;

/// The compiled patterns of a statement.
#[derive(Default)]
pub struct Patterns {
    functions: HashMap<Pattern, Option<Arc<ScalarUDF>>>,
}

/// A regular expression, and how it is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pattern {
    text: String,
    ignores_case: bool,
    /// Whether a dot matches the end of a line.
    is_of_like: bool,
}

impl Patterns {
    /// Returns a condition with its pattern compiled; `None` if it has no constant pattern, a wrong
    /// one, which has its error elsewhere, or one that Arrow matches without a regular expression.
    pub fn compiled(&mut self, expr: &Expr) -> Option<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (ignores_case, is_negated) = regular(*op)?;
                let text = constant(right)?.to_string();
                let pattern = Pattern { text, ignores_case, is_of_like: false };
                let matches = self.matches(pattern, left, right)?;
                Some(if is_negated { not(matches) } else { matches })
            }
            Expr::Like(Like { negated, expr, pattern: like, escape_char, case_insensitive }) => {
                let (text, ignores_case) = (constant(like)?, *case_insensitive);
                if escape_char.is_some_and(|escape| escape != '\\') || is_plain(text, ignores_case)
                {
                    return None;
                }
                let regular = regular_expression(text);
                let pattern = Pattern { text: regular, ignores_case, is_of_like: true };
                let matches = self.matches(pattern, expr, like)?;
                let start = &text[..text.find(['%', '_', '\\']).unwrap_or(0)];
                if *negated {
                    return Some(not(matches));
                }
                // Files and pages without such a start are skipped.
                if matches!(**expr, Expr::Column(_)) && !start.is_empty() && !ignores_case {
                    let start = of_type(format!("{start}%"), like)?;
                    return Some(expr.as_ref().clone().like(start).and(matches));
                }
                Some(matches)
            }
            _ => None,
        }
    }

    fn matches(&mut self, pattern: Pattern, value: &Expr, text: &Expr) -> Option<Expr> {
        if self.functions.len() >= MOST_PATTERNS && !self.functions.contains_key(&pattern) {
            return None;
        }
        let function = self.functions.entry(pattern).or_insert_with_key(|pattern| {
            let function = Matches::new(pattern.clone())?;
            Some(Arc::new(ScalarUDF::new_from_impl(function)))
        });
        Some(function.as_ref()?.call(vec![value.clone(), text.clone()]))
    }
}

/// Returns whether an operator of regular expressions ignores the case, and whether it is negated;
/// `None` for another operator.
pub fn regular(op: Operator) -> Option<(bool, bool)> {
    match op {
        Operator::RegexMatch => Some((false, false)),
        Operator::RegexIMatch => Some((true, false)),
        Operator::RegexNotMatch => Some((false, true)),
        Operator::RegexNotIMatch => Some((true, true)),
        _ => None,
    }
}

/// Returns a text as a literal of the same type as this one.
fn of_type(text: String, like: &Expr) -> Option<Expr> {
    let Expr::Literal(value, _) = like else { return None };
    Some(lit(ScalarValue::try_from_string(text, &value.data_type()).ok()?))
}

fn constant(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// Reports whether Arrow compares texts with the pattern of a LIKE, rather than compile it.
fn is_plain(pattern: &str, ignores_case: bool) -> bool {
    let start = pattern.strip_prefix('%');
    let inner = start.unwrap_or(pattern);
    let end = inner.strip_suffix('%');
    let is_within = start.is_some() && end.is_some();
    let has_more = end.unwrap_or(inner).contains(['%', '_', '\\']);
    !has_more && (!ignores_case || !is_within)
}

/// Translates a pattern of LIKE.
fn regular_expression(pattern: &str) -> String {
    let mut out = String::from("^");
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '%' => {
                out.push_str(".*");
                continue;
            }
            '_' => {
                out.push('.');
                continue;
            }
            // At the end it stands for itself.
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        out.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
    }
    // A wildcard at an end needs no search for the end.
    let inner = out.strip_prefix("^.*").unwrap_or(&out);
    match inner.strip_suffix(".*").filter(|_| pattern.ends_with('%')) {
        Some(inner) => inner.to_string(),
        None => format!("{inner}$"),
    }
}

/// The function of a value and a pattern, of which it has the compiled form.
#[derive(Debug)]
struct Matches {
    pattern: Pattern,
    regex: Regex,
    signature: Signature,
}

impl Matches {
    /// Returns the function; `None` if the pattern cannot be compiled.
    fn new(pattern: Pattern) -> Option<Matches> {
        let regex = RegexBuilder::new(&pattern.text)
            .case_insensitive(pattern.ignores_case)
            .dot_matches_new_line(pattern.is_of_like)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .build();
        let signature = Signature::any(2, Volatility::Immutable);
        Some(Matches { regex: regex.ok()?, pattern, signature })
    }
}

impl PartialEq for Matches {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Matches {}

impl Hash for Matches {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pattern.hash(state);
    }
}

impl ScalarUDFImpl for Matches {
    fn name(&self) -> &str {
        "matches"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_, _] => Ok(DataType::Boolean),
            _ => plan_err!("matches takes a text and a pattern"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), DataType::Boolean, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        by_rows(&args, |args, rows| {
            let [value, _] = args else { return exec_err!("matches takes a text and a pattern") };
            let values = cast(&value.to_array(rows)?, &DataType::Utf8View)?;
            self.matches(values.as_string_view())
        })
    }
}

impl Matches {
    fn matches(&self, values: &StringViewArray) -> Result<ArrayRef> {
        once_each(values, |values| {
            let is_match = |value: Option<&str>| value.map(|value| self.regex.is_match(value));
            Ok(Arc::new(BooleanArray::from_iter(values.iter().map(is_match))))
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Datum, StringViewArray};
    use arrow::compute::kernels::comparison::{ilike, like};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pattern_of_like_matches_what_arrow_says(
            pattern in r"[ab.%_\\\n*]{0,6}",
            texts in prop::collection::vec(r"[abAB.%_\\\n*]{0,14}", 1..20),
            ignores_case: bool,
        ) {
            let values = StringViewArray::from_iter_values(&texts);
            let scalar = StringViewArray::new_scalar(&pattern);
            let like = if ignores_case { ilike } else { like };
            let expected = like(&values, &scalar as &dyn Datum);
            let text = regular_expression(&pattern);
            let matches = Matches::new(Pattern { text, ignores_case, is_of_like: true }).unwrap();
            let matched = matches.matches(&values).unwrap();
            prop_assert_eq!(matched.as_boolean(), &expected.unwrap());
        }
    }
}
