//! Errors of predicates that are evaluated while a Parquet file is read; DataFusion keeps only
//! their `Debug` text.

use std::borrow::Cow;
use std::error::Error as StdError;

use datafusion::error::DataFusionError;

/// Prefix that DataFusion writes before the error of a pushed-down predicate, of which only the
/// `Debug` text is left.
pub const PUSHED_DOWN: &str = "Error evaluating filter predicate: ";

/// Returns the chain of errors, from the outermost to the root cause.
pub fn chain(fault: &DataFusionError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(fault as &(dyn StdError + 'static)), |error| {
        StdError::source(*error)
    })
}

/// Returns the reason of a failed pushed-down predicate.
pub fn pushed_down(fault: &DataFusionError) -> Option<Cow<'static, str>> {
    let bottom = chain(fault).last()?.to_string();
    let (_, debug) = bottom.split_once(PUSHED_DOWN)?;
    Some(match quoted(debug) {
        _ if debug.contains("DivideByZero") => Cow::Borrowed("Divide by zero error"),
        Some(reason) => Cow::Owned(reason),
        None => Cow::Owned(debug.to_string()),
    })
}

/// Returns the first string literal in a `Debug` text, unescaped.
fn quoted(debug: &str) -> Option<String> {
    let mut chars = debug.split_once('"')?.1.chars();
    let mut text = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}
