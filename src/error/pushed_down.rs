//! Why a predicate failed that was evaluated while a file was read: of that, only the text of the error is left.

use std::borrow::Cow;
use std::error::Error as StdError;

use datafusion::error::DataFusionError;

/// What DataFusion writes before the error of a predicate that it evaluated while it read a file; the error itself is lost
/// but for its `Debug` text.
pub const PUSHED_DOWN: &str = "Error evaluating filter predicate: ";

/// The errors from the outermost to the one met first.
pub fn chain(fault: &DataFusionError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(fault as &(dyn StdError + 'static)), |error| StdError::source(*error))
}

/// The reason why a predicate failed that was evaluated while a file was read.
pub fn pushed_down(fault: &DataFusionError) -> Option<Cow<'static, str>> {
    let bottom = chain(fault).last()?.to_string();
    let (_, debug) = bottom.split_once(PUSHED_DOWN)?;
    Some(match quoted(debug) {
        _ if debug.contains("DivideByZero") => Cow::Borrowed("Divide by zero error"),
        Some(reason) => Cow::Owned(reason),
        None => Cow::Owned(debug.to_string()),
    })
}

/// The first string in a `Debug` text, as it was before it was written there.
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
